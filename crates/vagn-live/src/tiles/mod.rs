//! Tiles of the live map, each made at most once a second however many look at it.
//!
//! A tile is made when it is first asked for in a tick of one second, on a thread of the pool that answers questions about
//! the fleet; a client that asks meanwhile waits for the same result. Up to zoom 10 it has clusters, from the counts of the keeper; from
//! zoom 11 on it has the vehicles themselves. Exact and coarse tiles are made, kept and named apart.

mod bin;
mod cache;
mod calls;
mod clusters;
mod mvt;
mod vehicles;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use vagn_flow::clock::Clock;
use vagn_otp::ChildSpec;
use vagn_store::{Fleet, NotReady, Sight};

pub use cache::TileKey;
use cache::{Cache, Slot};
use calls::Calls;
pub use calls::{OpenIncidents, OpenVehicles};
use clusters::{Clusters, EXACT_MAX};
use vehicles::Seen;

use crate::Positions;
use crate::keeper::{Keeper, KeeperParts};
use crate::mercator::Tile;
use crate::metrics::TileMetrics;

/// Length of a tick, ms.
const TICK_MS: i64 = 1_000;
/// First zoom with vehicles instead of clusters.
pub const VEHICLES_FROM: u8 = 11;
/// Longest that a question waits for the keeper's first look at the fleet.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
/// Bytes that are kept of the hash of a content.
const HASH_BYTES: usize = 8;

/// Format of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Vector tile.
    Mvt,
    /// Both fixes of each vehicle, from zoom [`VEHICLES_FROM`] on.
    Bin,
}

/// Bytes of a tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The bytes; none where no vehicle is.
    pub bytes: Bytes,
    /// Begin of the SHA-256 of these bytes, and of the word "coarse" for a coarse tile: it tells contents apart.
    pub hash: [u8; HASH_BYTES],
    format: Format,
}

impl Content {
    fn new(TileKey { format, sight, .. }: TileKey, bytes: Vec<u8>) -> Self {
        let mut hash = Sha256::new();
        hash.update(&bytes);
        if sight == Sight::Coarse {
            // The same bytes in the other form have another name: a cache never takes one form for the other.
            hash.update(b"coarse");
        }
        let hash = hash.finalize();
        let hash = *hash.first_chunk().expect("SHA-256 has 32 bytes");
        Self { bytes: bytes.into(), hash, format }
    }

    /// Returns true if the other has the same in it, and perhaps another tick.
    fn is_same(&self, other: &Content) -> bool {
        let old = &self.bytes[..];
        let new = &other.bytes[..];
        match self.format {
            Format::Mvt => old == new,
            Format::Bin => {
                let tick = bin::TICK;
                old.len() == new.len()
                    && old.get(..tick.start) == new.get(..tick.start)
                    && old.get(tick.end..) == new.get(tick.end..)
            }
        }
    }
}

/// Parts that tiles are made of.
pub struct TileParts {
    /// Changes of the fleet.
    pub positions: Positions,
    /// The fleet.
    pub fleet: Arc<Fleet>,
    /// Vehicles that call for help.
    pub incidents: Arc<dyn OpenIncidents>,
    /// Tells the ticks.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: TileMetrics,
}

/// Makes tiles, and keeps them for a tick.
pub struct Tiles {
    pub(crate) keepers: Keepers,
    cache: Cache,
    clock: Arc<dyn Clock>,
    maker: Arc<Maker>,
    metrics: TileMetrics,
}

/// A keeper for each form, since counts of exact places would tell what coarse ones hide. One that is not asked sleeps.
#[derive(Clone)]
pub(crate) struct Keepers {
    pub(crate) exact: Arc<Keeper>,
    pub(crate) coarse: Arc<Keeper>,
}

impl Keepers {
    fn of(&self, sight: Sight) -> &Keeper {
        match sight {
            Sight::Exact => &self.exact,
            Sight::Coarse => &self.coarse,
        }
    }
}

/// Parts that a tile is made of.
struct Maker {
    keepers: Keepers,
    incidents: Arc<dyn OpenIncidents>,
    /// Vehicles that call for help, and the tick in which they were looked up.
    calls: Mutex<Option<(i64, Arc<Calls>)>>,
}

/// A tile that is to be made.
#[derive(Clone)]
pub struct Job {
    maker: Arc<Maker>,
    key: TileKey,
    now_ms: i64,
}

impl Tiles {
    /// Returns the tiles, and the children that keep the counts, exact and coarse ones, at this nice value.
    pub fn new(parts: TileParts, nice: i32) -> (Arc<Self>, [ChildSpec; 2]) {
        let TileParts { positions, fleet, incidents, clock, metrics } = parts;
        let of = KeeperParts { positions, fleet, clock: clock.clone(), metrics: metrics.clone() };
        let keepers =
            Keepers { exact: Keeper::new(of.clone(), Sight::Exact), coarse: Keeper::new(of, Sight::Coarse) };
        let children = [keepers.exact.child(nice), keepers.coarse.child(nice)];
        let maker = Arc::new(Maker { keepers: keepers.clone(), incidents, calls: Mutex::new(None) });
        let cache = Cache::new(metrics.clone());
        (Arc::new(Self { keepers, cache, clock, maker, metrics }), children)
    }

