//! A server with two addresses, one of which dies in mid-transfer and comes back: what the two ends
//! notice, and that no message is lost, repeated or out of order.
//!
//!     cargo run --release -p sctp-udp --example two_paths
//!
//! Both ends are in this process, on loopback; the server's first address is cut off by a socket
//! that swallows what passes it, as a network would that died without a word.

use std::{
    error::Error,
    io::{self, IoSliceMut},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use sctp_udp::{
    Association, AssociationConfig, Batch, DatagramSocket, Endpoint, EndpointConfig, Notification,
    Received, SendInfo, ServerConfig, StreamId, UdpSocket,
};
use tokio::time::{Instant, interval, sleep};

/// Pause between two messages.
const PAUSE: Duration = Duration::from_millis(5);
const MESSAGES: u64 = 1200;
const DIES: Duration = Duration::from_millis(1500);
const IS_BACK: Duration = Duration::from_millis(3500);

/// A socket through which nothing passes while it is cut off.
#[derive(Debug)]
struct Cut {
    socket: UdpSocket,
    dead: Arc<AtomicBool>,
}

impl DatagramSocket for Cut {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        loop {
            let result = ready!(self.socket.poll_recv(cx, buffers, received));
            if result.is_err() || !self.dead.load(Ordering::Relaxed) {
                return Poll::Ready(result);
            }
        }
    }

    fn try_send(&self, batch: &Batch<'_>) -> io::Result<()> {
        if self.dead.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.socket.try_send(batch)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_writable(cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dead = Arc::<AtomicBool>::default();
    let first = UdpSocket::bind("127.0.0.1:0".parse()?)?;
    let port = first.local_addr()?.port();
    let second = UdpSocket::bind(SocketAddr::new("127.0.0.2".parse()?, port)).map_err(|error| {
        format!("127.0.0.2: {error}; on macOS, `sudo ifconfig lo0 alias 127.0.0.2` makes it")
    })?;
    let cut = Cut {
        socket: first,
        dead: dead.clone(),
    };
    let mut config = AssociationConfig::default();
    config.heartbeat_interval(Some(Duration::from_secs(1)));
    let config = Arc::new(config);
    let mut server_config = ServerConfig::default();
    server_config.association(config.clone());
    let server = Endpoint::from_sockets(
        EndpointConfig::default(),
        Some(server_config),
        vec![Arc::new(cut), Arc::new(second)],
    )?;
    let local = ["127.0.0.1:0".parse()?, "127.0.0.2:0".parse()?];
    let client = Endpoint::bind(EndpointConfig::default(), None, &local)?;
    println!("the server is at 127.0.0.1:{port} and 127.0.0.2:{port}");

    let begun = Instant::now();
    let peer = server.local_addrs();
    let (received, sent) = tokio::join!(client.connect(&peer[..1], config), async {
        let incoming = server.accept().await.ok_or("closed")?;
        Ok::<_, Box<dyn Error>>(incoming.accept()?)
    });
    let (receiver, sender) = (received?, sent?);
    tokio::spawn(narrate(begun, sender.clone()));
    tokio::spawn(async move {
        sleep(DIES).await;
        tell(begun, "--- 127.0.0.1 dies without a word");
        dead.store(true, Ordering::Relaxed);
        sleep(IS_BACK - DIES).await;
        tell(begun, "--- 127.0.0.1 is back");
        dead.store(false, Ordering::Relaxed);
    });
    let sending = tokio::spawn(send(sender));
    let longest = receive(begun, &receiver).await?;
    sending.await??;
    println!(
        "{MESSAGES} messages sent and received, none lost, repeated or out of order; the longest pause \
         was {:.0} ms",
        longest.as_secs_f64() * 1e3
    );
    tokio::join!(client.close(), server.close());
    Ok(())
}

/// Sends numbers at an even pace.
async fn send(association: Association) -> Result<(), sctp_udp::SendError> {
    let mut ticks = interval(PAUSE);
    for number in 0..MESSAGES {
        ticks.tick().await;
        let message = Bytes::copy_from_slice(&number.to_be_bytes());
        let info = SendInfo::default();
        association.send(StreamId(0), message, info).await?;
    }
    Ok(())
}

/// Checks the numbers; returns the longest pause.
async fn receive(begun: Instant, association: &Association) -> Result<Duration, Box<dyn Error>> {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    for number in 0..MESSAGES {
        let message = association.recv().await?.ok_or("the end, too early")?;
        if message.data.into_bytes() != number.to_be_bytes()[..] {
            return Err(format!("message {number} is another").into());
        }
        let pause = last.elapsed();
        last = Instant::now();
        if pause > PAUSE * 10 {
            let text = format!("data again, after {:.0} ms", pause.as_secs_f64() * 1e3);
            tell(begun, &text);
        }
        longest = longest.max(pause);
    }
    Ok(longest)
}

/// Prints what the server notices.
async fn narrate(begun: Instant, association: Association) {
    let mut notifications = association.notifications();
    for path in association.paths() {
        let id = path.id.index();
        tell(
            begun,
            &format!("path {id} to {}: {:?}", path.remote, path.state),
        );
    }
    while let Some(notification) = notifications.next().await {
        if let Notification::PathChanged { path, state } = notification {
            let paths = association.paths();
            let found = paths.iter().find(|p| p.id == path);
            let local = found.and_then(|path| path.local_ip);
            let from = local.map(|ip| format!(" from {ip}")).unwrap_or_default();
            tell(begun, &format!("path {}{from}: {state:?}", path.index()));
        }
    }
}

fn tell(begun: Instant, text: &str) {
    println!("{:6.3} s  {text}", begun.elapsed().as_secs_f64());
}
