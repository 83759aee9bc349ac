//! Places for event streams: so many in all, and fewer for one address, one connection, and the holder of one token or share.
//!
//! Behind a proxy, or on this machine, all clients have one address, which has no limit then. The holder has one there too.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::metrics::MetricRegistry;
use vagn_registry::Digest;

use super::account::{Account, AccountGauges, Full, Portion};
use super::caller::{Caller, OfConnection, STREAMS_MAX};
use super::memory;
use super::problem::{Kind, Problem};

/// The token or share by which a stream is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A token, with all its sessions.
    Token(Digest),
    /// A share, by its number.
    Share(u64),
}

/// Places for streams of one kind.
#[derive(Debug)]
pub struct StreamPlaces {
    places: Arc<Account>,
    of_holder: usize,
    held: Mutex<HashMap<Holder, usize>>,
}

/// Registers gauges of the streams of one kind: those in use, as `name`, and `most`, with `_max` behind it.
pub fn gauges(registry: &MetricRegistry, name: &str, kind: &str, most: usize) -> AccountGauges {
    let open = registry.register(name, &format!("Event streams of {kind} open now"), Gauge::default());
    let help = format!("Event streams of {kind} that may be open");
    let limit: Gauge<u64, AtomicU64> = registry.register(&format!("{name}_max"), &help, Gauge::default());
    limit.set(most as u64);
    AccountGauges { held: open, highest: Gauge::default() }
}

/// A place for an event stream.
#[derive(Debug)]
pub struct StreamPlace {
    _place: Portion,
    _of_connection: OfConnection,
    holder: Option<Holder>,
    places: Arc<StreamPlaces>,
}

impl StreamPlaces {
    /// Allows `most` streams, of which one address may have `of_address`, and the holder of one token or share `of_holder`.
    pub fn new(most: usize, of_address: usize, of_holder: usize) -> Arc<Self> {
        Self::shown(most, of_address, of_holder, AccountGauges::default())
    }

    /// Does as [`new`](Self::new), with gauges of how many are in use.
    pub fn shown(most: usize, of_address: usize, of_holder: usize, in_use: AccountGauges) -> Arc<Self> {
        let places = Account::new(most, of_address, in_use);
        Arc::new(Self { places, of_holder, held: Mutex::default() })
    }

    /// Takes a place for a stream to this caller. `holder` is what lets it in; `None` where nothing need be shown.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] when all places are taken, [`Kind::TooManyRequests`] when this address, connection or holder has too many.
    pub fn take(self: &Arc<Self>, caller: &Caller, holder: Option<Holder>) -> Result<StreamPlace, Problem> {
        let place = self
            .places
            .take(caller.peer(), 1, usize::MAX)
            .map_err(|full| refused(caller, memory::reason(full), self.full(full)))?;
        let of_connection =
            caller.add_stream().ok_or_else(|| refused(caller, "connection", full_connection()))?;
        self.add(holder).map_err(|(reason, problem)| refused(caller, reason, problem))?;
        Ok(StreamPlace { _place: place, _of_connection: of_connection, holder, places: self.clone() })
    }

    fn full(&self, full: Full) -> Problem {
        match full {
            Full::All => Problem::new(
                Kind::Overloaded,
                format!("all {} event streams are in use", self.places.limit()),
            ),
            Full::Peer => {
                Problem::new(Kind::TooManyRequests, "this address has as many event streams as one may have")
            }
        }
    }

    fn add(&self, holder: Option<Holder>) -> Result<(), (&'static str, Problem)> {
        let Some(holder) = holder else { return Ok(()) };
        let mut held = self.held.lock();
        let streams = held.entry(holder).or_default();
        if *streams >= self.of_holder {
            return Err(self.full_holder(holder));
        }
        *streams += 1;
        Ok(())
    }

    fn full_holder(&self, holder: Holder) -> (&'static str, Problem) {
        let most = self.of_holder;
        let (reason, why) = match holder {
            Holder::Token(_) => (
                "token",
                format!(
                    "{most} event streams are open with this token, as many as one may have: end some, or give further clients a token of \
                     their own (`vagn token add`)"
                ),
            ),
            Holder::Share(_) => (
                "share",
                format!(
                    "{most} people follow this link, as many as may: wait until one of them has left, or ask for another link to the vehicle"
                ),
            ),
        };
        (reason, Problem::new(Kind::TooManyRequests, why))
    }
}

