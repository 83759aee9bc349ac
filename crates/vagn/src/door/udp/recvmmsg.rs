//! Many datagrams with one call into the kernel, into slots that the calling thread owns.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;

use libc::{c_void, iovec, mmsghdr, msghdr, sockaddr_in6, socklen_t};
use socket2::{SockAddr, SockAddrStorage};
use vagn_wire::MAX_DATAGRAM;

use super::{control, gro, pktinfo};
use vagn_flow::allowance::Source;
use vagn_flow::reply::Peer;

/// Pieces per call, each a datagram unless the kernel merges them. 64 beats 256: the slots stay in the cache.
pub(super) const RECEIVE_MAX: usize = 64;

/// Space between two slots, so that their beginnings, which are all that most datagrams fill, do not compete for the same
/// lines of the nearest cache.
const STAGGER: usize = 128;

/// Room for all that the kernel may be asked for.
const CONTROL_SPACE: usize = pktinfo::SPACE + gro::SPACE;

/// `First`: wait for a first datagram, up to the socket's read timeout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    First,
    No,
}

/// Extras that a socket was set up to give besides datagrams and their senders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::door) struct Gives {
    /// The machine's address that a datagram was sent to.
    pub(super) address: bool,
    /// Several datagrams of one sender in one piece.
    pub(in crate::door) merged: bool,
}

/// One datagram in its slot.
pub(super) struct Arrival<'a> {
    /// `None`: longer than any report.
    pub(super) payload: Option<&'a [u8]>,
    name: &'a sockaddr_in6,
    name_length: socklen_t,
    control: &'a [u8],
}

impl Arrival<'_> {
    /// Returns the sender. Few datagrams are asked for it, so it is worked out only here.
    pub(super) fn peer(&self) -> Option<Peer> {
        let mut storage = SockAddrStorage::zeroed();
        // SAFETY: the storage has room for an address of any family, and any bytes are a value of this plain C struct.
        unsafe { *storage.view_as::<sockaddr_in6>() = *self.name };
        let length = (self.name_length as usize).min(size_of::<sockaddr_in6>());
        // SAFETY: the first `length` bytes of the storage are an address that the kernel wrote.
        let address = unsafe { SockAddr::new(storage, length as socklen_t) }.as_socket()?;
        let sent_to = control::messages(self.control).find_map(|message| pktinfo::read(&message));
        Some(Peer { address, sent_to })
    }

    /// Returns the source of the datagram.
    pub(super) fn source(&self) -> Option<Source> {
        self.peer().map(|peer| peer.address.ip().into())
    }
}

/// Slots, and the kernel's notes on each in the last call.
pub(super) struct Receiver {
    gives: Gives,
    slots: Slots,
    /// Large enough for both families.
    names: Box<[sockaddr_in6; RECEIVE_MAX]>,
    controls: Box<[Control; RECEIVE_MAX]>,
    heads: [Received; RECEIVE_MAX],
}

/// Memory for [`RECEIVE_MAX`] pieces. Memory that is never filled is never taken.
struct Slots {
    bytes: Vec<u8>,
    length: usize,
}

/// Room for what comes beside a datagram, aligned as the kernel's headers are.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_SPACE]);

#[derive(Clone, Copy, Default)]
struct Received {
    length: usize,
    truncated: bool,
    name_length: socklen_t,
    control_length: usize,
}

impl Slots {
    fn new(length: usize) -> Self {
        Self { bytes: vec![0; RECEIVE_MAX * (length + STAGGER)], length }
    }

    fn parts(&mut self) -> [iovec; RECEIVE_MAX] {
        let length = self.length;
        let mut slots = self.bytes.chunks_exact_mut(length + STAGGER);
        std::array::from_fn(|_| part(&mut slots.next().expect("there are as many")[..length]))
    }

    fn get(&self, at: usize) -> &[u8] {
        &self.bytes[at * (self.length + STAGGER)..][..self.length]
    }
}

impl Receiver {
    /// Slots for one thread that receives from a socket which gives all this.
    pub(super) fn new(gives: Gives) -> Self {
        // SAFETY: all zeroes is a value of this plain C struct, namely "no address".
        let none: sockaddr_in6 = unsafe { zeroed() };
        Self {
            gives,
            slots: Slots::new(if gives.merged { gro::PIECE_MAX } else { MAX_DATAGRAM }),
            names: Box::new([none; RECEIVE_MAX]),
            controls: Box::new([Control([0; CONTROL_SPACE]); RECEIVE_MAX]),
            heads: [Received::default(); RECEIVE_MAX],
        }
    }

