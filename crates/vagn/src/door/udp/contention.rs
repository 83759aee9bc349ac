//! Contention: the time that the threads of this process were ready to run and had to wait for a processor.

use std::fs;
use std::time::Duration;

/// The kernel's folder of folders, one for each thread.
const THREADS: &str = "/proc/self/task";

/// Time that all threads of this process together have waited for a processor since they began; those that have ended are
/// not in it. Zero where the kernel does not tell (`CONFIG_SCHED_INFO`). Some 10 µs per thread.
pub(super) fn waited() -> Duration {
    let threads = fs::read_dir(THREADS).into_iter().flatten().flatten();
    threads.filter_map(|thread| delay(&fs::read_to_string(thread.path().join("schedstat")).ok()?)).sum()
}

/// The second number of `schedstat`, in ns: the time spent waiting on a run queue (kernel documentation,
/// `scheduler/sched-stats.rst`).
fn delay(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(delay("6437712 1894 117\n"), Some(Duration::from_nanos(1894)));
        assert_eq!(delay("0 0 0\n"), Some(Duration::ZERO));
        for broken in ["", "1", "1 x 3"] {
            assert_eq!(delay(broken), None, "{broken:?}");
        }
    }
}
