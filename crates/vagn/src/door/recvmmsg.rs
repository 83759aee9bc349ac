//! Many datagrams with one call into the kernel, into slots that the calling thread owns.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;

use libc::{c_void, iovec, mmsghdr, msghdr, sockaddr_storage, socklen_t};
use socket2::{SockAddr, SockAddrStorage};
use vagn_wire::MAX_DATAGRAM;

/// Datagrams per call. 64 beats 256: the slots stay in the cache.
pub(super) const CALL_MAX: usize = 64;

/// Whether to wait for a first datagram, up to the socket's read timeout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    First,
    No,
}

/// One datagram in its slot.
pub(super) struct Arrival<'a> {
    /// `None`: longer than a slot, and so longer than any report.
    pub(super) payload: Option<&'a [u8]>,
    pub(super) sender: Option<SockAddr>,
}

/// Slots, and what the kernel said of each in the last call.
pub(super) struct Receiver {
    slots: Box<[[u8; MAX_DATAGRAM]; CALL_MAX]>,
    senders: Box<[sockaddr_storage; CALL_MAX]>,
    ask_senders: bool,
    heads: [Head; CALL_MAX],
}

#[derive(Clone, Copy, Default)]
struct Head {
    length: usize,
    truncated: bool,
    sender_length: socklen_t,
}

impl Receiver {
    /// Slots for one thread. `ask_senders`: also learn where each datagram came from.
    pub(super) fn new(ask_senders: bool) -> Self {
        // SAFETY: all zeroes is a value of this plain C struct, namely "no address".
        let nobody: sockaddr_storage = unsafe { zeroed() };
        Self {
            slots: Box::new([[0; MAX_DATAGRAM]; CALL_MAX]),
            senders: Box::new([nobody; CALL_MAX]),
            ask_senders,
            heads: [Head::default(); CALL_MAX],
        }
    }

    /// Receives up to [`CALL_MAX`] datagrams and says how many. 0: none came in time.
    pub(super) fn receive(&mut self, socket: &impl AsFd, wait: Wait) -> io::Result<usize> {
        let mut parts = self.slots.each_mut().map(part);
        let mut messages = parts.each_mut().map(message);
        if self.ask_senders {
            messages
                .iter_mut()
                .zip(self.senders.iter_mut())
                .for_each(|(message, sender)| ask(message, sender));
        }
        let flags = if wait == Wait::First { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: each message points to a part, which points to a slot of `MAX_DATAGRAM` bytes, and perhaps to an
        // address with its true size; all live through the call and none is touched meanwhile.
        let count =
            unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), CALL_MAX as u32, flags as _, null_mut()) };
        let Ok(count) = usize::try_from(count) else {
            return none_or_error(io::Error::last_os_error());
        };
        for (head, message) in self.heads.iter_mut().zip(&messages[..count]) {
            *head = Head {
                length: message.msg_len as usize,
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                sender_length: message.msg_hdr.msg_namelen,
            };
        }
        Ok(count)
    }

    /// The first `count` datagrams of the last call.
    pub(super) fn arrivals(&self, count: usize) -> impl Iterator<Item = Arrival<'_>> {
        (0..count.min(CALL_MAX)).map(|at| {
            let head = self.heads[at];
            let payload = if head.truncated { None } else { self.slots[at].get(..head.length) };
            Arrival { payload, sender: self.sender(at, head.sender_length) }
        })
    }

    fn sender(&self, at: usize, length: socklen_t) -> Option<SockAddr> {
        if !self.ask_senders || length == 0 {
            return None;
        }
        let mut storage = SockAddrStorage::zeroed();
        // SAFETY: the storage is a sockaddr_storage in all but name, and so is what is copied into it.
        unsafe { *storage.view_as::<sockaddr_storage>() = self.senders[at] };
        // SAFETY: the kernel wrote an address of `length` bytes to this storage.
        Some(unsafe { SockAddr::new(storage, length) })
    }
}

fn part(slot: &mut [u8; MAX_DATAGRAM]) -> iovec {
    iovec { iov_base: slot.as_mut_ptr().cast::<c_void>(), iov_len: slot.len() }
}

fn message(part: &mut iovec) -> mmsghdr {
    // SAFETY: all zeroes is a value of this plain C struct: no address, no parts, no control data.
    let mut head: msghdr = unsafe { zeroed() };
    head.msg_iov = part;
    head.msg_iovlen = 1;
    mmsghdr { msg_hdr: head, msg_len: 0 }
}

fn ask(message: &mut mmsghdr, sender: &mut sockaddr_storage) {
    message.msg_hdr.msg_name = std::ptr::from_mut(sender).cast::<c_void>();
    message.msg_hdr.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
}

/// A wait that ran out or was interrupted is no error.
fn none_or_error(err: io::Error) -> io::Result<usize> {
    match err.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Ok(0),
        _ => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn pair() -> (UdpSocket, UdpSocket) {
        let door = UdpSocket::bind("127.0.0.1:0").unwrap();
        let vehicle = UdpSocket::bind("127.0.0.1:0").unwrap();
        vehicle.connect(door.local_addr().unwrap()).unwrap();
        (door, vehicle)
    }

    #[test]
    fn takes_what_waits_up_to_a_call_full() {
        let (door, vehicle) = pair();
        for number in 0..100_u8 {
            vehicle.send(&[number]).unwrap();
        }
        let mut receiver = Receiver::new(false);
        assert_eq!(receiver.receive(&door, Wait::First).unwrap(), CALL_MAX);
        let first: Vec<u8> = receiver.arrivals(CALL_MAX).map(|one| one.payload.unwrap()[0]).collect();
        assert_eq!(first, (0..64).collect::<Vec<u8>>());
        assert_eq!(receiver.receive(&door, Wait::First).unwrap(), 36);
        assert_eq!(receiver.arrivals(36).last().unwrap().payload, Some(&[99_u8][..]));
        assert_eq!(receiver.receive(&door, Wait::No).unwrap(), 0);
    }

    #[test]
    fn tells_the_longest_from_the_too_long_and_the_empty() {
        let (door, vehicle) = pair();
        for length in [MAX_DATAGRAM, MAX_DATAGRAM + 1, 60_000, 0, 1] {
            vehicle.send(&vec![7; length]).unwrap();
        }
        let mut receiver = Receiver::new(false);
        let count = receiver.receive(&door, Wait::First).unwrap();
        let lengths: Vec<_> = receiver.arrivals(count).map(|one| one.payload.map(<[u8]>::len)).collect();
        assert_eq!(lengths, [Some(MAX_DATAGRAM), None, None, Some(0), Some(1)]);
    }

    #[test]
    fn knows_the_sender_when_asked() {
        let (door, vehicle) = pair();
        vehicle.send(b"x").unwrap();
        let mut receiver = Receiver::new(true);
        assert_eq!(receiver.receive(&door, Wait::First).unwrap(), 1);
        let sender = receiver.arrivals(1).next().unwrap().sender.unwrap();
        assert_eq!(sender.as_socket(), Some(vehicle.local_addr().unwrap()));
    }

    #[test]
    fn a_broken_socket_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(Receiver::new(false).receive(&listener, Wait::No).is_err());
    }
}
