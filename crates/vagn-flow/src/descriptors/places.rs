//! The places of one port: each connection holds one while it is open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::allowance::Source;
use crate::metrics::MetricRegistry;
use crate::readiness::Readiness;

/// One source gets at most a half of the places: behind one address there may be a whole fleet, or a proxy.
const SOURCE_PART: usize = 2;

/// A warning about a full port ends when this part of its places is free: a tenth.
const FREE_PART: usize = 10;

/// Places for the connections of one port.
#[derive(Debug)]
pub struct Places {
    port: &'static str,
    most: usize,
    open: Mutex<Open>,
    gauge: Gauge,
    readiness: Arc<Readiness>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    by_source: HashMap<Source, usize>,
    warned: bool,
}

/// A place that a connection has until this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    source: Source,
}

/// The reason that there is no place for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// All places are taken.
    Full,
    /// The source has as many places as one may have.
    SourceFull,
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
    /// Makes so many places for a port, by its name in settings and metrics.
    pub fn new(
        port: &'static str,
        most: usize,
        metrics: &PlaceMetrics,
        readiness: Arc<Readiness>,
    ) -> Arc<Self> {
        metrics.most.get_or_create(&PortLabel { port }).set(i64::try_from(most).unwrap_or(i64::MAX));
        let gauge = metrics.open.get_or_create_owned(&PortLabel { port });
        Arc::new(Self { port, most, open: Mutex::default(), gauge, readiness })
    }

    /// Returns the number of places.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Takes a place for a connection from `address`.
    ///
    /// # Errors
    /// When there is none for it.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refusal> {
        let source = Source::from(address);
        let mut open = self.open.lock();
        if open.count >= self.most {
            self.warn(&mut open);
            return Err(Refusal::Full);
        }
        let of_source = open.by_source.entry(source).or_default();
        if *of_source >= self.most.div_ceil(SOURCE_PART) {
            return Err(Refusal::SourceFull);
        }
        *of_source += 1;
        open.count += 1;
        self.gauge.inc();
        Ok(Place { places: self.clone(), source })
    }

    fn warn(&self, open: &mut Open) {
        if !open.warned {
            open.warned = true;
            let (port, most) = (self.port, self.most);
            let what = format!(
                "all {most} places for {port} connections are taken and new ones are refused; raise `{port}.max_connections` \
                 and the limit of open files, or find out who holds them with `ss -tnp`"
            );
            tracing::warn!("{what}");
            self.readiness.warn(self.name(), what);
        }
    }

    fn leave(&self, source: Source) {
        let mut open = self.open.lock();
        open.count -= 1;
        if let Entry::Occupied(mut of_source) = open.by_source.entry(source) {
            *of_source.get_mut() -= 1;
            if *of_source.get() == 0 {
                of_source.remove();
            }
        }
        self.gauge.dec();
        if open.warned && self.most - open.count >= self.most.div_ceil(FREE_PART) {
            open.warned = false;
            self.readiness.clear(&self.name());
        }
    }

    fn name(&self) -> String {
        format!("{} connections", self.port)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.leave(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(most: usize) -> (Arc<Places>, Arc<MetricRegistry>, Arc<Readiness>) {
        let (registry, readiness) = (MetricRegistry::new(), Arc::new(Readiness::default()));
        let places = Places::new("http", most, &PlaceMetrics::new(&registry), readiness.clone());
        (places, registry, readiness)
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn one_source_leaves_places_for_all_others() {
        let (places, ..) = places(10);
        let crowd: Vec<Place> = (0..5).map(|_| places.take(address(1)).unwrap()).collect();
        assert_eq!(places.take(address(1)).unwrap_err(), Refusal::SourceFull);
        let others: Vec<Place> = (2..7).map(|last| places.take(address(last)).unwrap()).collect();
        assert_eq!(places.take(address(9)).unwrap_err(), Refusal::Full);
        drop(crowd);
        assert!(places.take(address(1)).is_ok());
        drop(others);
        assert!(places.open.lock().by_source.is_empty(), "a source that is gone is forgotten");
    }

    #[test]
    fn a_full_port_is_warned_of_until_a_tenth_is_free() {
        let (places, registry, readiness) = places(20);
        let mut all: Vec<Place> = (0..20).map(|last| places.take(address(last)).unwrap()).collect();
        assert!(readiness.report().warnings.is_empty(), "full, but without a refusal");
        places.take(address(99)).unwrap_err();
        assert!(readiness.report().warnings["http connections"].contains("http.max_connections"));
        all.pop();
        assert_eq!(readiness.report().warnings.len(), 1);
        all.pop();
        assert!(readiness.report().warnings.is_empty());
        let page = registry.page();
        assert!(page.contains("vagn_port_connections{port=\"http\"} 18"), "{page}");
        assert!(page.contains("vagn_port_connections_max{port=\"http\"} 20"), "{page}");
    }
}
