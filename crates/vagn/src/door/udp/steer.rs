//! Steering: a program in the kernel that gives alarms a socket, and so a buffer, of their own.
//!
//! Two sockets share the UDP port as a `SO_REUSEPORT` group. For each datagram the kernel runs the program over the
//! payload and delivers to the socket whose index it returns. So a flood of positions fills its own buffer only.

use std::io;

use libc::{BPF_ALU, BPF_B, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LEN, BPF_MISC};
use libc::{BPF_RET, BPF_SUB, BPF_TAX, BPF_W, sock_filter};
use socket2::Socket;

use super::sockopt;

/// Last byte of the original's layout when `Emergency` is true: msgpack `true`.
const MSGPACK_TRUE: u32 = 0xc3;

/// Index in the group, which is the order of binding.
const ORDINARY: u32 = 0;
const EMERGENCY: u32 = 1;

/// Returns 1 when the last byte of the payload is `0xc3`, else 0. A load from beyond the payload ends the program with
/// 0, so an empty datagram takes the ordinary socket.
const PROGRAM: [sock_filter; 7] = [
    step(BPF_LD | BPF_W | BPF_LEN, 0),
    step(BPF_ALU | BPF_SUB | BPF_K, 1),
    step(BPF_MISC | BPF_TAX, 0),
    step(BPF_LD | BPF_B | BPF_IND, 0),
    sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: 0, jf: 1, k: MSGPACK_TRUE },
    step(BPF_RET | BPF_IMM, EMERGENCY),
    step(BPF_RET | BPF_IMM, ORDINARY),
];

/// Gives the group of `socket` the program. Errors when the kernel or a sandbox refuses it.
pub(super) fn attach(socket: &Socket) -> io::Result<()> {
    sockopt::attach_group_program(socket, &PROGRAM)
}

const fn step(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}
