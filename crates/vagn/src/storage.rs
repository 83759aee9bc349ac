//! Storage: the one writer of a partition, on a thread of its own. Log first, then index.
//!
//! It opens its partition after it has started, so that nothing waits for recovery but the queries. As long as a
//! partition is not open the fleet has a gap and answers nothing at all: a part is never shown as if it were all.
//!
//! A partition that cannot be opened, because its disk is gone or its log is damaged, fails what is sent to it and is
//! tried again with growing pauses. It stops no other partition.

mod forgetting;
mod metrics;

use std::sync::Arc;
use std::time::Duration;

use forgetting::{Forgetting, KeysOver, go_on_forgetting};
use metrics::PartitionLabel;
use parking_lot::{Mutex, RwLock};
use tracing::{error, info, warn};
use vagn_otp::{Actor, Context, Failure, Handle};
use vagn_store::{
    DataDir, DepartedCounts, Fleet, Health, Partition, Progress, Recovery, StoreError, Updates, VehicleIdBuf,
    Written,
};
use vagn_wire::Fate;

use crate::odd::OddVehicles;
use crate::sync::SyncQueue;
use crate::teller::Teller;
use crate::write::Write;
use vagn_flow::clock::Clock;
use vagn_flow::readiness::{Purpose, Readiness};
use vagn_flow::stamp::Stamper;
use vagn_flow::trust::Trust;
use vagn_live::Positions;

pub use forgetting::ForgetKeys;
pub use metrics::StorageMetrics;

/// Time between two looks after the files when a storage is idle.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
/// While there is more to do, such as a snapshot to be written, it comes back this soon: writes go in between.
const HOUSEKEEPING_BUSY: Duration = Duration::from_millis(2);

/// Pause before a partition that could not be opened is tried again; doubles from the first to the second.
const REOPEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The beginning of 1970: a time by which nothing is old enough to be forgotten or removed.
const NOTHING_IS_OLD_MS: i64 = 0;
/// Bounds of a partition, which its storage makes commands of.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Greatest number of vehicles in it.
    pub max_vehicles: usize,
    /// Time after which a vehicle that sends nothing is forgotten, ms.
    pub forget_after_ms: i64,
}

/// Parts that a storage is given.
pub struct StorageParts {
    /// The data directory, shared by the storages of all partitions.
    pub data: Arc<RwLock<DataDir>>,
    /// Number of the partition.
    pub number: u32,
    /// Settings of the store.
    pub settings: vagn_store::Settings,
    /// How many vehicles it keeps, and for how long.
    pub bounds: Bounds,
    /// The fleet, in which queries find the partition once it is open.
    pub fleet: Arc<Fleet>,
    /// Syncs the log.
    pub sync: Arc<SyncQueue>,
    /// Vehicles of the partition that behave oddly.
    pub odd: Arc<Mutex<OddVehicles>>,
    /// Tells the time for housekeeping.
    pub clock: Arc<dyn Clock>,
    /// Raised above the stamps that the log already holds.
    pub stamper: Arc<Stamper>,
    /// Gives the time for what cannot be undone.
    pub trust: Arc<Trust>,
    /// Counts.
    pub metrics: StorageMetrics,
    /// Told when the partition is there.
    pub readiness: Arc<Readiness>,
    /// Those who follow the fleet.
    pub positions: Positions,
}

/// The writer of one partition.
pub struct Storage {
    parts: Arc<StorageParts>,
    partition: Option<Partition>,
    teller: Teller,
    /// The reason that there is no partition, once it is known.
    broken: Option<Broken>,
    forgetting: Forgetting,
    /// Counts of vehicles that left that this partition is known to have lost.
    counts_lost: u64,
    /// Keys whose counts are being forgotten.
    over: Option<KeysOver>,
    fates: Vec<Fate>,
}

/// A partition that could not be opened.
struct Broken {
    why: String,
    pause: Duration,
}

