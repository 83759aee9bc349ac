//! The machine's address that a datagram was sent to, and answers from that one (`ip(7)`, `ipv6(7)`).
//!
//! A socket that listens at all addresses answers from whichever the routes say, unless it is told. A vehicle that sent to
//! a second address, a floating one for example, would not take the answer, nor would a firewall let it through.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libc::{in_pktinfo, in6_pktinfo};
use socket2::{MsgHdr, Socket};

use super::control::{self, Message};
use super::sockopt;
use vagn_flow::reply::Peer;

/// Room for the longer of the two messages.
pub(super) const SPACE: usize = control::space(size_of::<in6_pktinfo>());

/// From now on, datagrams to `socket`, bound at `address`, bring along where they were sent to.
pub(super) fn enable(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => sockopt::set_int_at(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        SocketAddr::V6(_) => sockopt::set_int_at(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// The address that the message tells, if that is what it tells.
pub(super) fn read(message: &Message<'_>) -> Option<IpAddr> {
    match (message.level, message.kind) {
        // The interface, the address to answer from, the address in the packet.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            message.value.get(4..)?.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes).into())
        }
        // The address in the packet, the interface.
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            message.value.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes).into())
        }
        _ => None,
    }
}

/// Sends to `peer` from the address that it spoke to. Never waits.
pub(super) fn send(socket: &Socket, bytes: &[u8], peer: &Peer) -> io::Result<usize> {
    let to = peer.address.into();
    let Some(from) = peer.sent_to else { return socket.send_to_with_flags(bytes, &to, libc::MSG_DONTWAIT) };
    let control = write(from);
    let parts = [io::IoSlice::new(bytes)];
    let message = MsgHdr::new().with_addr(&to).with_buffers(&parts).with_control(&control);
    socket.sendmsg(&message, libc::MSG_DONTWAIT)
}

/// One control message that names `from`, and leaves the interface to the routes.
fn write(from: IpAddr) -> Vec<u8> {
    let (level, kind, value) = match from {
        IpAddr::V4(from) => {
            let mut value = vec![0; size_of::<in_pktinfo>()];
            value[4..8].copy_from_slice(&from.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, value)
        }
        IpAddr::V6(from) => {
            let mut value = vec![0; size_of::<in6_pktinfo>()];
            value[..16].copy_from_slice(&from.octets());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, value)
        }
    };
    Message { level, kind, value: &value }.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_back_as_it_was_written() {
        for from in ["127.0.0.2", "::1", "::ffff:127.0.0.2"] {
            let from: IpAddr = from.parse().unwrap();
            let control = write(from);
            assert!(control.len() <= SPACE);
            assert_eq!(control::messages(&control).find_map(|message| read(&message)), Some(from));
        }
    }
}
