//! Socket options that neither the standard library nor socket2 has a name for, behind safe functions.

use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsFd, AsRawFd};

use libc::{c_int, c_void, socklen_t};

/// Sets an integer option at `SOL_SOCKET`.
pub(super) fn set_int(socket: &impl AsFd, option: c_int, value: c_int) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, option, &value)
}

/// Sets an integer option at another level, such as `IPPROTO_IP`.
pub(in crate::door) fn set_int_at(
    socket: &impl AsFd,
    level: c_int,
    option: c_int,
    value: c_int,
) -> io::Result<()> {
    set(socket, level, option, &value)
}

/// Reads an integer option at `SOL_SOCKET`.
pub(super) fn get_int(socket: &impl AsFd, option: c_int) -> io::Result<c_int> {
    let words: [u32; 1] = get_words(socket, option)?;
    Ok(words[0].cast_signed())
}

/// Reads an option that is an array of `u32`. A kernel that knows fewer words leaves the rest at 0.
pub(super) fn get_words<const N: usize>(socket: &impl AsFd, option: c_int) -> io::Result<[u32; N]> {
    let mut words = [0_u32; N];
    let mut length = size_of_val(&words) as socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `words` and `length` live through the call, and the kernel writes at most `length` bytes to `words`,
    // for which every bit pattern is a value.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, option, words.as_mut_ptr().cast::<c_void>(), &raw mut length)
    };
    check(result).map(|()| words)
}

/// Hands the kernel a classic BPF program that chooses among the sockets of a `SO_REUSEPORT` group.
pub(super) fn attach_group_program(socket: &impl AsFd, program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel copies the program and writes nothing through the pointer, whatever its type says.
    let handle = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &handle)
}

fn set<T>(socket: &impl AsFd, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let pointer = std::ptr::from_ref(value).cast::<c_void>();
    // SAFETY: `value` lives through the call and the kernel only reads `size_of::<T>()` bytes from it; what a value
    // points to itself (a program) is borrowed by the caller for as long.
    let result = unsafe { libc::setsockopt(fd, level, option, pointer, size_of::<T>() as socklen_t) };
    check(result)
}

fn check(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
