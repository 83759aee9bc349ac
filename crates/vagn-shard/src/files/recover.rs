//! Reading a shard at a start, and mending its log: an end that was torn is cut off; what is damaged is kept aside, with all behind it.
//!
//! What stands before is whole, and the node goes on from there: what is missing comes from the stream, or the shard is copied. What stands
//! behind is the rest of the log, of which the node publishes again what the shard lacks. Records that are in the snapshot are not read.

use std::io;
use std::path::PathBuf;

use tracing::{error, info};
use vagn_cluster::{LogRecord, ShardId};

use super::aside;
use super::frame::{HEADER, LogId, NoHeader, VERSION};
use super::log::Log;
use super::rest;
use super::segment::{Expected, Scanner, Segment, Step};
use super::site::{Site, TEMPORARY};
use super::snapshot::{self, NoSnapshot};

/// Bytes of records that one event brings.
const PIECE: usize = 1 << 20;

/// A shard, as a start finds it.
pub(super) enum FoundShard {
    /// A folder in which nothing was kept yet; it is gone.
    Nothing,
    /// The content of the snapshot, and the log to be read.
    Whole(Vec<u8>, Opening),
    /// It cannot be used. Its files are left as they are, and kept aside when another snapshot is installed. Logs up to this number are
    /// there.
    Unread { number: u64 },
}

/// A shard whose log is being read.
pub(super) struct Opening {
    id: LogId,
    /// Last record in the snapshot.
    snapshot: u64,
    segments: Vec<Segment>,
    /// The segment that is being read.
    at: usize,
    scanner: Option<Scanner>,
    /// Last record that was read, or is in the snapshot.
    last: u64,
    pub(super) is_damaged: bool,
}

/// A piece of a log, as one step reads it.
pub(super) enum Piece {
    Records(Vec<LogRecord>),
    /// There is no more: the log, to be written on.
    End(Log),
}

/// A spot at which a record, or a header, should be and is not.
struct Spot {
    /// The record that is missing.
    missing: Expected,
    /// Reads what is behind.
    scanner: Option<Scanner>,
    /// The segment is whole, and what should follow it is missing.
    is_gap: bool,
}

/// Looks at the folder of a shard, and reads its snapshot.
pub(super) fn find(site: &Site, shard: ShardId) -> FoundShard {
    let dir = site.shard_dir(shard);
    let listed = tidy(site, shard).and_then(|()| Segment::list(&*site.disk, &dir));
    let segments = match listed {
        Ok(segments) => segments,
        Err(err) => {
            error!(shard = shard.0, error = %err, "the folder of a shard cannot be read, and is left as it is");
            return FoundShard::Unread { number: 0 };
        }
    };
    let read = match snapshot::read(&*site.disk, &dir, shard) {
        Ok(read) => read,
        // Cut off before its first snapshot had its name.
        Err(NoSnapshot::Missing) if segments.is_empty() => {
            let _again = site.disk.remove_dir(&dir);
            return FoundShard::Nothing;
        }
        Err(reason) => {
            say_unread(shard, &reason);
            return FoundShard::Unread { number: segments.last().map_or(0, |segment| segment.number) };
        }
    };
    let id = read.header.log;
    match Opening::new(site, id, read.header.sequence, segments) {
        Ok(opening) => FoundShard::Whole(read.content, opening),
        Err(err) => {
            error!(shard = shard.0, error = %err, "old files of a shard cannot be put away, and it is left as it is");
            FoundShard::Unread { number: id.number }
        }
    }
}

/// Makes the names in the folder durable, since what follows from them is removed, and removes what was not finished.
fn tidy(site: &Site, shard: ShardId) -> io::Result<()> {
    let dir = site.shard_dir(shard);
    site.disk.sync_dir(&dir)?;
    for name in site.disk.list(&dir)?.iter().filter(|name| name.ends_with(TEMPORARY)) {
        site.disk.remove(&dir.join(name))?;
    }
    Ok(())
}

fn say_unread(shard: ShardId, reason: &NoSnapshot) {
    let what = match reason {
        NoSnapshot::Missing => "it is missing beside its log".to_owned(),
        NoSnapshot::Damaged => "it is damaged".to_owned(),
        NoSnapshot::Version(version) => format!("it is of version {version}, and this one reads {VERSION}"),
        NoSnapshot::Io(err) => err.to_string(),
    };
    error!(
        shard = shard.0,
        what,
        "the snapshot of a shard cannot be used; the shard is copied from another owner, and its files are kept"
    );
}