impl Storage {
    /// A writer that has not opened its partition yet.
    pub fn new(parts: Arc<StorageParts>) -> Self {
        let teller = Teller::new(parts.number, parts.positions.clone());
        Self {
            parts,
            partition: None,
            teller,
            broken: None,
            forgetting: Forgetting::default(),
            counts_lost: 0,
            over: None,
            fates: Vec::new(),
        }
    }

    fn name(&self) -> String {
        format!("partition {}", self.parts.number)
    }

    /// Opens the partition if it is not open. False: it cannot be opened, and will be tried again.
    fn open(&mut self, ctx: &Context<Self>) -> bool {
        if self.partition.is_some() {
            return true;
        }
        // A large store may take longer to read than any message may take to handle.
        let _unwatched = ctx.idle();
        match self.recover() {
            Ok(partition) => self.opened(partition),
            Err(err) => self.not_opened(&err),
        }
        self.partition.is_some()
    }

    fn opened(&mut self, mut partition: Partition) {
        let StorageParts { sync, fleet, number, readiness, bounds, .. } = &*self.parts;
        partition.bound(bounds.max_vehicles);
        self.teller.begin(partition.end());
        sync.take_over(partition.syncer());
        fleet.set(*number as usize, Some(partition.reader()));
        self.count_vehicles();
        readiness.present(&self.name());
        self.broken = None;
        self.counts_lost = 0;
        self.forgetting = Forgetting::default();
        self.partition = Some(partition);
    }

    fn not_opened(&mut self, err: &StoreError) {
        let pause = self.broken.as_ref().map_or(REOPEN.0, |broken| (broken.pause * 2).min(REOPEN.1));
        let why = match std::error::Error::source(err) {
            Some(cause) => format!("{err}: {cause}"),
            None => err.to_string(),
        };
        self.tell_missing(Purpose::FLEET, &why);
        self.broken = Some(Broken { why, pause });
    }

    /// The time for ageing: while the clock may be wrong, one by which nothing is old.
    fn ageing_ms(&self) -> i64 {
        let history_ms = self.parts.settings.history_keep_ms;
        let believed = self.parts.trust.now().filter(|now| now.before(history_ms).is_some());
        believed.map_or(NOTHING_IS_OLD_MS, |now| now.now_ms)
    }

    fn recover(&self) -> Result<Partition, StoreError> {
        let StorageParts { data, number, settings, clock, stamper, trust, .. } = &*self.parts;
        let started = clock.monotonic();
        if !data.read().is_prepared() {
            // The number of partitions has changed: the first to come here distributes the vehicles anew.
            data.write().prepare(*settings, self.ageing_ms(), &report_progress)?;
        }
        let (partition, recovery) =
            data.read().open_partition(*number, *settings, self.ageing_ms(), &report_progress)?;
        trust.logged(*number, recovery.receive_time_ms);
        stamper.raise(recovery.receive_time_ms, recovery.receive_seq);
        report(*number, &recovery, clock.monotonic() - started);
        Ok(partition)
    }

    fn count_vehicles(&self) {
        if let Ok(vehicles) = self.parts.fleet.len() {
            self.parts.metrics.vehicles.set(vehicles as i64);
        }
    }

    fn count_departed(&mut self, DepartedCounts { kept, lost }: DepartedCounts) {
        let label = PartitionLabel { partition: self.parts.number };
        let StorageMetrics { counts_departed, counts_lost, .. } = &self.parts.metrics;
        counts_departed.get_or_create(&label).set(kept as u64);
        counts_lost.get_or_create(&label).inc_by(lost - self.counts_lost);
        self.counts_lost = lost;
    }

