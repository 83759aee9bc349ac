//! The keeper: begins the census of each partition with what its file says, and writes the file again when the census has changed.
//!
//! It has a thread of its own. It looks at the fleet in pieces, as the census does, and reads and writes the disk while it holds no lock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{io, mem};

use tracing::{info, warn};
use vagn_flow::clock::Clock;
use vagn_flow::readiness::Readiness;
use vagn_otp::{ChildSpec, ThreadContext};
use vagn_store::Reader;
use vagn_store::disk::{Disk, RealDisk};

use super::before::{Before, GoOn};
use super::file::{CENSUS_DIR, CensusFiles};
use super::live_fleet::LiveFleet;
use super::read::{CensusError, entry};
use super::rows::{CHUNK, Census, Seen};
use super::vehicle_hash::HashKey;

/// Pause between two looks at what is to be begun or written. Until the census of a partition has begun, its vehicles are undecided.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks for which a file that the disk does not give is asked for again: a second. It may lack no more than a descriptor.
const TRIES: u32 = 10;

/// Longest time at a stop in which files are written, so that the storages have theirs. What is not written then is as it was before.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Time to stop, with what cannot be broken off.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// Name of the warning for the operator.
const CENSUS: &str = "census";

/// Parts of a keeper.
pub struct CensusParts {
    /// The fleet, and who of it is known.
    pub vehicles: Arc<LiveFleet>,
    /// Directory of the incidents. The files are in one below it.
    pub data_dir: PathBuf,
    /// Shortest time between two writings of a file.
    pub every: Duration,
    /// Bytes that must stay free on the disk.
    pub spare: u64,
    /// Key of the hashes in files that are written: any secret numbers.
    pub secret: [u64; 2],
    /// Clock of the keeper.
    pub clock: Arc<dyn Clock>,
    /// Receives warnings for the operator.
    pub readiness: Arc<Readiness>,
}

/// Returns the child that keeps the census on disk.
pub fn census_child(parts: CensusParts) -> ChildSpec {
    let parts = Arc::new(parts);
    let child = ChildSpec::thread("census", move |ctx| {
        ctx.ready();
        CensusKeeper::new(parts.clone(), Arc::new(RealDisk)).run(&ctx);
        Ok(())
    });
    // Two writers of one file would be worse than none, so a stuck one is waited for.
    child.never_abandon().shutdown(SHUTDOWN)
}

/// The keeper.
pub(super) struct CensusKeeper {
    parts: Arc<CensusParts>,
    files: CensusFiles,
    /// By partition.
    kept: Vec<Kept>,
    /// By partition: why nothing was read.
    unread: BTreeMap<usize, String>,
    /// Why nothing was written at the last try.
    unwritten: Option<String>,
}

/// The file of a partition. At first nothing is known of it.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// The census is not what the file says.
    is_stale: bool,
    /// Earliest time of the next writing.
    due: Duration,
    /// Looks at which the disk did not give it.
    tries: u32,
}

impl CensusKeeper {
    pub(super) fn new(parts: Arc<CensusParts>, disk: Arc<dyn Disk>) -> Self {
        let partitions = parts.vehicles.fleet().partitions();
        let files = CensusFiles::new(disk, parts.data_dir.join(CENSUS_DIR), partitions as u32);
        let kept = vec![Kept { is_stale: true, due: Duration::ZERO, tries: 0 }; partitions];
        Self { parts, files, kept, unread: BTreeMap::new(), unwritten: None }
    }

    fn run(mut self, ctx: &ThreadContext) {
        self.files.tidy();
        loop {
            ctx.beat();
            self.look(&|| {
                ctx.beat();
                !ctx.stopping()
            });
            if ctx.sleep(LOOK_EVERY) {
                break;
            }
        }
        let until = self.parts.clock.monotonic() + STOP_WITHIN;
        let clock = self.parts.clock.clone();
        self.close(&|| clock.monotonic() < until);
    }

    /// Begins what has not begun, and writes what is due.
    pub(super) fn look(&mut self, go_on: GoOn<'_>) {
        let mut without_file = 0;
        for number in 0..self.kept.len() {
            let Some(reader) = self.parts.vehicles.fleet().reader(number) else { continue };
            if !self.parts.vehicles.has_begun(number, &reader) {
                without_file += self.begin(number, &reader, go_on);
            } else if self.parts.clock.monotonic() >= self.kept[number].due && self.is_stale(number, &reader)
            {
                self.write(number, &reader, go_on);
            }
        }
        if without_file > 0 {
            info!(
                vehicles = without_file,
                "no census of an earlier run: all vehicles that are there are known"
            );
        }
    }

    /// Writes all that has changed, due or not.
    pub(super) fn close(&mut self, go_on: GoOn<'_>) {
        for number in 0..self.kept.len() {
            let Some(reader) = self.parts.vehicles.fleet().reader(number) else { continue };
            if self.parts.vehicles.has_begun(number, &reader) && self.is_stale(number, &reader) {
                self.write(number, &reader, go_on);
            }
        }
    }

