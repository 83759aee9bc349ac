//! The way back to the sender of a datagram that asks to be told when its alarm is on disk.
//!
//! The door knows the way back to them, a later stage what to say and when. An answer is a datagram: it never waits, and
//! may be lost. The sender of an envelope gets one sealed answer, once all its calls are on disk.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vagn_seal::{KeyTable, OVERHEAD};

use crate::answers::AnswerSequence;
use crate::proof::SealMark;

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
    sealed: Option<Arc<SealedReply>>,
}

/// The answer to an envelope, sealed when its last call is on disk.
pub(crate) struct SealedReply {
    keys: Arc<KeyTable>,
    sequence: Arc<AnswerSequence>,
    seal: SealMark,
    answer: Vec<u8>,
    /// Calls that are not on disk.
    pending: AtomicUsize,
}

impl ReplyTo {
    /// Returns the way back to `peer` through the door of `outlet`.
    pub fn new(outlet: Arc<dyn Outlet>, peer: Peer) -> Self {
        Self { outlet, peer, sealed: None }
    }

    /// Makes it the way back to the sender of an envelope.
    pub(crate) fn sealed(self, sealed: SealedReply) -> Self {
        Self { sealed: Some(Arc::new(sealed)), ..self }
    }

    /// Sends it `answer`.
    pub fn answer(&self, answer: &[u8]) {
        self.outlet.answer(answer, &self.peer);
    }

    /// Returns true for the sender of an envelope, which gets no answer in clear: it gets one by [`grant`](Self::grant).
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// Returns true when both lead to the sender of the same envelope.
    pub fn is_same_envelope(&self, other: &Self) -> bool {
        self.sealed.as_ref().zip(other.sealed.as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Notes that so many calls of an envelope are on disk, and sends the answer after the last one.
    pub fn grant(&self, calls: usize) {
        let answer = self.sealed.as_ref().and_then(|sealed| sealed.grant(calls));
        if let Some(answer) = answer {
            self.answer(&answer);
        }
    }
}

impl SealedReply {
    /// Returns an answer, in clear, to the sender of an envelope with so many calls.
    pub(crate) fn new(
        keys: Arc<KeyTable>,
        sequence: Arc<AnswerSequence>,
        seal: SealMark,
        answer: Vec<u8>,
        calls: usize,
    ) -> Self {
        Self { keys, sequence, seal, answer, pending: AtomicUsize::new(calls) }
    }

    /// Returns the length of the sealed answer, in bytes.
    pub(crate) fn len(&self) -> usize {
        OVERHEAD + self.answer.len()
    }

    fn grant(&self, calls: usize) -> Option<Vec<u8>> {
        if self.pending.fetch_sub(calls, Ordering::AcqRel) != calls {
            return None;
        }
        let SealMark { key_id, epoch, .. } = self.seal;
        let mut sealed = Vec::with_capacity(self.len());
        let is_sealed =
            self.keys.seal_answer(key_id, epoch, self.sequence.take()?, &self.answer, &mut sealed);
        is_sealed.then_some(sealed)
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplyTo").field(&self.peer).finish()
    }
}