/// Counts a refusal, and passes its problem on.
fn refused(caller: &Caller, reason: &'static str, problem: Problem) -> Problem {
    caller.metrics().stream(reason);
    problem
}

fn full_connection() -> Problem {
    let why = format!("a connection may have at most {STREAMS_MAX} event streams");
    Problem::new(Kind::TooManyRequests, why)
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let Some(holder) = self.holder else { return };
        let mut held = self.places.held.lock();
        if let Some(streams) = held.get_mut(&holder) {
            *streams -= 1;
            if *streams == 0 {
                held.remove(&holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use vagn_flow::peer::SharedAddresses;

    fn caller(address: &str) -> Caller {
        Caller::new(Arc::default(), address.parse().unwrap())
    }

    #[test]
    fn streams_are_limited_by_connection_and_by_address() {
        let places = StreamPlaces::new(100, 20, 100);
        let (first, second) = (caller("192.0.2.1"), caller("192.0.2.1"));
        let take = |caller: &Caller| places.take(caller, None);
        let mut open: Vec<_> = (0..STREAMS_MAX).map(|_| take(&first).unwrap()).collect();
        assert_eq!(take(&first).unwrap_err().kind, Kind::TooManyRequests);
        open.extend((0..20 - STREAMS_MAX).map(|_| take(&second).unwrap()));
        assert_eq!(take(&second).unwrap_err().kind, Kind::TooManyRequests);
        // Many may be behind a proxy on this machine: only the connection counts.
        let proxies: Vec<_> = (0..10).map(|_| caller("127.0.0.1")).collect();
        while let Some(stream) = proxies.iter().find_map(|proxy| take(proxy).ok()) {
            open.push(stream);
        }
        assert_eq!((open.len(), take(&caller("192.0.2.9")).unwrap_err().kind), (100, Kind::Overloaded));
        open.clear();
        assert_eq!(places.places.held(), 0);
        assert!(take(&first).is_ok());
        let shared = SharedAddresses::new(["192.0.2.7".parse().unwrap()]);
        let memory = Memory::new(1 << 20, shared, &MetricRegistry::new());
        let proxy = Caller::new(Arc::new(memory), "192.0.2.7".parse().unwrap());
        open.extend((0..=STREAMS_MAX).map(|_| take(&proxy).unwrap()));
    }

    #[test]
    fn those_in_use_are_shown() {
        let registry = MetricRegistry::new();
        let places = StreamPlaces::shown(9, 9, 9, gauges(&registry, "incident_streams", "incidents", 9));
        let open = places.take(&caller("192.0.2.1"), None).unwrap();
        let shown = |count| {
            let page = registry.page();
            page.contains(&format!("vagn_incident_streams {count}\n"))
                && page.contains("vagn_incident_streams_max 9\n")
        };
        assert!(shown(1), "{}", registry.page());
        drop(open);
        assert!(shown(0), "{}", registry.page());
    }

    #[test]
    fn one_token_or_share_leaves_places_to_others_also_behind_a_proxy() {
        let registry = MetricRegistry::new();
        let memory = Arc::new(Memory::new(1 << 20, SharedAddresses::default(), &registry));
        let places = StreamPlaces::new(100, 100, 3);
        let take = |holder| {
            // A connection each, all from the proxy on this machine.
            places.take(&Caller::new(memory.clone(), "127.0.0.1".parse().unwrap()), Some(holder))
        };
        for (holder, other, reason) in [
            (Holder::Share(7), Holder::Share(8), "share"),
            (Holder::Token([7; 32]), Holder::Token([8; 32]), "token"),
        ] {
            let mut open: Vec<_> = (0..3).map(|_| take(holder).unwrap()).collect();
            assert_eq!(take(holder).unwrap_err().kind, Kind::TooManyRequests);
            open.push(take(other).unwrap());
            let counted = format!("vagn_http_streams_refused_total{{reason=\"{reason}\"}} 1\n");
            assert!(registry.page().contains(&counted), "{}", registry.page());
            open.remove(0);
            assert!(take(holder).is_ok(), "one has left");
        }
        assert!(places.held.lock().is_empty());
        assert_eq!(places.places.held(), 0, "a refusal keeps none");
    }
}
