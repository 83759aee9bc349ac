//! Asks the kernel whether a time service keeps its clock right. The only system call of this crate without a safe wrapper.

use std::mem;

/// Furthest that the kernel's clock may be from a reading of the wall clock, in s, to be the same clock.
const SAME_CLOCK_S: u64 = 5;

/// State of the kernel's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelClock {
    /// A time service keeps it right.
    Kept {
        /// Largest error, ms.
        error_ms: i64,
        /// Time by this clock, seconds since 1970.
        now_s: i64,
    },
    /// No time service corrects it, or it was set by hand since.
    Free,
    /// The kernel gives no answer.
    Unknown,
}

impl KernelClock {
    /// Asks the kernel.
    pub fn ask() -> Self {
        // SAFETY: `timex` is plain data for which all zeros is a valid value; `modes` of 0 asks and sets nothing.
        let mut told: libc::timex = unsafe { mem::zeroed() };
        // SAFETY: the kernel writes to the one structure it is given, which outlives the call.
        let state = unsafe { libc::adjtimex(&raw mut told) };
        match state {
            -1 => Self::Unknown,
            libc::TIME_ERROR => Self::Free,
            _ => Self::Kept { error_ms: told.maxerror / 1000, now_s: told.time.tv_sec },
        }
    }

    /// Returns true if the kernel calls the clock right that says `wall_ms`, ms since 1970. Its word does not count for a
    /// wall clock that is not its own, as where a library stands between.
    pub fn keeps(self, wall_ms: i64) -> bool {
        match self {
            Self::Kept { now_s, .. } => wall_ms.div_euclid(1000).abs_diff(now_s) <= SAME_CLOCK_S,
            Self::Free | Self::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        if let KernelClock::Kept { error_ms, .. } = KernelClock::ask() {
            assert!((0..=16_000).contains(&error_ms), "{error_ms}: the kernel gives up at 16 s");
        }
    }

    #[test]
    fn its_word_counts_for_its_own_clock_only() {
        let kept = KernelClock::Kept { error_ms: 1, now_s: 1_790_000_000 };
        assert!(kept.keeps(1_790_000_000_999) && kept.keeps(1_789_999_995_000));
        assert!(!kept.keeps(1_790_000_006_000) && !kept.keeps(0));
        assert!(!KernelClock::Free.keeps(1_790_000_000_000));
    }
}
