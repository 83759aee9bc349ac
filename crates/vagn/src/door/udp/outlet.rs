//! The way out of a UDP door: an answer to a single sender, from the socket that it spoke to.

use std::sync::Arc;

use super::pktinfo;
use super::socket::DoorSocket;
use vagn_flow::metrics::DoorMetrics;
use vagn_flow::reply::{Outlet, Peer};

/// Sends from one socket. Stays valid after the door has stopped: what is recorded at the very end is answered all the same.
pub(super) struct DoorOutlet {
    socket: Arc<DoorSocket>,
    metrics: DoorMetrics,
}

impl DoorOutlet {
    pub(super) fn new(socket: Arc<DoorSocket>, metrics: DoorMetrics) -> Self {
        Self { socket, metrics }
    }

    /// Never waits: what finds no room is lost, as a datagram may be, and counted under `fault`.
    pub(super) fn send(&self, bytes: &[u8], peer: &Peer, fault: &'static str) {
        if pktinfo::send(&self.socket.socket, bytes, peer).is_err() {
            self.metrics.fault(fault);
        }
    }
}

impl Outlet for DoorOutlet {
    fn answer(&self, answer: &[u8], peer: &Peer) {
        self.send(answer, peer, "udp_ack");
    }
}
