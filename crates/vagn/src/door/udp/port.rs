//! A UDP port of ours alone: the ordinary socket and, where the kernel steers, a second one for emergencies.
//!
//! Two sockets on one port need `SO_REUSEPORT`, which by itself would let any process of the same user join and take a
//! share of the datagrams, a second Vagn by mistake first of all. So the first socket is bound *without* it, which the
//! kernel refuses when another socket has the port, and gets the option only then. A process that joins later on purpose gets
//! nothing: the program names only the first two of the group.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::socket::DoorSocket;
use super::steer;

/// Both sockets of one address.
#[derive(Debug)]
pub(in crate::door) struct Port {
    pub(super) address: SocketAddr,
    pub(in crate::door) ordinary: Arc<DoorSocket>,
    pub(in crate::door) emergency: Result<Arc<DoorSocket>, Unsteered>,
}

/// Requests to the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Receive buffer of each socket.
    pub(super) buffer_bytes: usize,
    /// A socket of their own for emergencies.
    pub(super) steered: bool,
    /// Several datagrams of one sender in one piece. On both sockets: where a network card's driver merges, the kernel asks
    /// either of them, whichever the datagram will go to.
    pub(super) merged: bool,
}

/// The reason that emergencies share the ordinary socket.
#[derive(Debug, thiserror::Error)]
pub(in crate::door) enum Unsteered {
    #[error("not asked for")]
    Off,
    #[error("the kernel refused: {0}")]
    Refused(#[from] io::Error),
}

impl Port {
    /// Takes the port at `address` (0: any free one) for this process alone.
    pub(super) fn bind(address: SocketAddr, wanted: Wanted) -> io::Result<Self> {
        let ordinary = DoorSocket::new(address, wanted.buffer_bytes, wanted.merged)?;
        ordinary.socket.bind(&address.into())?;
        let address = ordinary.address()?;
        let emergency = if wanted.steered { second(&ordinary, address, wanted) } else { Err(Unsteered::Off) };
        Ok(Self { address, ordinary: Arc::new(ordinary), emergency: emergency.map(Arc::new) })
    }
}

/// Opens the group for a second socket and steers. When that is refused the port is closed to others again.
fn second(first: &DoorSocket, address: SocketAddr, wanted: Wanted) -> Result<DoorSocket, Unsteered> {
    first.socket.set_reuse_port(true)?;
    let joined = join(address, wanted);
    if joined.is_err() {
        first.socket.set_reuse_port(false)?;
    }
    Ok(joined?)
}

fn join(address: SocketAddr, wanted: Wanted) -> io::Result<DoorSocket> {
    let socket = DoorSocket::new(address, wanted.buffer_bytes, wanted.merged)?;
    socket.socket.set_reuse_port(true)?;
    socket.socket.bind(&address.into())?;
    steer::attach(&socket.socket)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::udp::gro;
    use socket2::{Domain, Socket, Type};
    use std::net::UdpSocket;

    fn wanted(steered: bool) -> Wanted {
        Wanted { buffer_bytes: 64 << 10, steered, merged: false }
    }

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn both_sockets_merge_when_asked_and_not_otherwise() {
        let possible = gro::enable(&Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap()).is_ok();
        for merged in [true, false] {
            let port = Port::bind(any(), Wanted { merged, ..wanted(true) }).unwrap();
            let sockets = [Some(&port.ordinary), port.emergency.as_ref().ok()];
            assert!(sockets.into_iter().flatten().all(|socket| socket.gives.merged == (merged && possible)));
        }
    }

    #[test]
    fn a_second_one_is_refused_steered_or_not() {
        for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
            let port = Port::bind(any(), wanted(first)).unwrap();
            let err = Port::bind(port.address, wanted(second)).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::AddrInUse, "steered: {first}, then {second}");
        }
    }

    #[test]
    fn a_port_that_another_shares_is_refused() {
        let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        other.set_reuse_port(true).unwrap();
        other.bind(&any().into()).unwrap();
        let taken = other.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(Port::bind(taken, wanted(true)).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn one_that_joins_on_purpose_gets_nothing() {
        let port = Port::bind(any(), wanted(true)).unwrap();
        let intruder = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        intruder.set_reuse_port(true).unwrap();
        let joined = intruder.bind(&port.address.into()).is_ok();
        assert_eq!(joined, port.emergency.is_ok(), "an unsteered port lets nobody join");
        for _ in 0..100 {
            let sender = UdpSocket::bind(any()).unwrap();
            sender.send_to(b"\xc2", port.address).unwrap();
            sender.send_to(b"\xc3", port.address).unwrap();
        }
        let sockets = [Some(&port.ordinary), port.emergency.as_ref().ok()];
        let counts: Vec<usize> =
            sockets.into_iter().flatten().map(|one| payloads(&one.socket).len()).collect();
        let expected = if joined { vec![100, 100] } else { vec![200] };
        assert_eq!(counts, expected);
    }

    #[test]
    fn the_last_byte_decides_and_nothing_is_too_short() {
        let all = [&b""[..], b"\xc3", b"\xc2", b"\xc3\xc2", b"ordinary", b"help\xc3"];
        for steered in [true, false] {
            let port = Port::bind(any(), wanted(steered)).unwrap();
            let sender = UdpSocket::bind(any()).unwrap();
            all.iter().for_each(|payload| assert!(sender.send_to(payload, port.address).is_ok()));
            // Where the kernel refuses to steer, all arrive at the one socket, as they do unasked.
            let Ok(emergency) = &port.emergency else {
                assert_eq!(payloads(&port.ordinary.socket), all, "{:?}", port.emergency);
                continue;
            };
            assert!(steered);
            assert_eq!(payloads(&emergency.socket), [&b"\xc3"[..], b"help\xc3"]);
            assert_eq!(payloads(&port.ordinary.socket), [&b""[..], b"\xc2", b"\xc3\xc2", b"ordinary"]);
        }
    }

    fn payloads(mut socket: &Socket) -> Vec<Vec<u8>> {
        use std::io::Read;
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64];
        std::iter::from_fn(|| socket.read(&mut buffer).ok().map(|length| buffer[..length].to_vec())).collect()
    }
}
