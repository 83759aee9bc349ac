//! The demo: recorded buses that send their positions to the UDP door of this service, once a second.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::Context;
use vagn_load::demo::Demo;
use vagn_otp::{Failure, ThreadContext};

use vagn_flow::clock::Clock;

/// Half an hour of the bus fleet of Austin; see `data/README.md` for its origin and licence.
const AUSTIN: &[u8] = include_bytes!("../../../data/capmetro-austin-30min-small.csv");

/// Returns any free port on the loopback address of the same family as the door.
fn beside(door: SocketAddr) -> SocketAddr {
    match door {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, 0).into(),
    }
}

/// Drives the fleet until it is told to stop.
///
/// # Errors
/// When there is no socket to send from.
pub(crate) fn drive(ctx: &ThreadContext, clock: &dyn Clock, door: SocketAddr) -> Result<(), Failure> {
    let mut demo = Demo::new(AUSTIN)?;
    let socket = UdpSocket::bind(beside(door)).context("bind a socket to send from")?;
    let mut datagram = Vec::new();
    ctx.ready();
    loop {
        let now_ms = clock.now_ms();
        demo.tick(now_ms, &mut |report| {
            datagram.clear();
            vagn_wire::encode(report, &mut datagram);
            // Fails while the door is being restarted; the next second brings the next position.
            socket.send_to(&datagram, door).ok();
        });
        ctx.beat();
        let to_next_second = 1000 - clock.now_ms().rem_euclid(1000);
        if ctx.sleep(std::time::Duration::from_millis(to_next_second as u64)) {
            return Ok(());
        }
    }
}