    /// Returns a tile as it is in this tick. `make` runs the job where it may take its time, and gives back what
    /// [`Job::make`] returns.
    ///
    /// # Errors
    /// `NotReady` while the fleet has not been counted; else what `make` fails with.
    pub async fn get<E: From<NotReady>>(
        &self,
        key: TileKey,
        make: impl AsyncFnOnce(Job) -> Result<Content, E>,
    ) -> Result<Arc<Content>, E> {
        self.ask_keeper(key);
        let slot = self.cache.slot(key);
        let tick = self.tick();
        if let Some(content) = slot.since(tick) {
            self.metrics.cached.inc();
            return Ok(content);
        }
        if key.tile.zoom() < VEHICLES_FROM && !self.keepers.of(key.sight).seen(SEEN_WITHIN).await {
            return Err(NotReady.into());
        }
        self.renew(key, &slot, tick, make).await
    }

    async fn renew<E>(
        &self,
        key: TileKey,
        slot: &Slot,
        asked: i64,
        make: impl AsyncFnOnce(Job) -> Result<Content, E>,
    ) -> Result<Arc<Content>, E> {
        let _flight = slot.flight.lock().await;
        // Since the question and not since now: where making takes longer than a tick, each of the tasks that wait would make it
        // once more.
        if let Some(content) = slot.since(asked) {
            self.metrics.cached.inc();
            return Ok(content);
        }
        let tick = self.tick();
        let job = Job { maker: self.maker.clone(), key, now_ms: self.clock.now_ms() };
        let content = make(job).await?;
        Ok(self.cache.keep(key, slot, tick, content))
    }

    /// Counts an answer that the client has the tile already.
    pub fn count_not_modified(&self) {
        self.metrics.not_modified.inc();
    }

    /// Counts a tile that is sent.
    pub fn count_sent(&self, content: &Content) {
        self.metrics.bytes.inc_by(content.bytes.len() as u64);
    }

    /// Tells the keeper that a client looks there.
    fn ask_keeper(&self, TileKey { format, tile, sight }: TileKey) {
        let keeper = self.keepers.of(sight);
        if tile.zoom() < VEHICLES_FROM {
            keeper.ask();
        } else if (format, sight) == (Format::Bin, Sight::Exact) {
            // A coarse tile tells no movement, so it needs no fix before.
            keeper.ask();
            keeper.fixes.lock().watch(tile, self.clock.monotonic());
        }
    }

    fn tick(&self) -> i64 {
        self.clock.now_ms().div_euclid(TICK_MS)
    }
}

impl Job {
    /// Makes the tile.
    ///
    /// # Errors
    /// While a part of the fleet is missing, or the fleet has not been counted.
    pub fn make(&self, fleet: &Fleet) -> Result<Content, NotReady> {
        let TileKey { format, tile, sight } = self.key;
        let calls = match sight {
            Sight::Exact => self.maker.calls(self.now_ms.div_euclid(TICK_MS), fleet)?,
            // Those are not told.
            Sight::Coarse => Arc::default(),
        };
        let bytes = match format {
            _ if tile.zoom() < VEHICLES_FROM => self.clusters(fleet, &calls)?,
            Format::Mvt => vector(fleet, &calls, tile, sight)?,
            Format::Bin => self.binary(fleet, &calls)?,
        };
        Ok(Content::new(self.key, bytes))
    }

    fn clusters(&self, fleet: &Fleet, calls: &Calls) -> Result<Vec<u8>, NotReady> {
        // A part of the fleet is never shown as if it were all, and counts outlive a partition that has failed.
        fleet.readers()?;
        let TileKey { tile, sight, .. } = self.key;
        let keeper = self.maker.keepers.of(sight);
        let of_many = keeper.read(|levels| {
            (levels.count(tile) > EXACT_MAX).then(|| Clusters::of_counts(levels, calls, tile))
        });
        if let Some(clusters) = of_many.ok_or(NotReady)? {
            return Ok(clusters.write());
        }
        match Clusters::of_few(fleet, calls, tile, sight)? {
            Some(clusters) => Ok(clusters.write()),
            // More came since they were counted.
            None => {
                let clusters = keeper.read(|levels| Clusters::of_counts(levels, calls, tile));
                Ok(clusters.ok_or(NotReady)?.write())
            }
        }
    }

    fn binary(&self, fleet: &Fleet, calls: &Calls) -> Result<Vec<u8>, NotReady> {
        let TileKey { tile, sight, .. } = self.key;
        Ok(match Seen::find(fleet, calls, tile, sight)? {
            None => bin::write_too_many(self.now_ms),
            Some(seen) if seen.is_empty() => Vec::new(),
            Some(seen) if sight == Sight::Coarse => seen.write_bin(None, self.now_ms),
            Some(seen) => seen.write_bin(Some(&self.maker.keepers.exact.fixes.lock()), self.now_ms),
        })
    }
}

/// Makes a vector tile of vehicles, or of clusters where there are too many.
fn vector(fleet: &Fleet, calls: &Calls, tile: Tile, sight: Sight) -> Result<Vec<u8>, NotReady> {
    Ok(match Seen::find(fleet, calls, tile, sight)? {
        None => Clusters::of_many(fleet, calls, tile, sight)?.write(),
        Some(seen) if seen.is_empty() => Vec::new(),
        Some(seen) => seen.write_mvt(tile, sight),
    })
}

impl Maker {
    /// Returns the vehicles that call for help, looked up at most once a tick.
    fn calls(&self, tick: i64, fleet: &Fleet) -> Result<Arc<Calls>, NotReady> {
        let mut held = self.calls.lock();
        if let Some((_, calls)) = held.as_ref().filter(|(of, _)| *of == tick) {
            return Ok(calls.clone());
        }
        let calls = Arc::new(Calls::find(&self.incidents.vehicles(), fleet)?);
        *held = Some((tick, calls.clone()));
        Ok(calls)
    }
}
