//! The caller: a connection, as the limits see it. Handlers get it from their request, and ask it for what is scarce.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use vagn_flow::allowance::Source;

use super::account::{Account, Full, Portion};
use super::memory::{Memory, MemoryMetrics, Rank};
use super::problem::{Kind, Problem};
use super::watch::{Watch, Watched};

/// Most bytes of an answer that has room in what its request was admitted with.
pub(crate) const SMALL: usize = 4 << 10;
/// Bytes that each request is admitted with: a small answer, and what a stream and its headers take.
pub(crate) const ADMISSION: usize = 8 << 10;
/// Most bytes of an answer that does not count as large.
const MIDDLE: usize = 16 << 10;

/// Most event streams on one connection.
pub(crate) const STREAMS_MAX: usize = 16;

/// A connection; an extractor for handlers. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Connection>);

#[derive(Debug, Default)]
struct Connection {
    memory: Arc<Memory>,
    /// None where many may be behind the address.
    peer: Option<Source>,
    /// Many may be on this very connection.
    is_shared: bool,
    source: Option<Source>,
    body_bytes: AtomicUsize,
    streams: AtomicUsize,
    /// Signs of life.
    signs: Arc<AtomicU64>,
    watch: Arc<Watch>,
}

/// One of the event streams of a connection.
#[derive(Debug)]
pub(crate) struct OfConnection(Caller);

/// Bytes of a body that is being read on a connection.
#[derive(Debug)]
pub(crate) struct BodyBytes {
    bytes: usize,
    caller: Caller,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Without a server around the router, as in tests, each request is alone.
        Ok(parts.extensions.get().cloned().unwrap_or_else(Self::alone))
    }
}

impl Caller {
    /// Returns the caller behind a new connection from `address`.
    pub fn new(memory: Arc<Memory>, address: IpAddr) -> Self {
        let peer = memory.peer(address);
        let is_shared = memory.is_shared(address);
        let source = Some(address.into());
        Self(Arc::new(Connection { memory, peer, is_shared, source, ..Connection::default() }))
    }

    /// Returns the client at `address`, as the proxy at the other end of this connection names it. It has limits of its own; those of
    /// a connection do not apply, because many clients are on it.
    pub(crate) fn behind(&self, address: IpAddr) -> Self {
        let Connection { memory, signs, watch, .. } = &*self.0;
        Self(Arc::new(Connection {
            memory: memory.clone(),
            peer: memory.peer(address),
            is_shared: true,
            source: Some(address.into()),
            signs: signs.clone(),
            watch: watch.clone(),
            ..Connection::default()
        }))
    }

    /// Returns a caller that shares nothing with others.
    pub fn alone() -> Self {
        Self(Arc::default())
    }

    /// Returns the peer, as far as there is a limit for it.
    pub(crate) fn peer(&self) -> Option<Source> {
        self.0.peer
    }

    /// Takes one place of `places`, of which this caller's address has a part.
    ///
    /// # Errors
    /// All are taken, or the part of the address is.
    pub fn take_place(&self, places: &Arc<Account>) -> Result<Portion, Full> {
        places.take(self.peer(), 1, places.limit())
    }

    /// Returns the source of what comes over the connection.
    pub fn source(&self) -> Option<Source> {
        self.0.source
    }

    pub(crate) fn metrics(&self) -> &MemoryMetrics {
        &self.0.memory.metrics
    }

    /// Returns the signs of life of the connection: requests, and pieces of answers that are taken.
    pub(crate) fn signs(&self) -> &Arc<AtomicU64> {
        &self.0.signs
    }

    /// Returns the watch over what the connection itself sends.
    pub(crate) fn watch(&self) -> &Arc<Watch> {
        &self.0.watch
    }

    /// Runs the connection, as long as nothing of an answer that it sends itself waits longer than `limit`.
    pub(crate) fn watch_over<F>(&self, connection: F, limit: Duration) -> Watched<F> {
        Watched::new(connection, self.0.watch.clone(), limit, self.0.memory.clone())
    }

    /// Takes the memory that each request needs.
    pub(crate) fn admit(&self, rank: Rank) -> Result<Portion, Full> {
        self.0.memory.take(self.peer(), ADMISSION, rank)
    }