impl Opening {
    /// Puts away segments that go with another snapshot, and finds the one in which the snapshot's log goes on.
    fn new(site: &Site, id: LogId, snapshot: u64, segments: Vec<Segment>) -> io::Result<Self> {
        let mut opening = Self {
            id,
            snapshot,
            segments: Vec::new(),
            at: 0,
            scanner: None,
            last: snapshot,
            is_damaged: false,
        };
        let (old, rest): (Vec<_>, Vec<_>) = segments.into_iter().partition(|it| it.number < id.number);
        // They went with a snapshot that another one was put in place of.
        old.iter().try_for_each(|segment| site.disk.remove(&segment.path))?;
        let (own, newer): (Vec<_>, Vec<_>) = rest.into_iter().partition(|it| it.number == id.number);
        if !newer.is_empty() {
            error!(shard = id.shard.0, "the snapshot of a shard is older than its log, which is kept aside");
            opening.put_aside(site, &newer)?;
        }
        let start = own.partition_point(|segment| segment.first <= snapshot + 1);
        opening.segments = own;
        match start.checked_sub(1) {
            Some(at) => opening.at = at,
            None if opening.segments.is_empty() => {}
            None => opening.give_up(site, "it begins behind its snapshot")?,
        }
        Ok(opening)
    }

    /// Reads on. An error of the disk leaves the log as it is.
    pub(super) fn read(&mut self, site: &Site) -> Piece {
        match self.read_some(site) {
            Ok(records) if !records.is_empty() => Piece::Records(records),
            Ok(_) => Piece::End(self.log(site)),
            Err(err) => {
                let from = self.last + 1;
                error!(shard = self.id.shard.0, from, error = %err, "the log of a shard cannot be read on; the shard stops until the next start");
                Piece::End(self.log(site).unread())
            }
        }
    }

    fn log(&mut self, site: &Site) -> Log {
        let sized = std::mem::take(&mut self.segments).into_iter().map(|segment| {
            // It was just read, and is not written.
            let size = site.disk.open(&segment.path).and_then(|file| file.size()).unwrap_or(0);
            (segment, size)
        });
        Log::empty(site, self.id, self.snapshot).found(sized.collect(), self.last)
    }

    /// Returns records for one event; none at the end.
    fn read_some(&mut self, site: &Site) -> io::Result<Vec<LogRecord>> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while bytes < PIECE {
            let Some(segment) = self.segments.get(self.at) else { break };
            if self.scanner.is_none() && !self.open(site, &segment.clone())? {
                continue;
            }
            let Some(scanner) = &mut self.scanner else { break };
            match scanner.step(self.snapshot + 1)? {
                Step::Record(record) => {
                    self.last = record.sequence;
                    bytes += record.bytes.len() + HEADER;
                    records.push(record);
                }
                Step::Passed => {}
                Step::End => {
                    let missing = scanner.expected();
                    self.end_segment(site, missing)?;
                }
                Step::Bad => {
                    let missing = scanner.expected();
                    let scanner = self.scanner.take();
                    self.mend(site, Spot { missing, scanner, is_gap: false })?;
                }
            }
        }
        Ok(records)
    }

    /// Goes on to the next segment, or ends the log.
    fn end_segment(&mut self, site: &Site, missing: Expected) -> io::Result<()> {
        let is_empty = missing.offset <= HEADER as u64;
        match self.segments.get(self.at + 1) {
            Some(next) if next.first == missing.sequence && !is_empty => {
                self.at += 1;
                self.scanner = None;
                Ok(())
            }
            None if missing.sequence > self.snapshot && !is_empty => self.end(site),
            // One that was begun and got no record is no more than an end that was torn.
            next => self.mend(site, Spot { missing, scanner: None, is_gap: next.is_some() }),
        }
    }

    fn is_last(&self) -> bool {
        self.at + 1 == self.segments.len()
    }

    /// Opens the segment that is to be read next. Returns false when it had to be put away.
    fn open(&mut self, site: &Site, segment: &Segment) -> io::Result<bool> {
        match Scanner::open(&*site.disk, self.id, segment)? {
            Ok(scanner) => {
                self.scanner = Some(scanner);
                Ok(true)
            }
            Err(NoHeader::Version(version)) => Err(io::Error::other(format!(
                "a segment is of version {version}, and this one reads {VERSION}"
            ))),
            Err(NoHeader::Damaged) => {
                let file = site.disk.open(&segment.path)?;
                let size = file.size()?;
                // What is behind the header may be whole: it tells whether it had been synced.
                let missing = Expected { sequence: segment.first, offset: 0 };
                let scanner = Scanner::at(self.id, file, size, missing);
                self.mend(site, Spot { missing, scanner: Some(scanner), is_gap: false })?;
                Ok(false)
            }
        }
    }

    /// Ends the log before a bad spot of the segment that is being read.
    fn mend(&mut self, site: &Site, spot: Spot) -> io::Result<()> {
        let Spot { missing, scanner, is_gap } = spot;
        let Expected { sequence: from, offset } = missing;
        let shard = self.id.shard;
        let file = scanner.as_ref().map(|scanner| scanner.file().clone());
        let is_torn = match scanner {
            _ if is_gap || !self.is_last() => false,
            Some(scanner) => !scanner.was_synced()?,
            None => true,
        };
        if from <= self.snapshot {
            // What is left of it ends in the snapshot, and cannot be written on.
            return self.give_up(site, "it ends before its snapshot does");
        }
        let path = self.segments[self.at].path.clone();
        let is_empty = offset <= HEADER as u64;
        if is_torn {
            info!(shard = shard.0, from, file = %path.display(), "cut off an end that was not written whole");
        } else {
            self.is_damaged = true;
            let folder = rest::folder(site, shard)?;
            error!(shard = shard.0, from, file = %path.display(), offset, kept = %folder.display(),
                "the log of a shard is damaged; what stands before is used, and the rest is kept aside");
            let whole = self.at + usize::from(!is_empty);
            // First a copy of the end: once what is behind is away, it looks as if it were torn.
            if let Some(file) = file.as_ref().filter(|_| !is_empty) {
                aside::copy_end(site, &folder, file, &path, offset)?;
            }
            aside::move_into(site, &folder, self.segments[whole..].iter().map(|it| it.path.as_path()))?;
            self.segments.truncate(whole);
        }
        if is_empty {
            if is_torn {
                site.disk.remove(&path)?;
                self.segments.truncate(self.at);
            }
        } else if let Some(file) = file {
            file.truncate(offset)?;
        }
        self.end(site)
    }

    /// Ends the reading: what was read may still be on no disk, and the node is told of it as of what is.
    fn end(&mut self, site: &Site) -> io::Result<()> {
        self.at = self.segments.len();
        self.scanner = None;
        if let Some(segment) = self.segments.last() {
            site.disk.open(&segment.path)?.sync()?;
        }
        site.disk.sync_dir(&site.shard_dir(self.id.shard))
    }

    /// Puts the whole log aside: the next record follows the snapshot.
    fn give_up(&mut self, site: &Site, what: &'static str) -> io::Result<()> {
        error!(
            shard = self.id.shard.0,
            what, "the log of a shard is of no use, and is kept aside; its snapshot is used"
        );
        let segments = std::mem::take(&mut self.segments);
        self.put_aside(site, &segments)?;
        self.at = 0;
        self.scanner = None;
        self.last = self.snapshot;
        Ok(())
    }

    fn put_aside(&mut self, site: &Site, segments: &[Segment]) -> io::Result<()> {
        self.is_damaged = true;
        let folder = rest::folder(site, self.id.shard)?;
        aside::move_into(site, &folder, segments.iter().map(|segment| segment.path.as_path()))
    }
}

