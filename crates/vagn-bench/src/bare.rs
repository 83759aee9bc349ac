//! The least that a receiver of datagrams can do: take them with `recvmmsg` and count them.
//!
//! The reports that a service stores are compared with the datagrams that this counts, because both have the same cost in the
//! kernel. It runs as its own process, on the core of the service.

use std::io::{self, BufRead, Write};
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context;

use crate::machine::SERVER_CORE;
use crate::process::{Process, on_cores};

/// Datagrams taken by one system call. More were slower, because they did not fit into the cache.
const BATCH: usize = 64;

/// Size of the receive buffer, the same as the service asks for.
static RECEIVE_BUFFER_BYTES: libc::c_int = 8 << 20;

const SLOT: usize = 2048;

/// A counter in a process of its own.
pub struct Bare {
    process: Process,
    input: std::process::ChildStdin,
    /// Address on which it receives.
    pub address: std::net::SocketAddr,
}

impl Bare {
    /// Starts it on the service's core.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = on_cores(&SERVER_CORE.to_string(), program);
        let mut process = Process::start(command.arg("bare").stdin(Stdio::piped()))?;
        let address = process.line()?.parse().context("read the address of the bare counter")?;
        let input = process.take_input().context("speak with the bare counter")?;
        Ok(Self { process, input, address })
    }

    /// Asks for the number of datagrams counted so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn count(&mut self) -> anyhow::Result<u64> {
        self.input.write_all(b"\n").context("ask the bare counter")?;
        self.process.line()?.parse().context("read a count")
    }

    /// Processor time used, in seconds.
    pub fn cpu_s(&self) -> f64 {
        self.process.cpu_s()
    }
}

/// Counts datagrams, and prints the number for each line on standard input, until that ends.
///
/// # Errors
/// When no socket can be opened.
pub fn run() -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("bind udp socket")?;
    enlarge(&socket);
    let mut out = io::stdout();
    writeln!(out, "{}", socket.local_addr().context("ask for its address")?).context("say where")?;
    let count = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| receive(&socket, &count));
        for _ in io::stdin().lock().lines() {
            if writeln!(out, "{}", count.load(Ordering::Relaxed)).is_err() {
                break;
            }
        }
        // The receiving thread never ends by itself.
        std::process::exit(0)
    })
}

fn enlarge(socket: &UdpSocket) {
    // Without the privilege for the first, the second takes as much as the system allows.
    for option in [libc::SO_RCVBUF, libc::SO_RCVBUFFORCE] {
        // SAFETY: the value lives for the call, and its length is the one given.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const RECEIVE_BUFFER_BYTES).cast(),
                mem::size_of::<libc::c_int>() as libc::socklen_t,
            );
        }
    }
}

fn receive(socket: &UdpSocket, count: &AtomicU64) {
    let mut slots = vec![0_u8; BATCH * SLOT];
    // SAFETY: plain data for which all zeros is a valid value.
    let mut slices: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
    for ((slot, slice), header) in slots.chunks_mut(SLOT).zip(&mut slices).zip(&mut headers) {
        *slice = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: SLOT };
        header.msg_hdr.msg_iov = slice;
        header.msg_hdr.msg_iovlen = 1;
    }
    loop {
        // SAFETY: the headers point to `slices`, and those to `slots`, which outlive the loop.
        let taken = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        count.fetch_add(u64::try_from(taken).unwrap_or(0), Ordering::Relaxed);
    }
}
