//! Generic receive offload (`UDP_GRO`, `udp(7)`): datagrams of one sender and one size come in one piece.
//!
//! A gateway that sends for many vehicles (`UDP_SEGMENT`), or whose datagrams the network card's driver merges, then pays
//! the way through the kernel once for up to 64 of them.

use std::io;
use std::os::fd::AsFd;

use libc::c_int;

use super::control::{self, Message};
use super::sockopt;

/// The longest piece: all that a UDP length can say.
pub(super) const PIECE_MAX: usize = 65_535;

/// Room for what tells the size of the datagrams in a piece.
pub(super) const SPACE: usize = control::space(size_of::<c_int>());

/// From now on, datagrams to `socket` may come in one piece. Errors when the kernel is older than 5.0.
pub(in crate::door) fn enable(socket: &impl AsFd) -> io::Result<()> {
    sockopt::set_int_at(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// Returns the length of each datagram in the piece; the last one may be shorter. `None`: the message tells something else.
pub(super) fn datagram_length(message: &Message<'_>) -> Option<usize> {
    let told = (message.level, message.kind) == (libc::SOL_UDP, libc::UDP_GRO);
    let length = message.value.first_chunk().filter(|_| told)?;
    usize::try_from(c_int::from_ne_bytes(*length)).ok().filter(|length| *length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_length_that_can_be_is_believed() {
        let length = |level, kind, value: &[u8]| datagram_length(&Message { level, kind, value });
        let told = 79_i32.to_ne_bytes();
        assert_eq!(length(libc::SOL_UDP, libc::UDP_GRO, &told), Some(79));
        assert_eq!(length(libc::IPPROTO_IP, libc::UDP_GRO, &told), None);
        assert_eq!(length(libc::SOL_UDP, libc::UDP_SEGMENT, &told), None);
        for value in [&told[..3], &0_i32.to_ne_bytes(), &(-1_i32).to_ne_bytes()] {
            assert_eq!(length(libc::SOL_UDP, libc::UDP_GRO, value), None, "{value:?}");
        }
    }
}
