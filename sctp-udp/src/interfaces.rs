//! Which addresses this machine has, and when that changes.

use std::{io, net::IpAddr, time::Duration};

use if_addrs::IfOperStatus;
use tokio::time::sleep;

/// How long changes are gathered before they are looked at: an interface that comes up gets its
/// addresses one by one, and one that flaps makes no more work than this allows.
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

/// Calls `told` with the addresses whenever something about the interfaces may have changed, until
/// it returns false.
pub(crate) async fn watch(mut told: impl FnMut(Vec<IpAddr>) -> bool) {
    let mut changes = Changes::new();
    loop {
        changes.next().await;
        sleep(GATHER).await;
        changes.forget();
        // A system call that walks all interfaces.
        let result = tokio::task::spawn_blocking(addresses).await;
        let result = result.unwrap_or_else(|error| Err(io::Error::other(error)));
        match result {
            Ok(list) => {
                if !told(list) {
                    return;
                }
            }
            Err(error) => tracing::debug!(%error, "the addresses of this machine are not known"),
        }
    }
}

/// What tells of changes: the kernel, or time.
struct Changes {
    #[cfg(target_os = "linux")]
    netlink: Option<netlink::Socket>,
}

impl Changes {
    fn new() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            netlink: netlink::Socket::open()
                .inspect_err(|error| tracing::debug!(%error, "no netlink: addresses are polled"))
                .ok(),
        }
    }

    async fn next(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(netlink) = &self.netlink {
            match netlink.changed().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(%error, "netlink failed: addresses are polled");
                    self.netlink = None;
                }
            }
        }
        sleep(POLL).await;
    }

    /// What has been told so far is about to be looked at.
    fn forget(&self) {
        #[cfg(target_os = "linux")]
        if let Some(netlink) = &self.netlink {
            netlink.drain();
        }
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

        /// Takes all notifications that are there.
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

    #[test]
    fn this_machine_has_loopback() {
        let list = addresses().unwrap();
        assert!(list.iter().any(IpAddr::is_loopback), "{list:?}");
    }
}