    fn is_stale(&mut self, number: usize, reader: &Reader) -> bool {
        let changed = self.parts.vehicles.with(number, reader, Census::take_changed);
        self.kept[number].is_stale |= changed.unwrap_or(false);
        self.kept[number].is_stale
    }

    /// Begins the census of a partition. Returns the number of vehicles that are known because there is no file.
    fn begin(&mut self, number: usize, reader: &Reader, go_on: GoOn<'_>) -> usize {
        let first_rows = reader.first_rows();
        let (before, without_file) = match self.files.read(number) {
            Ok(Some(remembered)) => (Before::Counted(remembered), 0),
            Ok(None) => (Before::Rows(first_rows), first_rows as usize),
            // Perhaps it gives it later: nobody need be known for that.
            Err(CensusError::Io(_)) if self.kept[number].tries < TRIES => {
                self.kept[number].tries += 1;
                return 0;
            }
            Err(err) => {
                self.give_up(number, &err);
                (Before::Rows(first_rows), 0)
            }
        };
        let seed = self.parts.vehicles.seed();
        let Some(census) = before.census(seed, reader, go_on) else { return 0 };
        self.parts.vehicles.begin(number, reader.mark(), census);
        let now = self.parts.clock.monotonic();
        self.kept[number] = match before {
            Before::Counted(_) => Kept { is_stale: false, due: now + self.parts.every, tries: 0 },
            // Who comes from now on is to be a stranger after the next start, whenever that is.
            Before::Rows(_) => Kept { is_stale: true, due: now, tries: 0 },
        };
        without_file
    }

    /// Notes that a file says nothing, and sets it aside. To know all who were there is the safe side: else a damaged file would have
    /// calls of the fleet refused in a flood.
    fn give_up(&mut self, number: usize, err: &CensusError) {
        let kept = match self.files.set_aside(number, self.parts.clock.now_ms()) {
            Ok(path) => format!("it is kept as {}", path.display()),
            Err(err) => format!("it could not be set aside: {err}"),
        };
        warn!(partition = number, error = %err, kept, "the census cannot be read: all vehicles that are there are known");
        let why = format!(
            "that of partition {number} could not be read ({err}); all vehicles that were there at the start count as known, \
             made-up ones too; {kept}"
        );
        self.unread.insert(number, why);
        self.show();
    }

    fn write(&mut self, number: usize, reader: &Reader, go_on: GoOn<'_>) {
        let written = self.try_write(number, reader, go_on);
        let Kept { is_stale, due, .. } = &mut self.kept[number];
        *due = self.parts.clock.monotonic() + self.parts.every;
        let before = mem::take(&mut self.unwritten);
        match written {
            Ok(is_whole) => *is_stale = !is_whole,
            Err(err) => {
                if before.is_none() {
                    warn!(partition = number, error = %err, "failed to write the census");
                }
                self.unwritten = Some(format!(
                    "that of partition {number} could not be written: {err}; who becomes known from now on may be a stranger after \
                     the next start"
                ));
            }
        }
        self.show();
    }

    /// Writes the file of a partition. Returns false when it is not to go on, or the partition is another one by now.
    fn try_write(&self, number: usize, reader: &Reader, go_on: GoOn<'_>) -> io::Result<bool> {
        let CensusParts { vehicles, spare, secret, .. } = &*self.parts;
        let (seed, key) = (vehicles.seed(), HashKey(*secret));
        let mut writer = self.files.begin(number, key, reader.len(), *spare)?;
        let mut found = Vec::with_capacity(CHUNK as usize);
        for row in (0..).step_by(CHUNK as usize) {
            if !go_on() {
                return Ok(false);
            }
            found.clear();
            let is_there = reader.visit_rows(row, CHUNK, |vehicle| {
                found.push((Seen::new(seed, vehicle), key.hash(vehicle.key)));
            });
            if !is_there {
                break;
            }
            let entries = vehicles.with(number, reader, |census| entries(census, &found));
            let Some(entries) = entries else { return Ok(false) };
            writer.add(&entries)?;
        }
        // In the end: what is counted after its vehicle was written counts once less, and never twice.
        let Some(latest) = vehicles.with(number, reader, |census| census.latest()) else { return Ok(false) };
        writer.finish(latest)?;
        Ok(true)
    }

    fn show(&self) {
        match self.unwritten.as_ref().or(self.unread.values().next()) {
            Some(why) => self.parts.readiness.warn(CENSUS, why),
            None => self.parts.readiness.clear(CENSUS),
        }
    }
}

/// Returns the entries of those of these vehicles that have rounds.
fn entries(census: &Census, found: &[(Seen, u64)]) -> Vec<u64> {
    let counted = found.iter().map(|(seen, hash)| (*hash, census.rounds(seen)));
    counted.filter(|(_, rounds)| *rounds > 0).map(|(hash, rounds)| entry(hash, rounds)).collect()
}
