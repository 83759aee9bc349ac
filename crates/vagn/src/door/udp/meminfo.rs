//! A socket's receive queue as the kernel sees it: how full it is, and how much it had to drop.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use super::sockopt;

/// Places in the answer to `SO_MEMINFO` (`linux/sock_diag.h`).
const RECEIVE_QUEUE: usize = 0;
const DROPS: usize = 8;
const WORDS: usize = 9;

/// A socket's queue at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemInfo {
    /// Waiting datagrams, in bytes as the kernel books them (about 768 for a small datagram).
    pub(super) queued_bytes: u32,
    /// Datagrams dropped since the socket was made; wraps around.
    pub(super) drops: u32,
}

impl MemInfo {
    /// Asks the kernel. `SO_RXQ_OVFL` would not do: it tells of drops only with a later datagram.
    pub(super) fn read(socket: &impl AsFd) -> io::Result<Self> {
        let words: [u32; WORDS] = sockopt::get_words(socket, libc::SO_MEMINFO)?;
        Ok(Self { queued_bytes: words[RECEIVE_QUEUE], drops: words[DROPS] })
    }
}

/// Turns the kernel's wrapping count of drops into additions to a counter. Lives as long as the socket, so that a
/// restarted door counts no drop twice.
#[derive(Debug, Default)]
pub(super) struct DropCount {
    last: AtomicU32,
}

impl DropCount {
    /// Drops since the last call.
    pub(super) fn advance(&self, drops: u32) -> u32 {
        drops.wrapping_sub(self.last.swap(drops, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_drop_once_and_over_the_wrap() {
        let count = DropCount::default();
        let seen: Vec<u32> = [0, 5, 5, u32::MAX, 3].map(|drops| count.advance(drops)).into();
        assert_eq!(seen, [0, 5, 0, u32::MAX - 5, 4]);
    }
}
