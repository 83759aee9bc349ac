//! The priority of a thread. The crate's only unsafe code.

/// Sets the calling thread's nice value, -20 (first) to 19 (last). To raise the priority takes a privilege; without it nothing
/// changes.
#[cfg(target_os = "linux")]
pub fn set_nice(level: i32) {
    // SAFETY: takes plain numbers and touches no memory. On Linux `0` means the calling thread, not the process.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, level) };
    if result != 0 {
        tracing::debug!(level, error = %std::io::Error::last_os_error(), "nice value not set");
    }
}

/// Elsewhere priorities belong to processes, not to threads.
#[cfg(not(target_os = "linux"))]
pub fn set_nice(_level: i32) {}