    /// Takes room for what an answer is made of, before that is asked for.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] when answers hold too much memory, [`Kind::TooManyRequests`] when those of this address do.
    pub fn room(&self, bytes: usize) -> Result<Portion, Problem> {
        self.room_of(bytes, Rank::Small)
    }

    /// Takes room for the answer to a deed, before it is done: afterwards it could not be refused. A small one always has room.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn deed_room(&self, bytes: usize) -> Result<Portion, Problem> {
        self.room_of(bytes, Rank::Deed)
    }

    fn room_of(&self, bytes: usize, rank: Rank) -> Result<Portion, Problem> {
        match bytes {
            // The request was admitted with so much.
            0..=SMALL => Ok(self.owe(0)),
            _ if bytes <= MIDDLE => self.take(bytes, rank),
            _ => self.take(bytes, Rank::Large),
        }
    }

    /// Takes room for an answer that is there already; `rank` is that of its request.
    pub(crate) fn whole(&self, bytes: usize, rank: Rank) -> Result<Portion, Problem> {
        match rank {
            // It has been done, and must be said.
            Rank::Deed => Ok(self.owe(bytes)),
            Rank::Operator => self.take(bytes, rank),
            Rank::Large | Rank::Small => self.room_of(bytes, rank),
        }
    }

    fn take(&self, bytes: usize, rank: Rank) -> Result<Portion, Problem> {
        self.0.memory.take(self.peer(), bytes, rank).map_err(|full| match full {
            Full::All => {
                Problem::new(Kind::Overloaded, "answers that wait to be taken hold all memory for them")
            }
            Full::Peer => Problem::new(
                Kind::TooManyRequests,
                "answers to this address that wait to be taken hold all memory that one address may have",
            ),
        })
    }

    /// Counts bytes that are there in any case.
    pub(crate) fn owe(&self, bytes: usize) -> Portion {
        self.0.memory.owe(self.peer(), bytes)
    }

    /// Counts bytes of the connection's output that its socket does not take.
    pub(crate) fn owe_unsent(&self, bytes: usize) -> Portion {
        self.0.memory.unsent.owe(self.peer(), bytes)
    }

    /// Returns the bytes of output that wait for sockets now, those of all callers together.
    #[cfg(test)]
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.0.memory.unsent.held()
    }

    /// Returns the bytes that answers hold now, those of all callers together.
    pub fn answer_bytes(&self) -> usize {
        self.0.memory.answer_bytes()
    }

    /// Adds an event stream to the connection; `None` when it has as many as one may have.
    pub(crate) fn add_stream(&self) -> Option<OfConnection> {
        let before = self.0.streams.fetch_add(1, Ordering::AcqRel);
        let added = OfConnection(self.clone());
        (before < STREAMS_MAX || self.0.is_shared).then_some(added)
    }

    /// Takes `bytes` of what the bodies that are read on this connection may hold together, `most`.
    pub(crate) fn body(&self, bytes: usize, most: usize) -> Option<BodyBytes> {
        let bodies = &self.0.body_bytes;
        let took = bodies.try_update(Ordering::AcqRel, Ordering::Acquire, |held| {
            held.checked_add(bytes).filter(|held| *held <= most || self.0.is_shared)
        });
        took.ok().map(|_| BodyBytes { bytes, caller: self.clone() })
    }
}

impl Drop for OfConnection {
    fn drop(&mut self) {
        self.0.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for BodyBytes {
    fn drop(&mut self) {
        self.caller.0.body_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(address: &str) -> Caller {
        Caller::new(Arc::default(), address.parse().unwrap())
    }

    #[test]
    fn the_answer_to_a_deed_has_room_when_others_have_none() {
        let caller = caller("127.0.0.1");
        let all: Vec<_> = std::iter::from_fn(|| caller.room(1 << 20).ok()).collect();
        assert_eq!(caller.room(1 << 20).unwrap_err().kind, Kind::Overloaded);
        assert!(caller.deed_room(SMALL).is_ok() && caller.deed_room(MIDDLE).is_ok());
        assert!(caller.whole(1 << 20, Rank::Deed).is_ok(), "it is done and must be said");
        assert!(caller.whole(1 << 20, Rank::Small).is_err());
        drop(all);
        assert!(caller.room(1 << 20).is_ok());
    }
}
