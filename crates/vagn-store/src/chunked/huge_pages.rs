//! The one hint to the system that the index gives: back this memory with huge pages.
//!
//! Random access to hundreds of megabytes misses the cache of page addresses almost every time; with huge
//! pages it seldom does. On a million vehicles that is worth a sixth of the time of a move and a fifth of
//! that of a query.

use std::mem::MaybeUninit;

/// Asks the system to back the memory with huge pages as it is filled. Does nothing on systems other than
/// Linux.
pub(super) fn use_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let before = memory.as_ptr().addr() % PAGE;
        let start = memory.as_mut_ptr().wrapping_byte_sub(before);
        let len = (before + size_of_val(memory)).next_multiple_of(PAGE);
        // SAFETY: this advice changes neither the content of the pages nor the access to them, also not of
        // what shares the first and the last page with `memory`. A refusal is no error: the pages then stay
        // small.
        let _ = unsafe { libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}