    fn tell_health(&self, health: Health) {
        let readiness = &self.parts.readiness;
        let trying = format!("{}, files", self.name());
        match &health {
            // It takes positions all the same.
            Health::Trying(why) => {
                let what = format!("{why}; tried again until it succeeds");
                if readiness.warn_first(trying.clone(), what.clone()) {
                    warn!(partition = self.parts.number, "{what}");
                }
            }
            _ => readiness.clear(&trying),
        }
        match health {
            // What is written now would not be durable for a long time, and senders that wait for that are told that it failed.
            Health::Trying(why) if self.parts.sync.is_stuck() => self.tell_missing(&[Purpose::Store], &why),
            Health::Well | Health::Trying(_) => readiness.present(&self.name()),
            // What is stored already can still be asked for.
            Health::Full => self.tell_full(),
            Health::Failed(why) => self.tell_missing(&[Purpose::Store], &why),
        }
    }

    fn tell_full(&self) {
        let why = "too little free space on the disk; free some";
        if self.parts.readiness.lacks_space(self.name(), &[Purpose::Store], why) {
            error!(partition = self.parts.number, why, "the partition takes no positions");
        }
    }

    fn tell_missing(&self, blocks: &'static [Purpose], why: &str) {
        if self.parts.readiness.missing(self.name(), blocks, why) {
            error!(partition = self.parts.number, why, "the partition takes no positions");
        }
    }
}

fn report_progress(Progress { partition, phase, done }: Progress) {
    info!(partition, ?phase, done, "recovering");
}

fn report(partition: u32, recovery: &Recovery, took: Duration) {
    if let Some(cut) = &recovery.cut {
        warn!(partition, ?cut, "cut an unfinished write off the end of the log");
    }
    for kept in &recovery.kept_aside {
        info!(partition, path = %kept.display(), "an end that was cut off a log is kept; remove it by hand");
    }
    for path in &recovery.bad_snapshots {
        warn!(partition, path = %path.display(), "passed over a snapshot that cannot be read");
    }
    if recovery.orphans > 0 {
        warn!(partition, positions = recovery.orphans, "left out positions whose vehicle id is lost");
    }
    info!(partition, vehicles = recovery.vehicles, records = recovery.records, ?took, "recovered");
}

impl Actor for Storage {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), Failure> {
        self.parts.fleet.set(self.parts.number as usize, None);
        self.parts.readiness.missing_for_now(self.name(), Purpose::FLEET, "recovering");
        ctx.tell_self_after(Duration::ZERO, Housekeep);
        Ok(())
    }

    async fn stopped(&mut self) {
        if let Some(Err(err)) = self.partition.take().map(Partition::close) {
            error!(partition = self.parts.number, error = %err, "failed to close the partition");
        }
    }
}

impl Drop for Storage {
    /// A crash in the middle of a change may have left the index half changed: it must not be read any more.
    fn drop(&mut self) {
        self.parts.fleet.set(self.parts.number as usize, None);
        self.parts.readiness.missing_for_now(self.name(), Purpose::FLEET, "its storage is being restarted");
    }
}

impl Handle<Write> for Storage {
    type Reply = ();

    async fn handle(&mut self, write: Write, ctx: &mut Context<Self>) {
        if self.broken.is_some() || !self.open(ctx) {
            write.settle(Fate::Failed);
            return;
        }
        let partition = self.partition.as_mut().expect("it is open");
        match self.teller.write(partition, &write.updates, &mut self.fates) {
            Ok(written) => {
                write.share.replayed(partition.replays());
                self.note_odd(&write);
                let end = written.end;
                let updates = self.written(write, written);
                self.teller.tell_moves(end, updates);
            }
            Err(_) => {
                let health = partition.health();
                // First, so that the sender can be told the reason.
                self.tell_health(health);
                write.settle(Fate::Failed);
            }
        }
    }
}

impl Storage {
    /// Warns that new vehicles found no room, until the service is started again: the remedy is a setting.
    fn refuse(&self, vehicles: usize) {
        let StorageParts { metrics, readiness, bounds, number, .. } = &*self.parts;
        metrics.vehicles_refused.inc_by(vehicles as u64);
        let most = bounds.max_vehicles;
        let what =
            format!("partition {number} is full with {most} vehicles; new ones are shed; raise max_vehicles");
        if readiness.warn_first(format!("max_vehicles, partition {number}"), what.clone()) {
            warn!("{what}");
        }
    }

