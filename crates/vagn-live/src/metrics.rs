//! Metrics of the live map.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::metrics::MetricRegistry;

/// `outcome="made"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// Metrics of tiles and of the keeper of counts. Clones share their values.
#[derive(Debug, Clone)]
pub struct TileMetrics {
    /// Tiles made, with a content other than before.
    pub(crate) made: Counter,
    /// Tiles made, with the content that they had.
    pub(crate) unchanged: Counter,
    /// Tiles answered with what was made before in the same tick.
    pub(crate) cached: Counter,
    /// Tiles answered as those that the client has.
    pub(crate) not_modified: Counter,
    /// Bytes of tiles sent.
    pub(crate) bytes: Counter,
    /// Tiles dropped because there were too many.
    pub(crate) evicted: Counter,
    /// Bytes of tiles held.
    pub(crate) held_bytes: Gauge<u64, AtomicU64>,
    /// 1 while the keeper follows the fleet.
    pub(crate) awake: Gauge,
    /// Looks at a whole partition.
    pub(crate) looks: Counter,
    /// Batches of changes that the keeper had no room for.
    pub(crate) lost: Counter,
    /// Fixes before that were not kept, for there were too many.
    pub(crate) fixes_refused: Counter,
}

impl TileMetrics {
    /// Registers the metrics.
    pub fn new(registry: &MetricRegistry) -> Self {
        let help =
            "Tiles by outcome: made, made and unchanged, answered from cache, answered as not modified";
        let tiles = registry.register("tiles", help, Family::<OutcomeLabel, Counter>::default());
        Self {
            made: outcome(&tiles, "made"),
            unchanged: outcome(&tiles, "unchanged"),
            cached: outcome(&tiles, "cached"),
            not_modified: outcome(&tiles, "not_modified"),
            bytes: counter(registry, "tile_sent_bytes", "Bytes of tiles sent"),
            evicted: counter(registry, "tiles_evicted", "Tiles dropped from the cache for others"),
            held_bytes: registry.register(
                "tile_cache_bytes",
                "Bytes of tiles in the cache",
                Gauge::default(),
            ),
            awake: registry.register(
                "keeper_awake",
                "Keepers, exact and coarse, that follow the fleet because somebody looks at the map",
                Gauge::default(),
            ),
            looks: counter(registry, "keeper_looks", "Looks of the keeper at a whole partition"),
            lost: counter(
                registry,
                "keeper_changes_lost",
                "Batches of changes that the keeper had no room for",
            ),
            fixes_refused: counter(
                registry,
                "keeper_fixes_refused",
                "Fixes before that were not kept, for too many",
            ),
        }
    }
}

fn outcome(tiles: &Family<OutcomeLabel, Counter>, outcome: &'static str) -> Counter {
    tiles.get_or_create_owned(&OutcomeLabel { outcome })
}

fn counter(registry: &MetricRegistry, name: &str, help: &str) -> Counter {
    registry.register(name, help, Counter::default())
}
