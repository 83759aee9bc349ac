//! Open files: every connection is one, and the usual soft limit of 1 024 is for programs that use `select`.

use std::io;

use libc::rlimit;

/// Raises this process's soft limit of open files to its hard limit, and gives what is in force then.
///
/// # Errors
/// The limit cannot be read.
pub(super) fn raise_limit() -> io::Result<u64> {
    let mut limit = rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit` to a place that is one.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let raised = rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the kernel only reads from `raised`, which lives through the call.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0;
    Ok(if done { raised.rlim_cur } else { limit.rlim_cur })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_files_than_before_and_no_fewer_the_second_time() {
        let first = raise_limit().unwrap();
        assert!(first > 0);
        assert_eq!(raise_limit().unwrap(), first);
    }
}
