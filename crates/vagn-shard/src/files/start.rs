//! The start: tells the node what an earlier run has left, piece by piece.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use tracing::{error, info};
use vagn_cluster::{DiskPart, LogRecord, ShardId};

use super::aside;
use super::counts::{FileCounts, add};
use super::log::Log;
use super::note::{self, FoundNote};
use super::recover::{self, FoundShard, Opening, Piece};
use super::rest;
use super::site::{Site, is_removing, shard_of};

/// Bytes after which a long start says how far it is.
const SAY_BYTES: u64 = 256 << 20;

/// A start that is under way.
pub(super) struct Start {
    is_note_told: bool,
    shards: VecDeque<ShardId>,
    /// Shards of which nothing is here but what was kept aside.
    asides: VecDeque<ShardId>,
    opening: Option<(ShardId, Opening)>,
    read_bytes: u64,
    said_bytes: u64,
}

/// A shard that can be written from now on.
pub(super) struct Opened {
    pub(super) shard: ShardId,
    pub(super) log: Option<Log>,
    /// Highest number of a log that is there.
    pub(super) number: u64,
    /// Its files could not be read, and are to be kept when others take their place.
    pub(super) keeps_old: bool,
    /// The log was damaged, now or at an earlier start, and the node has not published its rest.
    pub(super) has_rest: bool,
}

/// A step of the start.
pub(super) enum StartStep {
    /// Something for the node, with the bytes of memory that it takes.
    Part(DiskPart, usize),
    Opened(Opened),
    End,
}

impl Start {
    /// Looks which shards there are, and removes what was on its way out.
    pub(super) fn new(site: &Site) -> io::Result<Self> {
        // A shard that is not told now must not be back after a loss of power.
        site.disk.sync_dir(&site.root)?;
        let names = site.disk.list(&site.root)?;
        for name in names.iter().filter(|name| is_removing(name)) {
            let path = site.root.join(name);
            let removed = site.disk.remove_dir(&path);
            removed.unwrap_or_else(
                |err| info!(path = %path.display(), error = %err, "a shard that was dropped stays on disk"),
            );
        }
        let mut shards: Vec<ShardId> = names.iter().filter_map(|name| shard_of(name)).collect();
        shards.sort_unstable();
        let asides: BTreeSet<ShardId> = names.iter().filter_map(|name| aside::shard_of(name)).collect();
        let asides = asides.into_iter().filter(|shard| !shards.contains(shard)).collect();
        let shards = shards.into();
        Ok(Self { is_note_told: false, shards, asides, opening: None, read_bytes: 0, said_bytes: SAY_BYTES })
    }

    /// Reads on, and returns what came of it.
    pub(super) fn step(&mut self, site: &Site, counts: &FileCounts) -> StartStep {
        if !std::mem::replace(&mut self.is_note_told, true)
            && let Some(note) = self.note(site, counts)
        {
            return StartStep::Part(DiskPart::Note(note), 0);
        }
        if let Some((shard, mut opening)) = self.opening.take() {
            return match opening.read(site) {
                Piece::Records(records) => {
                    self.opening = Some((shard, opening));
                    self.records(shard, records, counts)
                }
                Piece::End(log) => {
                    add(&counts.damaged, u64::from(opening.is_damaged));
                    // What could not be read may be all that there is of it: it is kept aside before another log begins.
                    StartStep::Opened(Opened {
                        shard,
                        number: log.id().number,
                        keeps_old: log.is_unread(),
                        log: Some(log),
                        has_rest: has_rest(site, shard),
                    })
                }
            };
        }
        self.next_shard(site, counts)
    }

    fn note(&self, site: &Site, counts: &FileCounts) -> Option<Vec<u8>> {
        let what = match note::restore(site) {
            FoundNote::Note(note) => return Some(note),
            FoundNote::Nothing => return None,
            FoundNote::Damaged => "it is damaged, and kept aside".to_owned(),
            FoundNote::Unread(err) => err.to_string(),
        };
        add(&counts.damaged, 1);
        error!(what, "the note of the node cannot be used; the brokers have what it says");
        None
    }

    fn next_shard(&mut self, site: &Site, counts: &FileCounts) -> StartStep {
        while let Some(shard) = self.shards.pop_front() {
            match recover::find(site, shard) {
                // Its folder is gone, and a rest of it may have been kept aside before.
                FoundShard::Nothing => self.asides.push_back(shard),
                FoundShard::Whole(content, opening) => {
                    self.opening = Some((shard, opening));
                    let bytes = content.len();
                    self.progress(bytes as u64, counts);
                    return StartStep::Part(DiskPart::Snapshot(shard, content), bytes);
                }
                FoundShard::Unread { number } => {
                    add(&counts.damaged, 1);
                    let has_rest = has_rest(site, shard);
                    return StartStep::Opened(Opened { shard, log: None, number, keeps_old: true, has_rest });
                }
            }
        }
        while let Some(shard) = self.asides.pop_front() {
            if has_rest(site, shard) {
                return StartStep::Part(DiskPart::Rest(shard), 0);
            }
        }
        StartStep::End
    }

    fn records(&mut self, shard: ShardId, records: Vec<LogRecord>, counts: &FileCounts) -> StartStep {
        let bytes = records.iter().map(|record| record.bytes.len() + size_of::<LogRecord>()).sum();
        self.progress(bytes as u64, counts);
        StartStep::Part(DiskPart::Records(shard, records), bytes)
    }

    /// Counts what was read, and says it from time to time.
    fn progress(&mut self, bytes: u64, counts: &FileCounts) {
        self.read_bytes += bytes;
        add(&counts.read_bytes, bytes);
        if self.read_bytes >= self.said_bytes {
            self.said_bytes = self.read_bytes + SAY_BYTES;
            info!(
                read_bytes = self.read_bytes,
                shards_left = self.shards.len(),
                "reading the shards of this node"
            );
        }
    }
}

/// Looks for the rest of a log. What cannot be looked at may be one: the node reads it until it can, and tells people.
fn has_rest(site: &Site, shard: ShardId) -> bool {
    rest::is_there(site, shard).unwrap_or_else(|err| {
        error!(shard = shard.0, error = %err, "what is kept aside of a shard cannot be looked at");
        true
    })
}
