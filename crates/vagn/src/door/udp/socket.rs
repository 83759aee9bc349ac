//! A door's UDP socket: bound once, with a large receive buffer, and shared by every incarnation of its thread, so that
//! a restart loses no waiting datagram.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::meminfo::{DropCount, MemInfo};
use super::recvmmsg::Gives;
use super::{gro, pktinfo, sockopt};

/// Longest wait for a datagram, and so for a stopping door.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(100);

/// The socket that a door reads from.
#[derive(Debug)]
pub(in crate::door) struct DoorSocket {
    pub(in crate::door) socket: Socket,
    /// Receive buffer as the kernel gave it.
    pub(super) buffer: Buffer,
    /// Extras that come beside datagrams.
    pub(in crate::door) gives: Gives,
    drops: DropCount,
}

/// A receive buffer: what was asked for and what the kernel gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Bytes asked for.
    pub asked: usize,
    /// Bytes the kernel books against, read back: twice what was asked for, unless it was capped.
    pub booked: usize,
}

impl Buffer {
    /// True if the kernel gave less than was asked for.
    pub fn is_capped(&self) -> bool {
        self.booked < self.asked.saturating_mul(2)
    }

    /// Returns the command that makes the kernel give what was asked for.
    pub fn remedy(&self) -> String {
        format!("sysctl -w net.core.rmem_max={}", self.asked)
    }
}

/// Asks for a receive buffer on a socket that is not bound, to see what the kernel would give.
///
/// # Errors
/// No socket can be made.
pub fn probe_buffer(bytes: usize) -> io::Result<Buffer> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    grow_buffer(&socket, bytes)
}

impl DoorSocket {
    /// Prepares a socket for `address`, not bound yet. `merges`: the kernel may give several datagrams in one piece.
    pub(super) fn new(address: SocketAddr, buffer_bytes: usize, merges: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_read_timeout(Some(WAIT_MAX))?;
        let buffer = grow_buffer(&socket, buffer_bytes)?;
        // Where that is refused, answers leave from whichever address the routes say.
        let address = address.ip().is_unspecified() && pktinfo::enable(&socket, address).is_ok();
        let merged = merges && gro::enable(&socket).is_ok();
        Ok(Self { socket, buffer, gives: Gives { address, merged }, drops: DropCount::default() })
    }

    /// Returns the address that it is bound to.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Returns the fill of the buffer, in bytes, and the datagrams that the kernel has dropped since the last call.
    pub(super) fn look(&self) -> io::Result<(u32, u32)> {
        let info = MemInfo::read(&self.socket)?;
        Ok((info.queued_bytes, self.drops.advance(info.drops)))
    }
}

/// Asks with privilege first, which no limit caps, then without.
fn grow_buffer(socket: &Socket, bytes: usize) -> io::Result<Buffer> {
    let wanted = i32::try_from(bytes).unwrap_or(i32::MAX);
    if sockopt::set_int(socket, libc::SO_RCVBUFFORCE, wanted).is_err() {
        sockopt::set_int(socket, libc::SO_RCVBUF, wanted)?;
    }
    let booked = sockopt::get_int(socket, libc::SO_RCVBUF)?;
    Ok(Buffer { asked: bytes, booked: usize::try_from(booked).unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_the_kernel_gave() {
        let small = probe_buffer(64 << 10).unwrap();
        assert_eq!(small, Buffer { asked: 64 << 10, booked: 128 << 10 });
        assert!(!small.is_capped());
    }

    #[test]
    fn says_how_to_get_more() {
        let capped = Buffer { asked: 8 << 20, booked: 425_984 };
        assert!(capped.is_capped());
        assert_eq!(capped.remedy(), "sysctl -w net.core.rmem_max=8388608");
    }
}
