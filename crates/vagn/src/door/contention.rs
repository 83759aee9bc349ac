//! Whether a thread has to share its processor: how often it was made to give it up.

use std::mem::zeroed;

/// Times that the calling thread was stopped although it had more to do, since it began.
pub(super) fn times_stopped() -> u64 {
    // SAFETY: all zeroes is a value of this plain C struct of numbers.
    let mut usage: libc::rusage = unsafe { zeroed() };
    // SAFETY: `usage` is a rusage and lives through the call, which touches nothing else.
    let done = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    if done == 0 { usage.ru_nivcsw.unsigned_abs() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back() {
        let before = times_stopped();
        assert!(times_stopped() >= before);
    }
}
