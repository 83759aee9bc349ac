//! The one processor hint the index uses: start loading a cache line now, to be read some work later.
//!
//! A fleet of a million vehicles is far larger than the caches; a batch that asks for all its lines first
//! waits for memory once and not once per vehicle and line.

/// Starts to load the first cache line of `value`. Does nothing on processors other than x86-64.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is only a hint. It reads nothing and cannot fault, and the address is that of a
        // live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
