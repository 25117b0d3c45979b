//! Which addresses this machine has, and when that changes.

use std::{io, net::IpAddr, time::Duration};

use if_addrs::IfOperStatus;
use tokio::time::sleep;

/// How long an address that has come waits for what comes along with it: its routes, without which
/// packets from it take a wrong way or none, and others of the same interface. One that flaps makes no
/// more work than this allows.
const GATHER: Duration = Duration::from_millis(50);

/// How often the addresses are looked at where the system does not tell of changes.
const POLL: Duration = Duration::from_secs(3);

/// The addresses of all interfaces that are up, in the order of the system.
pub(crate) fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut list = Vec::new();
    for interface in if_addrs::get_if_addrs()? {
        let up = !matches!(
            interface.oper_status,
            IfOperStatus::Down | IfOperStatus::NotPresent | IfOperStatus::LowerLayerDown
        );
        let ip = interface.ip();
        if up && !list.contains(&ip) {
            list.push(ip);
        }
    }
    Ok(list)
}

/// What there is to watch.
trait Interfaces {
    /// Waits until something may have changed since the last call.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;

    /// The addresses, if they can be told.
    fn look(&mut self) -> impl Future<Output = Option<Vec<IpAddr>>> + Send;
}

/// Calls `told` with the addresses whenever something about the interfaces may have changed, until
/// it returns false. They were `known` before.
pub(crate) async fn watch(known: Vec<IpAddr>, told: impl FnMut(Vec<IpAddr>) -> bool) {
    follow(System::new(), known, told).await;
}

/// That an address is gone is told at once: what peers send there is lost. One that has come is told
/// when its time to [gather](GATHER) is over.
async fn follow(
    mut interfaces: impl Interfaces,
    mut known: Vec<IpAddr>,
    mut told: impl FnMut(Vec<IpAddr>) -> bool,
) {
    // Nothing tells of what has changed between the look at `known` and the first watching.
    let mut changed = interfaces.look().await.is_some_and(|list| list != known);
    loop {
        if !std::mem::take(&mut changed) {
            interfaces.changed().await;
        }
        if let Some(list) = interfaces.look().await {
            known.retain(|ip| list.contains(ip));
            if !told(known.clone()) {
                return;
            }
        }
        sleep(GATHER).await;
        if let Some(list) = interfaces.look().await {
            known.clone_from(&list);
            if !told(list) {
                return;
            }
        }
    }
}

/// This machine's. The kernel tells of changes, or time does.
struct System {
    #[cfg(target_os = "linux")]
    netlink: Option<netlink::Socket>,
}

impl System {
    fn new() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            netlink: netlink::Socket::open()
                .inspect_err(|error| tracing::debug!(%error, "no netlink: addresses are polled"))
                .ok(),
        }
    }
}

impl Interfaces for System {
    async fn changed(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(netlink) = &self.netlink {
            match netlink.changed().await {
                Ok(()) => return netlink.drain(),
                Err(error) => {
                    tracing::debug!(%error, "netlink failed: addresses are polled");
                    self.netlink = None;
                }
            }
        }
        sleep(POLL).await;
    }

    async fn look(&mut self) -> Option<Vec<IpAddr>> {
        // A system call that walks all interfaces.
        let result = tokio::task::spawn_blocking(addresses).await;
        let result = result.unwrap_or_else(|error| Err(io::Error::other(error)));
        let unknown =
            |error: &_| tracing::debug!(%error, "the addresses of this machine are not known");
        result.inspect_err(unknown).ok()
    }
}

/// The kernel's notifications about links and addresses (rtnetlink). What they say is not read:
/// that there was one is reason enough to ask for the addresses anew.
#[cfg(target_os = "linux")]
mod netlink {
    use std::{io, os::fd::OwnedFd};

    use rustix::{
        io::Errno,
        net::{
            AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink,
            recv, socket_with,
        },
    };
    use tokio::io::{Interest, unix::AsyncFd};

    /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR of linux/rtnetlink.h.
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;

    pub(super) struct Socket(AsyncFd<OwnedFd>);

    impl Socket {
        #[expect(
            deprecated,
            reason = "unsound for descriptors that change hands, which an `OwnedFd` does not"
        )]
        pub(super) fn open() -> io::Result<Self> {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            // Protocol 0 of this family is NETLINK_ROUTE.
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            AsyncFd::with_interest(socket, Interest::READABLE).map(Self)
        }

        /// Waits for a notification.
        pub(super) async fn changed(&self) -> io::Result<()> {
            loop {
                let mut ready = self.0.readable().await?;
                match ready.try_io(|socket| receive(socket.get_ref())) {
                    Ok(result) => return result,
                    Err(_would_block) => {}
                }
            }
        }

        /// Takes all notifications that are there: one look answers them.
        pub(super) fn drain(&self) {
            // Bounded: more of them only means that the addresses are looked at once more.
            for _ in 0..1000 {
                if receive(self.0.get_ref()).is_err() {
                    return;
                }
            }
        }
    }

    fn receive(socket: &OwnedFd) -> io::Result<()> {
        // Shorter than most notifications: the rest is cut off.
        match recv(socket, &mut [0u8; 64], RecvFlags::empty()) {
            // More than the buffer of the socket held, so something has changed.
            Ok(_) | Err(Errno::NOBUFS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    /// The lists that come next. Nothing but them tells of a change, if it is `silent`.
    struct Lists {
        lists: std::vec::IntoIter<Vec<IpAddr>>,
        silent: bool,
    }

    impl Interfaces for Lists {
        async fn changed(&mut self) {
            if self.silent {
                std::future::pending().await
            }
        }

        async fn look(&mut self) -> Option<Vec<IpAddr>> {
            self.lists.next()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_is_told_at_once_and_what_has_come_with_all_that_comes_along() {
        // An interface loses its address, and another gets two, the second a moment later.
        let known = &["192.0.2.1"][..];
        let looks = [known, &["192.0.2.2"], &["192.0.2.2", "2001:db8::2"]];
        let lists = Lists {
            lists: looks.map(ips).to_vec().into_iter(),
            silent: false,
        };
        let began = tokio::time::Instant::now();
        let mut seen = Vec::new();
        let told = |list| {
            seen.push((began.elapsed(), list));
            seen.len() < 2
        };
        follow(lists, ips(known), told).await;
        assert_eq!(seen[0], (Duration::ZERO, ips(&[])));
        assert!(
            seen[1].0 >= GATHER && seen[1].1 == ips(looks[2]),
            "{seen:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_changed_before_there_was_a_watch_is_told() {
        let lists = Lists {
            lists: vec![ips(&["192.0.2.1", "192.0.2.2"]); 3].into_iter(),
            silent: true,
        };
        let mut seen = Vec::new();
        let told = |list| {
            seen.push(list);
            seen.len() < 2
        };
        let following = follow(lists, ips(&["192.0.2.1"]), told);
        let limit = Duration::from_secs(3600);
        tokio::time::timeout(limit, following).await.unwrap();
        assert_eq!(seen[1], ips(&["192.0.2.1", "192.0.2.2"]));
    }

    #[test]
    fn this_machine_has_loopback() {
        let list = addresses().unwrap();
        assert!(list.iter().any(IpAddr::is_loopback), "{list:?}");
    }
}
