//! The umask: no file or directory that a command makes is for other users, whichever part or library makes it.

/// Rights that nothing new gives away.
const PRIVATE: libc::mode_t = 0o077;

/// Sets it for this process. To be called before there are other threads.
pub(super) fn keep_private() {
    // SAFETY: the call takes a number, touches no memory, and cannot fail.
    unsafe { libc::umask(PRIVATE) };
}
