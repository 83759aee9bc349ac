//! The places of one port: each connection holds one while it is open.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::holder::{Asked, Holder, now_ms};
use super::holders::Holders;
use super::leaving;
use crate::allowance::Source;
use crate::clock::Clock;
use crate::metrics::MetricRegistry;
use crate::peer::SharedAddresses;
use crate::readiness::Readiness;

/// One source gets at most a half of the places: behind one address there may be a whole fleet. An address that the operator has named
/// as shared may have all.
const SOURCE_PART: usize = 2;

/// A warning about a full port ends when this part of its places is free: a tenth.
const FREE_PART: usize = 10;

/// Parts that the places of all ports share.
pub struct PlaceParts {
    /// Gauges of the ports.
    pub metrics: PlaceMetrics,
    /// Told of a port that is full.
    pub readiness: Arc<Readiness>,
    /// Tells how long a connection has asked nothing.
    pub clock: Arc<dyn Clock>,
    /// Any secret number, so that it cannot be foreseen which connections are looked at.
    pub seed: u64,
}

/// Places for the connections of one port.
pub struct Places {
    port: &'static str,
    remedy: Box<str>,
    most: usize,
    shared: SharedAddresses,
    open: Mutex<Open>,
    gauge: Gauge,
    readiness: Arc<Readiness>,
    clock: Arc<dyn Clock>,
}

struct Open {
    holders: Holders,
    warned: bool,
}

/// A place that a connection has until this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    holder: Arc<Holder>,
}

/// The reason that there is no place for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// All places are taken, by connections that use them.
    Full,
    /// The source has as many places as one may have.
    SourceFull,
}

/// The reason that a connection lost its place to a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Displaced {
    /// Nothing was ever asked on it.
    Unasked,
    /// Nothing was asked on it for some time.
    Idle,
}

/// Gauges of all ports: connections, and the most that there may be.
#[derive(Debug, Clone)]
pub struct PlaceMetrics {
    open: Family<PortLabel, Gauge>,
    most: Family<PortLabel, Gauge>,
}

/// `port="http"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PortLabel {
    port: &'static str,
}

impl PlaceMetrics {
    /// Registers the gauges.
    pub fn new(registry: &MetricRegistry) -> Self {
        Self {
            open: registry.register("port_connections", "Open connections by port", Family::default()),
            most: registry.register(
                "port_connections_max",
                "Most connections that a port takes at a time",
                Family::default(),
            ),
        }
    }
}

impl Places {
    /// Makes so many places for a port, by its name in settings and metrics. `remedy` says what an operator can do when all are taken;
    /// `shared` are addresses behind which there are many sources, which may have all of the places.
    pub fn new(
        port: &'static str,
        remedy: impl Into<Box<str>>,
        most: usize,
        shared: SharedAddresses,
        parts: &PlaceParts,
    ) -> Arc<Self> {
        let PlaceParts { metrics, readiness, clock, seed } = parts;
        metrics.most.get_or_create(&PortLabel { port }).set(i64::try_from(most).unwrap_or(i64::MAX));
        Arc::new(Self {
            port,
            remedy: remedy.into(),
            most,
            shared,
            open: Mutex::new(Open { holders: Holders::new(*seed), warned: false }),
            gauge: metrics.open.get_or_create_owned(&PortLabel { port }),
            readiness: readiness.clone(),
            clock: clock.clone(),
        })
    }

    /// Returns the number of places.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Takes a place for a connection from `address`. When all are taken it gets that of one on which nothing is asked, which is
    /// [told](Place::displaced) to end.
    ///
    /// # Errors
    /// When there is none for it.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refusal> {
        let holder = Holder::new(Source::from(address), self.clock.clone());
        let mut open = self.open.lock();
        let has_part = open.holders.of(holder.source).all >= self.most.div_ceil(SOURCE_PART);
        if has_part && !self.shared.has(address) {
            return Err(Refusal::SourceFull);
        }
        if open.holders.count() >= self.most {
            self.warn(&mut open);
            self.displace(&mut open, holder.source)?;
        }
        open.holders.add(&holder);
        self.gauge.inc();
        Ok(Place { places: self.clone(), holder })
    }

    /// Makes room for a newcomer. Connections that have been displaced hold descriptors until they have left, so they are few at a time.
    fn displace(&self, open: &mut Open, newcomer: Source) -> Result<(), Refusal> {
        if open.holders.count() >= self.most + leaving(self.most as u64) as usize {
            return Err(Refusal::Full);
        }
        let displaced = open.holders.displace(newcomer, now_ms(&*self.clock)).ok_or(Refusal::Full)?;
        displaced.displace();
        Ok(())
    }

    fn warn(&self, open: &mut Open) {
        if !open.warned {
            open.warned = true;
            let Self { port, most, remedy, .. } = self;
            let what = format!(
                "all {most} places for {port} connections are taken: a new one gets in only where another has asked nothing; {remedy}"
            );
            tracing::warn!("{what}");
            self.readiness.warn(self.name(), what);
        }
    }

    fn leave(&self, holder: &Holder) {
        let mut open = self.open.lock();
        open.holders.remove(holder);
        self.gauge.dec();
        if open.warned && self.most.saturating_sub(open.holders.count()) >= self.most.div_ceil(FREE_PART) {
            open.warned = false;
            self.readiness.clear(&self.name());
        }
    }

    fn name(&self) -> String {
        format!("{} connections", self.port)
    }
}

impl Place {
    /// Returns the source of the connection.
    pub fn source(&self) -> Source {
        self.holder.source
    }

    /// Notes that something was asked as a whole. While the answer is wanted, which is until this is dropped, no newcomer gets the place.
    pub fn ask(&self) -> Asked {
        let asked = self.holder.ask();
        // The lock once in the life of a connection, and not for each request.
        if !self.holder.was_asked() {
            self.places.open.lock().holders.asked(&self.holder);
        }
        asked
    }

    /// Notes a request whose body is still to come: until it is [asked](Self::ask) as a whole, it keeps the place no longer than a
    /// connection on which nothing is asked.
    pub fn await_body(&self) {
        self.holder.await_body();
    }

    /// Notes that an answer is still under way, if anything was asked at all.
    pub fn still_asked(&self) -> Option<Asked> {
        self.holder.was_asked().then(|| self.holder.ask())
    }

    /// Resolves when a newcomer got the place: the connection has to end, and to drop this soon.
    pub async fn displaced(&self) -> Displaced {
        loop {
            self.holder.told().await;
            if let Some(displaced) = self.judge() {
                return displaced;
            }
        }
    }

    /// Looks again at a connection that is to end: something may have been asked meanwhile, and then it stays.
    fn judge(&self) -> Option<Displaced> {
        let mut open = self.places.open.lock();
        if self.holder.is_busy() {
            open.holders.keep(&self.holder);
            return None;
        }
        Some(if self.holder.was_asked() { Displaced::Idle } else { Displaced::Unasked })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(&self.holder);
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("port", &self.port).field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
