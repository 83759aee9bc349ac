//! Which of the machine's addresses a datagram was sent to, and answering from that one (`ip(7)`, `ipv6(7)`).
//!
//! A socket that listens at all addresses answers from whichever the routes say, unless it is told. A vehicle that sent to
//! a second address, a floating one for example, would not take the answer, nor would a firewall let it through.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libc::{c_int, cmsghdr, in_pktinfo, in6_pktinfo};
use socket2::{MsgHdr, Socket};

use super::sockopt;
use crate::asker::Peer;

/// Room for one header with the longer of the two values.
pub(super) const SPACE: usize = HEAD + size_of::<in6_pktinfo>().next_multiple_of(ALIGN);

/// Header and value of a control message are aligned like this.
const ALIGN: usize = size_of::<usize>();

const HEAD: usize = size_of::<cmsghdr>().next_multiple_of(ALIGN);

/// From now on, datagrams to `socket`, bound at `address`, bring along where they were sent to.
pub(super) fn enable(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => sockopt::set_int_at(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        SocketAddr::V6(_) => sockopt::set_int_at(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// The address in what came beside a datagram: one control message, or none.
pub(super) fn read(control: &[u8]) -> Option<IpAddr> {
    let value = control.get(HEAD..)?;
    let int = |at: usize| control.get(at..)?.first_chunk().map(|bytes| c_int::from_ne_bytes(*bytes));
    // After the length, of the machine's own width, come level and type.
    match (int(ALIGN)?, int(ALIGN + size_of::<c_int>())?) {
        // The interface, the address to answer from, the address in the packet.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            value.get(4..)?.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes).into())
        }
        // The address in the packet, the interface.
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            value.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes).into())
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
    let mut control = (HEAD + value.len()).to_ne_bytes().to_vec();
    control.extend(level.to_ne_bytes());
    control.extend(kind.to_ne_bytes());
    control.resize(HEAD, 0);
    control.extend(value);
    control.resize(control.len().next_multiple_of(ALIGN), 0);
    control
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
            assert_eq!(read(&control), Some(from));
            (0..HEAD + 8).for_each(|cut| assert_eq!(read(&control[..cut]), None, "cut at {cut}"));
        }
    }
}
