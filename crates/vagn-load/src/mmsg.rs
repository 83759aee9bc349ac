//! The two system calls that send many datagrams at once. All unsafe code of the crate is here.
//!
//! One system call per datagram sends 320 000 to 370 000 a second from one core. `sendmmsg` saves the calls; `UDP_SEGMENT` also
//! saves the way through the network stack, which is taken once for up to 64 datagrams, and reaches 1.4 to 1.6 million.

use std::{io, mem, net::UdpSocket, os::fd::AsRawFd};

/// Most datagrams in one system call: the kernel's limit for `UDP_SEGMENT` on all versions.
pub(crate) const SEND_MAX: usize = 64;

/// Sends each message as a datagram to the connected peer, at most [`SEND_MAX`] of them; gives the number that was sent.
pub(crate) fn send_each<'a>(
    socket: &UdpSocket,
    messages: impl Iterator<Item = &'a [u8]>,
) -> io::Result<usize> {
    // SAFETY: both structures are plain data for which all zeros is a valid value (null pointers, lengths of 0).
    let (mut slices, mut headers): ([libc::iovec; SEND_MAX], [libc::mmsghdr; SEND_MAX]) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut count = 0;
    for message in messages.take(SEND_MAX) {
        // The kernel only reads through it, though the type says otherwise.
        slices[count] = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
        headers[count].msg_hdr.msg_iov = &raw mut slices[count];
        headers[count].msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the first `count` headers point to slices in `slices`, and those to messages that are borrowed until the
    // end of this function; the kernel writes nothing but `msg_len`.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Control message with a segment size, aligned as the kernel needs it.
#[repr(C)]
struct SegmentSize {
    header: libc::cmsghdr,
    size: u16,
    padding: [u8; 6],
}

/// Sends `bytes` as datagrams of `size` bytes each (the last may be shorter) to the connected peer, as one message.
pub(crate) fn send_segments(socket: &UdpSocket, bytes: &[u8], size: u16) -> io::Result<()> {
    // SAFETY: all three are plain data for which all zeros is a valid value.
    let (mut control, mut message): (SegmentSize, libc::msghdr) = unsafe { (mem::zeroed(), mem::zeroed()) };
    control.header.cmsg_level = libc::SOL_UDP;
    control.header.cmsg_type = libc::UDP_SEGMENT;
    control.header.cmsg_len = (mem::size_of::<libc::cmsghdr>() + mem::size_of::<u16>()) as _;
    control.size = size;
    let mut slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = mem::size_of::<SegmentSize>() as _;
    // SAFETY: `message` points to `slice` and `control`, which live until after the call, and `slice` to `bytes`; the
    // kernel writes to none of them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        (sender, receiver)
    }

    fn receive(receiver: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
        let mut slot = [0; 2048];
        (0..count).map(|_| receiver.recv(&mut slot).map(|len| slot[..len].to_vec()).unwrap()).collect()
    }

    #[test]
    fn every_message_arrives_as_a_datagram_of_its_own() {
        let (sender, receiver) = pair();
        let messages: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; usize::from(n) + 1]).collect();
        let sent = send_each(&sender, messages.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(sent, SEND_MAX);
        assert_eq!(receive(&receiver, sent), messages[..sent]);
    }

    #[test]
    fn segments_arrive_as_datagrams_of_their_own() {
        let (sender, receiver) = pair();
        let bytes: Vec<u8> = (0..79 * 64).map(|n| (n % 251) as u8).collect();
        match send_segments(&sender, &bytes, 79) {
            Ok(()) => {
                assert_eq!(receive(&receiver, 64), bytes.chunks(79).map(<[u8]>::to_vec).collect::<Vec<_>>())
            }
            Err(err) => assert!(crate::udp::is_unsupported(&err), "{err}"),
        }
    }
}
