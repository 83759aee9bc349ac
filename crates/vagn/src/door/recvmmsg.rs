//! Many datagrams with one call into the kernel, into slots that the calling thread owns.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;

use libc::{c_void, iovec, mmsghdr, msghdr, sockaddr_in6, socklen_t};
use socket2::{SockAddr, SockAddrStorage};
use vagn_wire::MAX_DATAGRAM;

use super::pktinfo;
use crate::asker::Peer;

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
    name: &'a sockaddr_in6,
    control: &'a Control,
    head: Head,
}

impl Arrival<'_> {
    /// Who sent it. Not asked of most, so it is worked out only here.
    pub(super) fn peer(&self) -> Option<Peer> {
        let mut storage = SockAddrStorage::zeroed();
        // SAFETY: the storage has room for an address of any family, and any bytes are a value of this plain C struct.
        unsafe { *storage.view_as::<sockaddr_in6>() = *self.name };
        let length = (self.head.name_length as usize).min(size_of::<sockaddr_in6>());
        // SAFETY: the first `length` bytes of the storage are an address that the kernel wrote.
        let address = unsafe { SockAddr::new(storage, length as socklen_t) }.as_socket()?;
        Some(Peer { address, sent_to: pktinfo::read(&self.control.0[..self.head.control_length]) })
    }
}

/// Slots, and what the kernel said of each in the last call.
pub(super) struct Receiver {
    slots: Box<[[u8; MAX_DATAGRAM]; CALL_MAX]>,
    /// Large enough for both families.
    names: Box<[sockaddr_in6; CALL_MAX]>,
    controls: Box<[Control; CALL_MAX]>,
    /// Also receive to which address a datagram was sent.
    asks_address: bool,
    heads: [Head; CALL_MAX],
}

/// Room for what comes beside a datagram, aligned as the kernel's headers are.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; pktinfo::SPACE]);

#[derive(Clone, Copy, Default)]
struct Head {
    length: usize,
    truncated: bool,
    name_length: socklen_t,
    control_length: usize,
}

impl Receiver {
    /// Slots for one thread. `asks_address`: also learn to which address each datagram was sent.
    pub(super) fn new(asks_address: bool) -> Self {
        // SAFETY: all zeroes is a value of this plain C struct, namely "no address".
        let nobody: sockaddr_in6 = unsafe { zeroed() };
        Self {
            slots: Box::new([[0; MAX_DATAGRAM]; CALL_MAX]),
            names: Box::new([nobody; CALL_MAX]),
            controls: Box::new([Control([0; pktinfo::SPACE]); CALL_MAX]),
            asks_address,
            heads: [Head::default(); CALL_MAX],
        }
    }

    /// Receives up to [`CALL_MAX`] datagrams and says how many. 0: none came in time.
    pub(super) fn receive(&mut self, socket: &impl AsFd, wait: Wait) -> io::Result<usize> {
        let mut parts = self.slots.each_mut().map(part);
        let mut messages = parts.each_mut().map(message);
        messages.iter_mut().zip(self.names.iter_mut()).for_each(|(message, name)| ask(message, name));
        if self.asks_address {
            let controls = self.controls.iter_mut();
            messages.iter_mut().zip(controls).for_each(|(message, control)| ask_address(message, control));
        }
        let flags = if wait == Wait::First { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: each message points to a part, which points to a slot of `MAX_DATAGRAM` bytes, to an address and
        // perhaps to a control buffer, both with their true sizes; all live through the call and none is touched
        // meanwhile.
        let count =
            unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), CALL_MAX as u32, flags as _, null_mut()) };
        let Ok(count) = usize::try_from(count) else {
            return none_or_error(io::Error::last_os_error());
        };
        for (head, message) in self.heads.iter_mut().zip(&messages[..count]) {
            let control_length: usize = message.msg_hdr.msg_controllen as _;
            *head = Head {
                length: message.msg_len as usize,
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                name_length: message.msg_hdr.msg_namelen,
                control_length: control_length.min(pktinfo::SPACE),
            };
        }
        Ok(count)
    }

    /// The first `count` datagrams of the last call.
    pub(super) fn arrivals(&self, count: usize) -> impl Iterator<Item = Arrival<'_>> {
        (0..count.min(CALL_MAX)).map(|at| {
            let head = self.heads[at];
            let payload = if head.truncated { None } else { self.slots[at].get(..head.length) };
            Arrival { payload, name: &self.names[at], control: &self.controls[at], head }
        })
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

fn ask(message: &mut mmsghdr, name: &mut sockaddr_in6) {
    message.msg_hdr.msg_name = std::ptr::from_mut(name).cast::<c_void>();
    message.msg_hdr.msg_namelen = size_of::<sockaddr_in6>() as socklen_t;
}

fn ask_address(message: &mut mmsghdr, control: &mut Control) {
    message.msg_hdr.msg_control = std::ptr::from_mut(control).cast::<c_void>();
    message.msg_hdr.msg_controllen = pktinfo::SPACE as _;
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
    fn knows_the_sender_of_either_family() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let door = UdpSocket::bind(any).unwrap();
            let vehicle = UdpSocket::bind(any).unwrap();
            vehicle.send_to(b"x", door.local_addr().unwrap()).unwrap();
            let mut receiver = Receiver::new(false);
            assert_eq!(receiver.receive(&door, Wait::First).unwrap(), 1);
            let peer = receiver.arrivals(1).next().unwrap().peer().unwrap();
            assert_eq!(peer, Peer { address: vehicle.local_addr().unwrap(), sent_to: None });
        }
    }

    #[test]
    fn a_broken_socket_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(Receiver::new(false).receive(&listener, Wait::No).is_err());
    }
}
