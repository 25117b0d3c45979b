//! The addresses of an endpoint: sockets for them at first and at run time, and who learns of it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{
    DatagramSocket, Endpoint, UdpSocket,
    endpoint::{EndpointShared, EndpointState},
    net::Net,
};

/// How often a free port is looked for that every address of a `bind` has.
const PORT_ATTEMPTS: usize = 16;

/// Addresses at run time (bindx, RFC 6458 §9.1).
impl Endpoint {
    /// What the sockets are bound to: addresses, and the UDP port.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let state = self.shared().lock();
        let bound = state.net.as_ref().map(|net| net.sockets.bound());
        bound.into_iter().flatten().map(|(_, a)| a).collect()
    }

    /// The addresses that are served now: those bound by name, and with a wildcard those of the
    /// interfaces. Which of them a peer learns depends on where it is.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let state = self.shared().lock();
        let served = state.served().into_iter();
        served.map(|served| served.ip).collect()
    }

    /// Serves another address of this machine from now on, on the endpoint's UDP port:
    /// associations add it to their paths, where the peer can be told (RFC 5061). Without effect
    /// on an address that is served already, by a wildcard for example.
    pub fn add_address(&self, ip: IpAddr) -> io::Result<()> {
        let shared = self.shared();
        let net = shared.net()?;
        let bound = net.sockets.bound();
        let wildcard = |a: &SocketAddr| a.ip().is_unspecified() && a.is_ipv4() == ip.is_ipv4();
        if bound.iter().any(|(_, a)| a.ip() == ip || wildcard(a)) {
            tracing::debug!(%ip, "the address has a socket");
        } else {
            let port = bound.first().map_or(0, |(_, address)| address.port());
            let mut socket: Arc<dyn DatagramSocket> =
                Arc::new(UdpSocket::bind(SocketAddr::new(ip, port))?);
            if let Some(capture) = &shared.lock().capture {
                socket = capture.socket(socket)?;
            }
            net.sockets.add(socket)?;
            net.wake();
        }
        shared.tell(|state| state.addresses.include(ip));
        Ok(())
    }

    /// No longer serves this address: associations give up the paths that begin there. The socket
    /// bound to it by name is closed, and what is on its way there is lost and sent again
    /// elsewhere. An error of kind `NotFound` for an address that is not served; one of kind
    /// `InvalidInput` for the last that is.
    pub fn remove_address(&self, ip: IpAddr) -> io::Result<()> {
        let shared = self.shared();
        let net = shared.net()?;
        let addresses = self.addresses();
        if !addresses.contains(&ip) {
            let text = format!("{ip} is not an address of this endpoint");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        if addresses.len() == 1 {
            let text = format!("{ip} is the only address of this endpoint");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        net.sockets.remove(ip);
        // A wildcard goes on receiving there.
        shared.tell(|state| state.addresses.exclude(ip));
        net.wake();
        Ok(())
    }

    /// The interfaces of the machine have these addresses now. [`bind`](Self::bind) finds out by
    /// itself; this is for endpoints [`from_sockets`](Self::from_sockets).
    pub fn handle_interfaces(&self, addresses: Vec<IpAddr>) {
        self.shared().set_interfaces(addresses);
    }
}

impl EndpointShared {
    fn net(&self) -> io::Result<Arc<Net>> {
        let closed = || io::Error::new(io::ErrorKind::NotConnected, "the endpoint is closed");
        self.lock().net.clone().ok_or_else(closed)
    }

    pub(crate) fn set_interfaces(&self, interfaces: Vec<IpAddr>) {
        self.tell(|state| {
            let bound = state.bound();
            state.addresses.set_interfaces(interfaces, &bound);
        });
    }

    /// Makes a change to the addresses, and tells the associations if others are served then.
    pub(crate) fn tell(&self, change: impl FnOnce(&mut EndpointState)) {
        let (served, associations): (_, Vec<_>) = {
            let mut state = self.lock();
            change(&mut state);
            let bound = state.bound();
            state.addresses.note(&bound);
            let served = state.served();
            if state.told == served {
                return;
            }
            state.told.clone_from(&served);
            state.proto.set_local_addresses(served.clone());
            (served, state.associations.values().cloned().collect())
        };
        tracing::debug!(addresses = ?served, "the addresses of this endpoint");
        let now = self.clock.now();
        for association in associations {
            association.with(|state, wakes| {
                state.proto.handle_local_addresses(now, &served);
                state.wake_driver(wakes);
            });
        }
    }
}

/// Binds all addresses to one port. That of the first socket, if it is a free one, may be taken for
/// another address: then all is tried again with another.
pub(crate) fn sockets(local: &[SocketAddr]) -> io::Result<Vec<Arc<dyn DatagramSocket>>> {
    let mut ports = local.iter().map(SocketAddr::port).filter(|port| *port != 0);
    let port = ports.next();
    if ports.any(|other| Some(other) != port) {
        let text = "all sockets of an endpoint have the same UDP port";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let choose = local.len() > 1 && port.is_none();
    let mut attempts = if choose { PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match try_bind(local, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            result => return result,
        }
    }
}

fn try_bind(local: &[SocketAddr], port: Option<u16>) -> io::Result<Vec<Arc<dyn DatagramSocket>>> {
    let mut port = port;
    let mut sockets = Vec::<Arc<dyn DatagramSocket>>::new();
    for address in local {
        let mut address = *address;
        address.set_port(port.unwrap_or(0));
        let socket = UdpSocket::bind(address)?;
        port = Some(socket.local_addr()?.port());
        sockets.push(Arc::new(socket));
    }
    Ok(sockets)
}
