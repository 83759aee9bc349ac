//! Asking the kernel whether something keeps its clock right. The one system call of `doctor` without a safe wrapper.

use std::mem;

/// What the kernel says of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// A time service keeps it right, within this much.
    Kept { error_ms: i64 },
    /// Nothing does.
    Free,
    /// The kernel does not say.
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
