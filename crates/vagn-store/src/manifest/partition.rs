//! The manifest of a partition: its place, the numbers that are taken, and the files that must be there.
//!
//! A power cut can take a writer's changes together with every trace of the order numbers that they had. The first number of
//! a writer is durable here before it is given, so that the next writer finds that they are taken, even by a clock that
//! stands still.

use super::{FILE, SetId, text};
use crate::OrderNumber;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::log::LogPosition;
use std::path::{Path, PathBuf};

/// Place of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the set, as in the name of its directory: a copy of it under another name is no set.
    pub(crate) number: u64,
    pub(crate) set: SetId,
    pub(crate) partition: u32,
    /// Number of partitions in the set.
    pub(crate) partitions: u32,
}

/// Content of the manifest of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionManifest {
    pub(crate) place: Place,
    /// False until the set is put in force: nothing in it was ever answered for, and it may be removed.
    pub(crate) in_force: bool,
    /// Number of times that it was opened to write; the data directory's manifest knows it too, so that an earlier copy is noticed.
    pub(crate) opened: u64,
    /// Order number with which the last writer began.
    pub(crate) first: OrderNumber,
    /// All records before this one were synced.
    pub(crate) synced: u64,
    /// Segments that must be there, oldest first.
    pub(crate) segments: Vec<NamedSegment>,
    /// Position of the newest snapshot.
    pub(crate) snapshot: Option<LogPosition>,
    /// End of the log after a clean stop; none while there is a writer.
    pub(crate) closed_at: Option<LogPosition>,
}

/// A segment that must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedSegment {
    pub(crate) start: LogPosition,
    /// Index behind its last record; none while it is being written.
    pub(crate) end: Option<u64>,
}

impl PartitionManifest {
    /// The manifest of a partition that never had a writer.
    pub(crate) fn new(place: Place, in_force: bool) -> PartitionManifest {
        PartitionManifest {
            place,
            in_force,
            opened: 0,
            first: OrderNumber::default(),
            synced: 0,
            segments: Vec::new(),
            snapshot: None,
            closed_at: None,
        }
    }

    /// Returns the manifest's file in the directory `dir` of a partition.
    pub(crate) fn file(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// Reads the manifest in `dir`; `None` when there is none.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<PartitionManifest>, StoreError> {
        let file = PartitionManifest::file(dir);
        let Some(lines) = text::read(disk, &file)? else { return Ok(None) };
        let manifest = PartitionManifest::parse(&lines).filter(|parsed| parsed.lines() == lines);
        manifest.map(Some).ok_or(StoreError::corrupt(&file, 0, "it has a line that means nothing"))
    }

    /// Puts it into `dir`, durably.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
        text::write(disk, &PartitionManifest::file(dir), &self.lines())
    }

    fn lines(&self) -> String {
        let Place { number, set, partition, partitions } = self.place;
        let state = if self.in_force { "in-force" } else { "unfinished" };
        let mut lines =
            format!("set {number} id {set} partition {partition} of {partitions}\nstate {state}\n");
        lines += &format!("opened {}\nfirst {}\nsynced {}\n", self.opened, self.first.0, self.synced);
        for NamedSegment { start, end } in &self.segments {
            lines += &match end {
                // What of it was synced is the lesser of its end and the number above.
                Some(end) => format!("segment {} {} ends {end}\n", start.record, start.order.0),
                None => format!("segment {} {} open\n", start.record, start.order.0),
            };
        }
        let mut position = |word: &str, position: &Option<LogPosition>| {
            if let Some(LogPosition { record, order }) = position {
                lines += &format!("{word} {record} {}\n", order.0);
            }
        };
        position("snapshot", &self.snapshot);
        position("closed", &self.closed_at);
        lines
    }

    fn parse(text: &str) -> Option<PartitionManifest> {
        let mut lines = text.lines();
        let words: Vec<_> = lines.next()?.split(' ').collect();
        let ["set", number, "id", set, "partition", partition, "of", partitions] = words[..] else {
            return None;
        };
        let place = Place {
            number: number.parse().ok()?,
            set: SetId::parse(set)?,
            partition: partition.parse().ok()?,
            partitions: partitions.parse().ok()?,
        };
        let in_force = lines.next()? == "state in-force";
        let mut manifest = PartitionManifest::new(place, in_force);
        manifest.opened = lines.next()?.strip_prefix("opened ")?.parse().ok()?;
        manifest.first = OrderNumber(lines.next()?.strip_prefix("first ")?.parse().ok()?);
        manifest.synced = lines.next()?.strip_prefix("synced ")?.parse().ok()?;
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            let start = LogPosition {
                record: words.get(1)?.parse().ok()?,
                order: OrderNumber(words.get(2)?.parse().ok()?),
            };
            match (words[0], &words[3..]) {
                ("segment", ["ends", end]) => {
                    manifest.segments.push(NamedSegment { start, end: Some(end.parse().ok()?) });
                }
                ("segment", ["open"]) => manifest.segments.push(NamedSegment { start, end: None }),
                ("snapshot", []) => manifest.snapshot = Some(start),
                ("closed", []) => manifest.closed_at = Some(start),
                _ => return None,
            }
        }
        Some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let at = |record| LogPosition { record, order: OrderNumber(record << 33) };
        let place = Place { number: 1, set: SetId::draw(1, 1), partition: 2, partitions: 4 };
        let mut manifest = PartitionManifest::new(place, false);
        assert_eq!(PartitionManifest::parse(&manifest.lines()), Some(manifest.clone()));
        manifest.in_force = true;
        manifest.opened = 3;
        manifest.synced = 12;
        manifest.segments.push(NamedSegment { start: at(0), end: Some(10) });
        manifest.segments.push(NamedSegment { start: at(10), end: None });
        manifest.snapshot = Some(at(7));
        manifest.closed_at = Some(at(12));
        assert_eq!(PartitionManifest::parse(&manifest.lines()), Some(manifest));
    }
}
