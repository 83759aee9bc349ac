//! The way back to the sender of a datagram that asks to be told when its alarm is on disk.
//!
//! The door knows the way back to them, a later stage what to say and when. An answer is a datagram: it never waits, and
//! may be lost.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Sender of a datagram, and the address that it was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address of the sender.
    pub address: SocketAddr,
    /// The machine's address that it was sent to, if the door listens at all of them. An answer from another one
    /// would not pass a firewall or a connected socket.
    pub sent_to: Option<IpAddr>,
}

/// The way out of a door.
pub trait Outlet: Send + Sync {
    /// Sends `answer` to `peer` from the socket that it spoke to. Never waits; what cannot be sent at once is lost.
    fn answer(&self, answer: &[u8], peer: &Peer);
}

/// The sender of one datagram, with the way back.
#[derive(Clone)]
pub struct ReplyTo {
    outlet: Arc<dyn Outlet>,
    peer: Peer,
}

impl ReplyTo {
    /// The way back to `peer` through the door of `outlet`.
    pub fn new(outlet: Arc<dyn Outlet>, peer: Peer) -> Self {
        Self { outlet, peer }
    }

    /// Sends it `answer`.
    pub fn answer(&self, answer: &[u8]) {
        self.outlet.answer(answer, &self.peer);
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplyTo").field(&self.peer).finish()
    }
}
