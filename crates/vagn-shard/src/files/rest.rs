//! The rest of a log that a start has found damaged: whole records that stood behind the damage, in folders of what was kept aside.
//!
//! A folder that has one carries a mark until the node has no more need of it. The mark is there before the first file is, and goes alone: what
//! is kept aside stays.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use vagn_cluster::{LogOutcome, LogRecord, ShardId};

use super::aside;
use super::frame::{HEADER, LogId};
use super::segment::{Expected, Scanner, Segment, Step};
use super::site::Site;
use super::tasks::Reading;

/// Marks a folder whose records the node has not published again yet.
const MARK: &str = "unpublished";

/// A file of a rest.
struct Kept {
    path: PathBuf,
    log: LogId,
    /// Its first record.
    begin: Expected,
}

/// The end of the last reading of a rest.
#[derive(Debug, Clone, Default)]
struct RestBookmark {
    /// Records that were read.
    count: u64,
    file: PathBuf,
    /// The next record in the file.
    next: Expected,
}

/// Reads rests. It knows where it ended in each, since they are read on from there.
#[derive(Debug, Default)]
pub(super) struct RestReader {
    bookmarks: BTreeMap<ShardId, RestBookmark>,
}

/// Makes a folder for what is damaged of a shard, whose records are a rest.
pub(super) fn folder(site: &Site, shard: ShardId) -> io::Result<PathBuf> {
    let folder = aside::folder(site, shard)?;
    site.disk.create(&folder.join(MARK))?.sync()?;
    site.disk.sync_dir(&folder)?;
    Ok(folder)
}

/// Returns true if the log of a shard has a rest.
pub(super) fn is_there(site: &Site, shard: ShardId) -> io::Result<bool> {
    marked(site, shard).map(|folders| !folders.is_empty())
}

/// Lets go of the rest of a log. Its files stay.
pub(super) fn let_go(site: &Site, shard: ShardId) -> io::Result<()> {
    for folder in marked(site, shard)? {
        site.disk.remove(&folder.join(MARK))?;
        site.disk.sync_dir(&folder)?;
    }
    Ok(())
}

/// Returns the folders of a shard that carry the mark, the oldest first.
fn marked(site: &Site, shard: ShardId) -> io::Result<Vec<PathBuf>> {
    let mut marked = Vec::new();
    for folder in aside::folders(site, shard)? {
        if site.disk.list(&folder)?.iter().any(|name| name == MARK) {
            marked.push(folder);
        }
    }
    Ok(marked)
}

fn files(site: &Site, shard: ShardId) -> io::Result<Vec<Kept>> {
    let mut files = Vec::new();
    for folder in marked(site, shard)? {
        let mut own: Vec<Kept> =
            site.disk.list(&folder)?.iter().filter_map(|name| kept(&folder, name, shard)).collect();
        own.sort_by_key(|kept| (kept.log.number, kept.begin.sequence));
        files.append(&mut own);
    }
    Ok(files)
}

/// Returns a segment that was moved, or the end of one that was copied: the name tells from which offset on.
fn kept(folder: &Path, name: &str, shard: ShardId) -> Option<Kept> {
    let (whole, is_end) = match name.split_once(aside::FROM) {
        Some((whole, _)) => (whole, true),
        None => (name, false),
    };
    let segment = Segment::of_name(folder, whole)?;
    let offset = if is_end { 0 } else { HEADER as u64 };
    let log = LogId { shard, number: segment.number };
    Some(Kept { path: folder.join(name), log, begin: Expected { sequence: segment.first, offset } })
}

impl RestReader {
    /// Reads whole records until there are enough, one at least if it is there; what is damaged is passed over.
    pub(super) fn read(&mut self, site: &Site, shard: ShardId, reading: Reading) -> io::Result<LogOutcome> {
        let files = files(site, shard)?;
        let mark = self.bookmarks.get(&shard).filter(|mark| mark.count == reading.from);
        let start = mark.and_then(|mark| files.iter().position(|kept| kept.path == mark.file));
        let mut mark = match (mark, start) {
            (Some(mark), Some(_)) => mark.clone(),
            _ => RestBookmark::default(),
        };
        let mut read = Read { records: Vec::new(), bytes: 0, reading };
        for kept in &files[start.unwrap_or(0)..] {
            if mark.file != kept.path {
                mark.file = kept.path.clone();
                mark.next = kept.begin;
            }
            match read.file(site, kept, &mut mark) {
                Ok(()) if !read.is_enough() => {}
                Err(err) if read.records.is_empty() => return Err(err),
                // What stands before the spot that cannot be read comes first.
                Ok(()) | Err(_) => break,
            }
        }
        self.bookmarks.insert(shard, mark);
        Ok(if read.records.is_empty() { LogOutcome::End } else { LogOutcome::Records(read.records) })
    }
}

/// A reading that is under way.
struct Read {
    records: Vec<LogRecord>,
    bytes: usize,
    reading: Reading,
}

impl Read {
    fn is_enough(&self) -> bool {
        !self.records.is_empty() && self.bytes >= self.reading.max_bytes
    }

    /// Reads a file from the bookmark on, and takes that along.
    fn file(&mut self, site: &Site, kept: &Kept, mark: &mut RestBookmark) -> io::Result<()> {
        let file = site.disk.open(&kept.path)?;
        let size = file.size()?;
        let mut scanner = Scanner::at(kept.log, file, size, mark.next);
        while !self.is_enough() {
            match scanner.step(0)? {
                Step::Record(record) => {
                    mark.count += 1;
                    mark.next = scanner.expected();
                    if mark.count > self.reading.from {
                        self.bytes += record.bytes.len();
                        self.records.push(record);
                    }
                }
                Step::Passed => {}
                Step::Bad if scanner.skip()?.is_some() => {}
                Step::Bad | Step::End => break,
            }
        }
        Ok(())
    }
}
