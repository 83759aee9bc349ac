//! The log of a shard in this run: appends records, syncs them, and keeps track of its end after a failure.
//!
//! A failed write is cut off again, and so is all that a failed sync should have covered. From then on the log takes nothing until the node has
//! heard of it: what it writes first then begins where the log ends.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{error, info, warn};
use vagn_cluster::{DiskFault, LogRecord};
use vagn_store::disk::DiskFile;

use super::error::{fault_of, is_no_room, lack_of};
use super::frame::{self, HEADER, LogId, RECORD_MAX, SegmentHeader};
use super::read::View;
use super::segment::Segment;
use super::site::Site;

/// A failure that the node is to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// First record that is not in the log.
    pub(super) from: u64,
    pub(super) fault: DiskFault,
}

/// Next step of a sync that was asked for.
pub(super) enum Due {
    /// All up to this record is synced already.
    Nothing {
        through: u64,
    },
    Sync(Sync),
    Failed(Failure),
    /// A failure has answered it, so it gets no answer of its own.
    Silence,
}

/// A sync of a log, as it was when it began.
pub(super) struct Sync {
    pub(super) file: Arc<dyn DiskFile>,
    size: u64,
    through: u64,
    failures: u64,
}

/// State of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    /// The node was told that the log ends before this record. What it had written behind has no answer.
    Failed {
        from: u64,
    },
    /// It could not be read at the start. The first job for it fails.
    Unread,
    Broken,
}

/// The segment that is written.
struct Current {
    segment: Segment,
    file: Arc<dyn DiskFile>,
    size: u64,
    /// Bytes that are synced.
    synced: u64,
}

/// The log of a shard.
pub(super) struct Log {
    id: LogId,
    dir: PathBuf,
    /// Segments that are full, with their lengths: all synced.
    full: Vec<(Segment, u64)>,
    current: Option<Current>,
    /// Last record, and the last one that is synced.
    last: u64,
    synced: u64,
    state: State,
    /// Counts failures, so that the late end of an earlier sync answers nothing.
    failures: u64,
    /// There was no room, or no memory or file handle, and that was said.
    is_full: bool,
    /// The start could not read it to its end.
    is_unread: bool,
}

impl Log {
    /// Returns an empty log behind a snapshot up to `sequence`.
    pub(super) fn empty(site: &Site, id: LogId, sequence: u64) -> Self {
        Self {
            id,
            dir: site.shard_dir(id.shard),
            full: Vec::new(),
            current: None,
            last: sequence,
            synced: sequence,
            state: State::Sound,
            failures: 0,
            is_full: false,
            is_unread: false,
        }
    }

    /// Fills in what a start has found: all of it synced, up to the record `last`.
    pub(super) fn found(mut self, full: Vec<(Segment, u64)>, last: u64) -> Self {
        self.full = full;
        self.last = last;
        self.synced = last;
        self
    }

    /// Marks a log that could not be read to its end. Its files are left as they are.
    pub(super) fn unread(mut self) -> Self {
        self.state = State::Unread;
        self.is_unread = true;
        self
    }