    /// Counts and answers a write, and returns its sightings.
    fn written(&self, write: Write, Written { end, new_vehicles, .. }: Written) -> Updates {
        let refused = self.fates.iter().filter(|fate| **fate == Fate::Shed).count();
        if refused > 0 {
            self.refuse(refused);
        }
        // Counting waits for every partition's writer; what was forgotten is counted with the next housekeeping.
        if new_vehicles > 0 {
            self.count_vehicles();
        }
        let (updates, awaiting) = write.count(|at| self.fates[at]);
        if let Some(awaiting) = awaiting {
            self.parts.sync.keep(end, awaiting);
        }
        updates
    }

    /// Counts what is odd about the reports that were judged, and notes it of their vehicles.
    fn note_odd(&self, write: &Write) {
        let Some(partition) = &self.partition else { return };
        // Locked only where something is odd.
        let mut vehicles = None;
        for (at, odd) in partition.odd() {
            write.share.odd(odd);
            if let Some(update) = write.updates.get(at) {
                let vehicles = vehicles.get_or_insert_with(|| self.parts.odd.lock());
                vehicles.note(update.key, update.sighting.receive_time_ms, odd);
            }
        }
    }
}

/// Time to look after the files: snapshots, old segments, forgotten vehicles. The first one opens the partition.
struct Housekeep;

impl Handle<Housekeep> for Storage {
    type Reply = ();

    async fn handle(&mut self, _: Housekeep, ctx: &mut Context<Self>) {
        if !self.open(ctx) {
            let pause = self.broken.as_ref().map_or(REOPEN.0, |broken| broken.pause);
            ctx.tell_self_after(pause, Housekeep);
            return;
        }
        let now_ms = self.ageing_ms();
        let partition = self.partition.as_mut().expect("it is open");
        // What goes wrong here stops the partition, and its health tells why.
        let more = partition.housekeep(now_ms).is_ok_and(|kept| kept.more);
        let now = self.parts.trust.now();
        let more = more | self.forgetting.go_on(partition, self.parts.bounds, now, &self.teller);
        let health = partition.health();
        let log_bytes = partition.log_bytes();
        let more = more | go_on_forgetting(partition, &mut self.over);
        let departed = partition.reader().departed_counts();
        let label = PartitionLabel { partition: self.parts.number };
        self.parts.metrics.log_bytes.get_or_create(&label).set(log_bytes);
        self.count_vehicles();
        self.count_departed(departed);
        self.tell_health(health);
        ctx.tell_self_after(if more { HOUSEKEEPING_BUSY } else { HOUSEKEEPING }, Housekeep);
    }
}

/// Forgets one vehicle, in the log too; replies true if it was known.
pub struct Delete(pub VehicleIdBuf);

impl Handle<Delete> for Storage {
    type Reply = Result<bool, String>;

    async fn handle(&mut self, Delete(id): Delete, ctx: &mut Context<Self>) -> Self::Reply {
        if self.broken.is_none() {
            self.open(ctx);
        }
        let Some(partition) = self.partition.as_mut() else {
            return Err(self.broken.as_ref().map(|broken| broken.why.clone()).unwrap_or_default());
        };
        let gone = partition.delete(id.key()).map_err(|err| err.to_string())?;
        let deleted = gone.is_some();
        self.teller.tell_gone(partition.end(), gone.into_iter().collect());
        self.parts.odd.lock().remove(&id);
        if deleted && self.parts.sync.is_always() {
            // The disk takes as long as it likes.
            let _unwatched = ctx.patient();
            partition.syncer().sync().map_err(|err| err.to_string())?;
        }
        Ok(deleted)
    }
}