/// Moves all files of a shard that could not be read into a folder of their own. Records among them that are whole are a rest as any other:
/// the next start tells of it.
pub(super) fn keep_all(site: &Site, shard: ShardId) -> io::Result<()> {
    let dir = site.shard_dir(shard);
    let names = match site.disk.list(&dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    if names.is_empty() {
        return Ok(());
    }
    let files: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
    let folder = rest::folder(site, shard)?;
    aside::move_into(site, &folder, files.iter().map(PathBuf::as_path))
}

/// Gives all files of a shard a second name in a folder of their own, and leaves them where they are: what is there stays whole until another
/// snapshot has its place. Returns the folder.
pub(super) fn keep_copies(site: &Site, shard: ShardId) -> io::Result<PathBuf> {
    let dir = site.shard_dir(shard);
    let names = site.disk.list(&dir)?;
    let folder = aside::folder(site, shard)?;
    let copied = names.iter().filter(|name| !name.ends_with(TEMPORARY)).try_for_each(|name| {
        let from = dir.join(name);
        let to = folder.join(name);
        site.disk.link(&from, &to).or_else(|_| {
            // Not every file system has second names.
            site.check_room(site.disk.open(&from)?.size()?)?;
            site.disk.copy(&from, &to)
        })
    });
    let kept = copied.and_then(|()| site.disk.sync_dir(&folder));
    kept.inspect_err(|_| forget_copies(site, &folder))?;
    Ok(folder)
}

/// Removes copies whose originals are still there.
pub(super) fn forget_copies(site: &Site, folder: &std::path::Path) {
    let removed = site.disk.remove_dir(folder);
    removed.unwrap_or_else(
        |err| info!(folder = %folder.display(), error = %err, "copies of files stay on disk"),
    );
}

/// Removes the logs that went with snapshots before this one. What stays is removed at the next start.
pub(super) fn remove_older(site: &Site, id: LogId) {
    let segments = Segment::list(&*site.disk, &site.shard_dir(id.shard)).unwrap_or_default();
    for segment in segments.iter().filter(|segment| segment.number < id.number) {
        let _later = site.disk.remove(&segment.path);
    }
}

/// Removes all that is on disk of a shard: at once and whole, whenever the power is lost.
pub(super) fn remove_shard(site: &Site, shard: ShardId) -> io::Result<()> {
    let dir = site.shard_dir(shard);
    let going = site.removing_dir(shard);
    let names = site.disk.list(&site.root)?;
    let folders: Vec<PathBuf> = names.iter().map(|name| site.root.join(name)).collect();
    if folders.contains(&going) {
        site.disk.remove_dir(&going)?;
    }
    if !folders.contains(&dir) {
        return Ok(());
    }
    site.disk.rename(&dir, &going)?;
    site.disk.sync_dir(&site.root)?;
    site.disk.remove_dir(&going)
}