    /// Returns true when the start could not read it to its end, so that its content is not known.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread
    }

    /// Returns the bytes of its segments.
    pub(super) fn bytes(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |current| current.size);
        self.full.iter().map(|(_, size)| size).sum::<u64>() + current
    }

    pub(super) fn id(&self) -> LogId {
        self.id
    }

    /// Returns the last record that is synced.
    pub(super) fn synced(&self) -> u64 {
        self.synced
    }

    /// Counts the failures so far, each of which may have cut the log.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// Returns true when the next write begins another segment. It must not be written while a sync is under way.
    pub(super) fn is_segment_full(&self, site: &Site) -> bool {
        self.current.as_ref().is_some_and(|current| current.size >= site.settings.segment_bytes)
    }

    /// Appends records with as few calls as segments ask for. `is_syncing`: no other segment is begun now. `buffer` is room for their
    /// byte forms.
    pub(super) fn append(
        &mut self,
        site: &Site,
        records: &[LogRecord],
        is_syncing: bool,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let Some(first) = records.first() else { return Ok(()) };
        match self.state {
            State::Sound => {}
            State::Failed { from } if first.sequence == from => self.state = State::Sound,
            State::Unread => return Err(self.fail(DiskFault::Broken, self.last + 1)),
            State::Failed { .. } | State::Broken => return Ok(()),
        }
        let mut rest = records;
        while !rest.is_empty() {
            rest = self.append_some(site, rest, is_syncing, buffer)?;
        }
        if std::mem::take(&mut self.is_full) {
            info!(shard = self.id.shard.0, "the log of a shard is written again");
        }
        Ok(())
    }

    /// Appends as many records as the segment takes, one at least. Returns the others.
    fn append_some<'a>(
        &mut self,
        site: &Site,
        records: &'a [LogRecord],
        is_syncing: bool,
        buffer: &mut Vec<u8>,
    ) -> Result<&'a [LogRecord], Failure> {
        let from = self.last + 1;
        if self.is_segment_full(site) && !is_syncing {
            self.close_segment()?;
        }
        if self.current.is_none() {
            let begun = self.begin_segment(site, from);
            begun.map_err(|err| self.failed(&err, fault_of(&err), from))?;
        }
        let Some(current) = &mut self.current else { return Ok(records) };
        buffer.clear();
        let mut taken = 0;
        for record in records {
            let is_full = current.size + buffer.len() as u64 >= site.settings.segment_bytes && !is_syncing;
            let follows = record.sequence == from + taken as u64 && record.bytes.len() <= RECORD_MAX;
            if !follows || (is_full && taken > 0) {
                break;
            }
            frame::encode(self.id, record, self.synced, buffer);
            taken += 1;
        }
        if taken == 0 {
            error!(shard = self.id.shard.0, from, "a record does not follow the log, or is too long");
            return Err(self.fail(DiskFault::Broken, from));
        }
        let room = site.check_room(buffer.len() as u64);
        if let Err(err) = room.and_then(|()| current.file.append(buffer)) {
            // No part of a record may be left: it would stand before what is written next.
            let is_cut = current.file.truncate(current.size).is_ok();
            let fault = if is_cut { fault_of(&err) } else { DiskFault::Broken };
            return Err(self.failed(&err, fault, from));
        }
        current.size += buffer.len() as u64;
        self.last += taken as u64;
        Ok(&records[taken..])
    }

    /// Syncs the segment, and lets go of it: all but the last segment are whole and synced, always.
    fn close_segment(&mut self) -> Result<(), Failure> {
        let Some(current) = &self.current else { return Ok(()) };
        if current.synced < current.size {
            let synced = current.file.sync();
            synced.map_err(|err| self.sync_failed(&err))?;
        }
        self.synced = self.last;
        self.full.extend(self.current.take().map(|current| (current.segment, current.size)));
        Ok(())
    }

    fn begin_segment(&mut self, site: &Site, first: u64) -> io::Result<()> {
        site.check_room(HEADER as u64)?;
        let segment = Segment::new(&self.dir, self.id, first);
        let header = SegmentHeader { log: self.id, first }.encode();
        let file = site.disk.create(&segment.path)?;
        // Its name is durable before a record in it is.
        if let Err(err) = file.append(&header).and_then(|()| site.disk.sync_dir(&self.dir)) {
            let _removed = site.disk.remove(&segment.path);
            return Err(err);
        }
        self.current = Some(Current { segment, file, size: HEADER as u64, synced: 0 });
        Ok(())
    }

    /// Begins a sync. No other one may be under way.
    pub(super) fn begin_sync(&mut self) -> Due {
        match (self.state, &self.current) {
            (State::Unread, _) => Due::Failed(self.fail(DiskFault::Broken, self.last + 1)),
            (State::Failed { .. } | State::Broken, _) => Due::Silence,
            (State::Sound, Some(current)) if current.synced < current.size && self.synced < self.last => {
                Due::Sync(Sync {
                    file: current.file.clone(),
                    size: current.size,
                    through: self.last,
                    failures: self.failures,
                })
            }
            (State::Sound, _) => Due::Nothing { through: self.last },
        }
    }

    /// Ends a sync. Returns up to where the log is synced, or nothing when a failure was told since it began.
    pub(super) fn end_sync(&mut self, sync: &Sync, result: io::Result<()>) -> Option<Result<u64, Failure>> {
        if let Err(err) = result {
            return Some(Err(self.sync_failed(&err)));
        }
        if let Some(current) = &mut self.current {
            current.synced = current.synced.max(sync.size);
        }
        self.synced = self.synced.max(sync.through);
        (sync.failures == self.failures).then_some(Ok(sync.through))
    }

    /// Cuts off what is not known to be synced. A disk that had no room for it may be tried again, since all of it is written anew; after
    /// another error it is not known what the disk has.
    fn sync_failed(&mut self, err: &io::Error) -> Failure {
        let mut fault = if is_no_room(err) { DiskFault::Full } else { DiskFault::Broken };
        if let Some(current) = &mut self.current {
            let size = current.synced.max(HEADER as u64);
            match current.file.truncate(size) {
                Ok(()) => {
                    current.size = size;
                    self.last = self.synced;
                }
                Err(_) => fault = DiskFault::Broken,
            }
        }
        self.failed(err, fault, self.synced + 1)
    }

    fn failed(&mut self, err: &io::Error, fault: DiskFault, from: u64) -> Failure {
        let shard = self.id.shard.0;
        match fault {
            DiskFault::Full if std::mem::replace(&mut self.is_full, true) => {}
            DiskFault::Full => {
                let what = lack_of(err);
                warn!(shard, from, error = %err, "{what} for the log of a shard; it is tried again")
            }
            DiskFault::Broken => {
                error!(shard, from, error = %err, "the log of a shard cannot be written; it stops until the next start")
            }
        }
        self.fail(fault, from)
    }

    fn fail(&mut self, fault: DiskFault, from: u64) -> Failure {
        self.failures += 1;
        self.state = match fault {
            DiskFault::Full => State::Failed { from },
            DiskFault::Broken => State::Broken,
        };
        Failure { from, fault }
    }

    /// Removes the segments in which nothing behind `through` is. Returns how many.
    pub(super) fn trim(&mut self, site: &Site, through: u64, is_syncing: bool) -> usize {
        if self.is_unread {
            return 0;
        }
        let is_all =
            self.last <= through && self.synced == self.last && self.state == State::Sound && !is_syncing;
        if is_all && let Some(current) = self.current.take() {
            self.full.push((current.segment, current.size));
        }
        let end = self.current.as_ref().map_or(self.last + 1, |current| current.segment.first);
        let ends = self.full.iter().skip(1).map(|(segment, _)| segment.first).chain([end]);
        let over = ends.take(self.full.len()).take_while(|end| *end <= through + 1).count();
        // The oldest first: what is left is always a log.
        let removed = self.full[..over].iter().take_while(|(segment, _)| {
            let removed = site.disk.remove(&segment.path);
            removed
                .inspect_err(|err| info!(path = %segment.path.display(), error = %err, "a segment stays"))
                .is_ok()
        });
        let removed = removed.count();
        self.full.drain(..removed);
        removed
    }

    /// Holds on to a part of the log as it is now, to be read later.
    pub(super) fn view(&self, site: &Site, from: u64, max_bytes: usize) -> io::Result<View> {
        if self.is_unread {
            return Err(io::Error::other("it could not be read to its end at the start"));
        }
        let current = self.current.as_ref().map(|current| (&current.segment, current.size));
        let all: Vec<(&Segment, u64)> =
            self.full.iter().map(|(segment, size)| (segment, *size)).chain(current).collect();
        let before = all.partition_point(|(segment, _)| segment.first <= from);
        let start = if from == 0 { 0 } else { before.wrapping_sub(1) };
        let mut view = View::new(self.id, from, self.last, max_bytes, self.failures);
        let mut behind = 0;
        for (at, (segment, size)) in all.into_iter().enumerate().skip(start).filter(|_| from <= self.last) {
            view.push(segment.first, site.disk.open(&segment.path)?, size);
            // Of the first one little may be wanted.
            behind += if at > start { size } else { 0 };
            if behind > max_bytes as u64 {
                break;
            }
        }
        Ok(view)
    }
}
