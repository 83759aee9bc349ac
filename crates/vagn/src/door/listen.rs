//! Addresses to listen at: from `host:port` in a setting to bound sockets, or an error that says what to do.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};
use vagn_http::listener::BACKLOG;

/// With port 0 and several addresses, how often to look for a port that is free on all of them.
const PORT_TRIES: u32 = 16;

/// The transport, as it is written in messages and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

/// The reason that nothing listens: names the address, and says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The setting names no address.
    #[error("`{listen}` is not an address to listen at: write host:port, such as localhost:9092")]
    Resolve {
        /// The setting.
        listen: String,
        /// Error of the resolver.
        source: io::Error,
    },
    /// The address cannot be had.
    #[error("cannot listen on {transport} {address}: {}", remedy(*.transport, *.address, .source))]
    Bind {
        /// Kind of socket.
        transport: Transport,
        /// Address to bind.
        address: SocketAddr,
        /// Error of the kernel.
        source: io::Error,
    },
}

fn remedy(transport: Transport, address: SocketAddr, source: &io::Error) -> String {
    let port = address.port();
    let list = if transport == Transport::Udp { "-lunp" } else { "-ltnp" };
    match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the port is in use; find out by whom with `ss {list} 'sport = :{port}'` and stop it, or choose another port"
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "no permission for port {port}; choose one above 1023, or give the binary CAP_NET_BIND_SERVICE"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine does not have the address {}; `ip address` lists what it has", address.ip())
        }
        _ => source.to_string(),
    }
}

/// The addresses that `listen` stands for. `localhost` is both address families, whatever the resolver says.
///
/// # Errors
/// It is not `host:port`, or the host is unknown.
pub fn resolve(listen: &str) -> Result<Vec<SocketAddr>, ListenError> {
    let failed = |source| ListenError::Resolve { listen: listen.to_owned(), source };
    if let Some(port) = listen.strip_prefix("localhost:") {
        let port = port.parse().map_err(|err| failed(io::Error::new(io::ErrorKind::InvalidInput, err)))?;
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).into());
    }
    let mut addresses: Vec<SocketAddr> = listen.to_socket_addrs().map_err(failed)?.collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

/// Listeners for streams at everything that `listen` stands for, non-blocking.
///
/// # Errors
/// An address cannot be had; an address family that the machine lacks is left out as long as another is there.
pub fn tcp(listen: &str) -> Result<Vec<TcpListener>, ListenError> {
    let bound = bind_all(Transport::Tcp, &resolve(listen)?, tcp_listener)?;
    Ok(bound.into_iter().map(|(_, listener)| listener).collect())
}

fn tcp_listener(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Else a restart would have to wait until the last run's connections are forgotten. A second listener is refused
    // all the same.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    Ok((listener.local_addr()?, listener))
}

/// Binds every address; those with port 0 get the same port if one can be found.
pub(super) fn bind_all<T>(
    transport: Transport,
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<(SocketAddr, T)>,
) -> Result<Vec<(SocketAddr, T)>, ListenError> {
    let same_port = addresses.len() > 1 && addresses.iter().all(|address| address.port() == 0);
    for _ in 0..if same_port { PORT_TRIES } else { 0 } {
        if let Ok(bound) = bind_each(transport, addresses, true, &bind) {
            return Ok(bound);
        }
    }
    bind_each(transport, addresses, false, &bind)
}

fn bind_each<T>(
    transport: Transport,
    addresses: &[SocketAddr],
    same_port: bool,
    bind: &impl Fn(SocketAddr) -> io::Result<(SocketAddr, T)>,
) -> Result<Vec<(SocketAddr, T)>, ListenError> {
    let mut bound: Vec<(SocketAddr, T)> = Vec::new();
    let mut absent = None;
    for &(mut address) in addresses {
        if let (true, Some((first, _))) = (same_port, bound.first()) {
            address.set_port(first.port());
        }
        match bind(address) {
            Ok(one) => bound.push(one),
            Err(source) if family_absent(&source) => {
                absent = Some(ListenError::Bind { transport, address, source });
            }
            Err(source) => return Err(ListenError::Bind { transport, address, source }),
        }
    }
    match absent {
        Some(err) if bound.is_empty() => Err(err),
        Some(err) => {
            tracing::info!(reason = %err, "left out an address that this machine does not have");
            Ok(bound)
        }
        None => Ok(bound),
    }
}

/// Containers often have no IPv6 at all; `localhost` then means the other family.
fn family_absent(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_both_families() {
        let addresses = resolve("localhost:9092").unwrap();
        assert_eq!(addresses, ["127.0.0.1:9092".parse().unwrap(), "[::1]:9092".parse().unwrap()]);
        assert_eq!(resolve("0.0.0.0:1").unwrap(), ["0.0.0.0:1".parse().unwrap()]);
    }

    #[test]
    fn says_what_an_address_looks_like() {
        for listen in ["localhost:", "localhost:70000", "nowhere", ""] {
            let said = resolve(listen).unwrap_err().to_string();
            assert!(said.contains(listen) && said.contains("localhost:9092"), "{said}");
        }
    }

    #[test]
    fn both_families_get_the_same_chosen_port() {
        let bound = tcp("localhost:0").unwrap();
        let ports: Vec<u16> = bound.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
    }

    #[test]
    fn a_port_in_use_is_refused_by_name_and_with_a_remedy() {
        let first = tcp("127.0.0.1:0").unwrap();
        let address = first[0].local_addr().unwrap().to_string();
        let said = tcp(&address).unwrap_err().to_string();
        assert!(said.contains(&format!("tcp {address}")) && said.contains("ss -ltnp"), "{said}");
    }

    #[test]
    fn a_missing_family_is_left_out_but_not_the_last_one() {
        let bind = |address: SocketAddr| match address {
            SocketAddr::V4(_) => Ok((address, ())),
            SocketAddr::V6(_) => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        };
        let bound = |text: &str| bind_all(Transport::Udp, &resolve(text).unwrap(), bind);
        assert_eq!(bound("localhost:7").unwrap(), [("127.0.0.1:7".parse().unwrap(), ())]);
        assert!(matches!(bound("[::1]:7"), Err(ListenError::Bind { .. })));
    }

    #[test]
    fn looks_for_a_port_that_is_free_on_all() {
        let tries = std::cell::Cell::new(0_u16);
        let bind = |mut address: SocketAddr| {
            if address.port() == 0 {
                tries.set(tries.get() + 1);
                address.set_port(1000 + tries.get());
            }
            let taken = address.is_ipv6() && tries.get() < 3;
            if taken { Err(io::ErrorKind::AddrInUse.into()) } else { Ok((address, ())) }
        };
        let bound = bind_all(Transport::Udp, &resolve("localhost:0").unwrap(), bind).unwrap();
        assert!(bound.iter().all(|(address, ())| address.port() == 1003), "{bound:?}");
    }
}
