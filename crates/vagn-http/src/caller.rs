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
use super::memory::{self, Memory, MemoryMetrics, Rank};
use super::problem::{Kind, Problem};
use super::watch::{Watch, Watched};

/// Most bytes of an answer that has room in what its request was admitted with.
pub(crate) const SMALL: usize = 4 << 10;
/// Bytes that each request is admitted with: a small answer, and what a stream and its headers take.
pub(crate) const ADMISSION: usize = 8 << 10;
/// Most bytes of an answer that does not count as large.
const MIDDLE: usize = 16 << 10;

/// Most event streams on one connection.
const STREAMS_MAX: usize = 16;

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

/// A place for an event stream.
#[derive(Debug)]
pub struct StreamPlace {
    _place: Portion,
    caller: Caller,
}

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
    pub(crate) fn new(memory: Arc<Memory>, address: IpAddr) -> Self {
        let (peer, is_shared) = (memory.peer(address), memory.is_shared(address));
        let source = Some(address.into());
        Self(Arc::new(Connection { memory, peer, is_shared, source, ..Connection::default() }))
    }

    /// Returns the client at `address` for whom the proxy at the other end of this connection asks. It has limits of its own; those of
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

    /// Returns a caller who shares nothing with others.
    pub fn alone() -> Self {
        Self(Arc::default())
    }

    /// The peer, as far as there is a limit for it.
    pub(crate) fn peer(&self) -> Option<Source> {
        self.0.peer
    }

    /// Returns the source of what comes over the connection.
    pub fn source(&self) -> Option<Source> {
        self.0.source
    }

    pub(crate) fn metrics(&self) -> &MemoryMetrics {
        &self.0.memory.metrics
    }

    /// Signs of life of the connection: requests, and pieces of answers that are taken.
    pub(crate) fn signs(&self) -> &Arc<AtomicU64> {
        &self.0.signs
    }

    /// The watch over what the connection itself sends.
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

    /// Bytes that answers hold now, those of all callers together.
    pub fn answer_bytes(&self) -> usize {
        self.0.memory.answer_bytes()
    }

    /// Takes a place for an event stream: of `places`, and of the few that a connection has.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] when all places are taken, [`Kind::TooManyRequests`] when this address or this connection has too many.
    pub fn stream(&self, places: &Arc<Account>) -> Result<StreamPlace, Problem> {
        let place = places.take(self.peer(), 1, usize::MAX).map_err(|full| {
            self.metrics().stream(memory::reason(full));
            match full {
                Full::All => {
                    let all = places.limit();
                    Problem::new(Kind::Overloaded, format!("all {all} event streams are in use"))
                }
                Full::Peer => {
                    let why = "this address has as many event streams as one may have";
                    Problem::new(Kind::TooManyRequests, why)
                }
            }
        })?;
        if self.0.streams.fetch_add(1, Ordering::AcqRel) >= STREAMS_MAX && !self.0.is_shared {
            self.0.streams.fetch_sub(1, Ordering::AcqRel);
            self.metrics().stream("connection");
            let why = format!("a connection may have at most {STREAMS_MAX} event streams");
            return Err(Problem::new(Kind::TooManyRequests, why));
        }
        Ok(StreamPlace { _place: place, caller: self.clone() })
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

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.caller.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for BodyBytes {
    fn drop(&mut self) {
        self.caller.0.body_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use vagn_flow::metrics::MetricRegistry;

    use super::*;
    use crate::account::AccountGauges;
    use crate::peer::SharedAddresses;

    fn caller(address: &str) -> Caller {
        Caller::new(Arc::default(), address.parse().unwrap())
    }

    #[test]
    fn streams_are_limited_by_connection_and_by_address() {
        let places = Account::new(100, 20, AccountGauges::default());
        let (first, second) = (caller("192.0.2.1"), caller("192.0.2.1"));
        let mut open: Vec<_> = (0..STREAMS_MAX).map(|_| first.stream(&places).unwrap()).collect();
        assert_eq!(first.stream(&places).unwrap_err().kind, Kind::TooManyRequests);
        open.extend((0..20 - STREAMS_MAX).map(|_| second.stream(&places).unwrap()));
        assert_eq!(second.stream(&places).unwrap_err().kind, Kind::TooManyRequests);
        // Many may be behind a proxy on this machine: only the connection counts.
        let proxies: Vec<_> = (0..10).map(|_| caller("127.0.0.1")).collect();
        while let Some(stream) = proxies.iter().find_map(|proxy| proxy.stream(&places).ok()) {
            open.push(stream);
        }
        assert_eq!(
            (open.len(), caller("192.0.2.9").stream(&places).unwrap_err().kind),
            (100, Kind::Overloaded)
        );
        open.clear();
        assert_eq!(places.held(), 0);
        assert!(first.stream(&places).is_ok());
        let shared = SharedAddresses::new(["192.0.2.7".parse().unwrap()]);
        let memory = Memory::new(1 << 20, shared, &MetricRegistry::new());
        let proxy = Caller::new(Arc::new(memory), "192.0.2.7".parse().unwrap());
        open.extend((0..=STREAMS_MAX).map(|_| proxy.stream(&places).unwrap()));
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
