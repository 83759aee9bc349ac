//! Contention: the time that threads of this process were ready to run and had to wait for a processor.

use std::fs;
use std::time::Duration;

/// The kernel's folder of folders, one for each thread.
const THREADS: &str = "/proc/self/task";

/// Returns the kernel's number of the calling thread; `None` where it does not tell, and with stand-ins for threads.
pub(crate) fn thread_number() -> Option<u32> {
    if cfg!(feature = "shuttle") {
        return None;
    }
    // Leads to `<process>/task/<thread>`.
    fs::read_link("/proc/thread-self").ok()?.file_name()?.to_str()?.parse().ok()
}

/// Returns the time that a thread of this process has waited for a processor since it began; `None` where the kernel does not tell
/// (`CONFIG_SCHED_INFO`). Some 10 µs.
pub(crate) fn waited(thread: u32) -> Option<Duration> {
    delay(&fs::read_to_string(format!("{THREADS}/{thread}/schedstat")).ok()?)
}

/// Returns the time that all threads of this process together have waited for a processor since they began; those that have ended are
/// not in it. Zero where the kernel does not tell. Some 10 µs per thread.
pub fn waited_by_all() -> Duration {
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

    #[cfg(not(feature = "shuttle"))]
    #[test]
    fn a_thread_finds_itself() {
        let number = thread_number().expect("Linux tells it");
        assert!(waited(number).is_some());
        let other = std::thread::scope(|scope| scope.spawn(thread_number).join().unwrap());
        assert!(other.is_some_and(|other| other != number));
    }
}