    /// Receives up to [`RECEIVE_MAX`] pieces and says how many. 0: none came in time.
    pub(super) fn receive(&mut self, socket: &impl AsFd, wait: Wait) -> io::Result<usize> {
        let mut parts = self.slots.parts();
        let mut messages = parts.each_mut().map(message);
        for (message, name) in messages.iter_mut().zip(self.names.iter_mut()) {
            ask(message, name);
        }
        if self.gives != Gives::default() {
            let controls = self.controls.iter_mut();
            for (message, control) in messages.iter_mut().zip(controls) {
                ask_beside(message, control);
            }
        }
        let flags = if wait == Wait::First { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: each message points to a part, which points to a slot of as many bytes as it says, to an address and
        // perhaps to a control buffer, both with their true sizes; all live through the call and none is touched
        // meanwhile.
        let count =
            unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), RECEIVE_MAX as u32, flags as _, null_mut()) };
        let Ok(count) = usize::try_from(count) else {
            return none_or_error(io::Error::last_os_error());
        };
        for (head, message) in self.heads.iter_mut().zip(&messages[..count]) {
            let control_length: usize = message.msg_hdr.msg_controllen as _;
            *head = Received {
                length: message.msg_len as usize,
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                name_length: message.msg_hdr.msg_namelen,
                control_length: control_length.min(CONTROL_SPACE),
            };
        }
        Ok(count)
    }

    /// Bytes in the first `count` pieces of the last call.
    pub(super) fn bytes(&self, count: usize) -> usize {
        self.heads.iter().take(count).map(|head| head.length).sum()
    }

    /// The datagrams in the first `count` pieces of the last call.
    pub(super) fn arrivals(&self, count: usize) -> impl Iterator<Item = Arrival<'_>> {
        (0..count.min(RECEIVE_MAX)).flat_map(|at| self.datagrams(at))
    }

    fn datagrams(&self, at: usize) -> impl Iterator<Item = Arrival<'_>> {
        let Received { length, truncated, name_length, control_length } = self.heads[at];
        let piece = &self.slots.get(at)[..length.min(self.slots.length)];
        let control = &self.controls[at].0[..control_length];
        let name = &self.names[at];
        split(piece, self.datagram_length(control)).map(move |datagram| {
            let fits = !truncated && datagram.len() <= MAX_DATAGRAM;
            Arrival { payload: fits.then_some(datagram), name, name_length, control }
        })
    }

    fn datagram_length(&self, control: &[u8]) -> Option<usize> {
        let merged = self.gives.merged && !control.is_empty();
        merged.then(|| control::messages(control).find_map(|message| gro::datagram_length(&message)))?
    }
}

/// The datagrams of this length in a piece; `None`: it is one, which may be empty.
fn split(piece: &[u8], length: Option<usize>) -> impl Iterator<Item = &[u8]> {
    let length = length.unwrap_or(piece.len()).max(1);
    let count = piece.len().div_ceil(length).max(1);
    (0..count).map(move |number| &piece[number * length..piece.len().min((number + 1) * length)])
}

fn part(slot: &mut [u8]) -> iovec {
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

fn ask_beside(message: &mut mmsghdr, control: &mut Control) {
    message.msg_hdr.msg_control = std::ptr::from_mut(control).cast::<c_void>();
    message.msg_hdr.msg_controllen = CONTROL_SPACE as _;
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
    use crate::door::udp::sockopt;
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
        let mut receiver = Receiver::new(Gives::default());
        assert_eq!(receiver.receive(&door, Wait::First).unwrap(), RECEIVE_MAX);
        let first: Vec<u8> = receiver.arrivals(RECEIVE_MAX).map(|one| one.payload.unwrap()[0]).collect();
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
        let mut receiver = Receiver::new(Gives::default());
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
            let mut receiver = Receiver::new(Gives::default());
            assert_eq!(receiver.receive(&door, Wait::First).unwrap(), 1);
            let peer = receiver.arrivals(1).next().unwrap().peer().unwrap();
            assert_eq!(peer, Peer { address: vehicle.local_addr().unwrap(), sent_to: None });
        }
    }

    /// Sends `bytes` as datagrams of this length, the last one perhaps shorter, with one call (`udp(7)`).
    fn send_segments(vehicle: &UdpSocket, bytes: &[u8], length: usize) {
        sockopt::set_int_at(vehicle, libc::SOL_UDP, libc::UDP_SEGMENT, length as _).unwrap();
        vehicle.send(bytes).unwrap();
    }

    #[test]
    fn takes_merged_datagrams_apart() {
        let (door, vehicle) = pair();
        // Where the kernel refuses to merge, the same datagrams come one by one.
        let merged = gro::enable(&door).is_ok();
        let bytes: Vec<u8> = (0..100).collect();
        send_segments(&vehicle, &bytes, 30);
        send_segments(&vehicle, &vec![7; 3 * MAX_DATAGRAM], MAX_DATAGRAM + 1);
        send_segments(&vehicle, &[1], 30);
        let mut receiver = Receiver::new(Gives { merged, ..Gives::default() });
        let mut pieces = 0;
        let mut payloads = Vec::new();
        while payloads.len() < 7 {
            let count = receiver.receive(&door, Wait::First).unwrap();
            pieces += count;
            assert!(count > 0, "the rest never comes: {payloads:?}");
            payloads.extend(receiver.arrivals(count).map(|one| one.payload.map(<[u8]>::to_vec)));
            assert!(
                receiver
                    .arrivals(count)
                    .all(|one| one.peer().unwrap().address == vehicle.local_addr().unwrap())
            );
        }
        let mut expected: Vec<_> = bytes.chunks(30).map(|part| Some(part.to_vec())).collect();
        expected.extend([None, None, Some(vec![7; MAX_DATAGRAM - 2]), Some(vec![1])]);
        assert_eq!(payloads, expected);
        assert_eq!(pieces, if merged { 3 } else { expected.len() });
    }

    #[test]
    fn an_empty_datagram_is_one_whether_merged_or_not() {
        for length in [None, Some(30)] {
            assert_eq!(split(b"", length).collect::<Vec<_>>(), [b""]);
        }
        assert_eq!(split(b"abcde", Some(2)).collect::<Vec<_>>(), [&b"ab"[..], b"cd", b"e"]);
        assert_eq!(split(b"abcd", Some(9)).collect::<Vec<_>>(), [b"abcd"]);
    }

    #[test]
    fn a_broken_socket_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(Receiver::new(Gives::default()).receive(&listener, Wait::No).is_err());
    }
}
