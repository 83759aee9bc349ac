//! Control messages: the kernel's notes beside a datagram, one behind the other (`cmsg(3)`).

use std::mem::size_of;

use libc::{c_int, cmsghdr};

/// Header and value of a control message are aligned like this.
const ALIGN: usize = size_of::<usize>();

const HEAD: usize = size_of::<cmsghdr>().next_multiple_of(ALIGN);

/// One control message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The protocol that it is of, such as `IPPROTO_IP`.
    pub(super) level: c_int,
    /// Kind of the value: one of the level's socket options.
    pub(super) kind: c_int,
    pub(super) value: &'a [u8],
}

/// Bytes that a message with a value of this length takes.
pub(super) const fn space(value: usize) -> usize {
    HEAD + value.next_multiple_of(ALIGN)
}

/// The messages in what the kernel wrote. What is cut off ends them.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::from_ne_bytes(*bytes.first_chunk()?);
        let level = int(bytes, ALIGN)?;
        let kind = int(bytes, ALIGN + size_of::<c_int>())?;
        let value = bytes.get(HEAD..length)?;
        bytes = bytes.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some(Message { level, kind, value })
    })
}

fn int(bytes: &[u8], at: usize) -> Option<c_int> {
    bytes.get(at..)?.first_chunk().map(|int| c_int::from_ne_bytes(*int))
}

impl Message<'_> {
    /// The message as the kernel reads it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (HEAD + self.value.len()).to_ne_bytes().to_vec();
        bytes.extend(self.level.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.resize(HEAD, 0);
        bytes.extend(self.value);
        bytes.resize(space(self.value.len()), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_back_as_they_were_written() {
        let all =
            [&b""[..], b"abcd", b"12345678", b"123456789"].map(|value| Message { level: -1, kind: 7, value });
        let bytes = all.iter().flat_map(Message::to_bytes).collect::<Vec<u8>>();
        assert_eq!(bytes.len(), all.iter().map(|message| space(message.value.len())).sum::<usize>());
        assert!(messages(&bytes).eq(all));
    }

    #[test]
    fn what_is_cut_off_or_lies_about_its_length_ends_them() {
        let whole = Message { level: 1, kind: 2, value: b"abcd" }.to_bytes();
        for cut in 0..HEAD + 4 {
            assert_eq!(messages(&whole[..cut]).next(), None, "cut at {cut}");
        }
        for length in [0, 1, HEAD - 1, whole.len() + 1, usize::MAX - 1] {
            let mut lying = whole.clone();
            lying[..ALIGN].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&lying).next(), None, "{length}");
        }
    }
}
