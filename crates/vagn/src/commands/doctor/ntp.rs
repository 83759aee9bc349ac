//! Asks the kernel whether a time service keeps its clock right. The only system call of `doctor` without a safe wrapper.

use std::mem;

/// State of the kernel's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// A time service keeps it right, within `error_ms`.
    Kept { error_ms: i64 },
    /// No time service corrects it.
    Free,
    /// The kernel gives no answer.
    Unknown,
}

pub(super) fn ask() -> Sync {
    // SAFETY: `timex` is plain data for which all zeros is a valid value; `modes` of 0 asks and sets nothing.
    let mut told: libc::timex = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes to the one structure it is given, which outlives the call.
    let state = unsafe { libc::adjtimex(&raw mut told) };
    match state {
        -1 => Sync::Unknown,
        libc::TIME_ERROR => Sync::Free,
        _ => Sync::Kept { error_ms: told.maxerror / 1000 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        if let Sync::Kept { error_ms } = ask() {
            assert!((0..=16_000).contains(&error_ms), "{error_ms}: the kernel gives up at 16 s");
        }
    }
}
