//! The list of a backup: what belongs to it, with lengths and checksums.

use super::BackupError;
use super::files::Sum;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::manifest::text;
use std::path::{Component, Path};

/// Name of the list of a backup that was checked.
pub(super) const CHECKED: &str = "backup";
/// Name of the list until the copy was read back.
pub(super) const UNCHECKED: &str = "backup.unchecked";
/// Directory with the copy itself.
pub(super) const DATA: &str = "data";

/// Content of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct BackupList {
    /// Time at which the copy began, ms since 1970.
    pub(super) made_ms: i64,
    /// Head of the trail in the copy, as its owner writes it.
    pub(super) trail: Option<String>,
    /// Shards of a cluster, if it is a copy of one.
    pub(super) shards: Vec<CopiedShard>,
    pub(super) files: Vec<ListedFile>,
}

/// A shard of a cluster, as a copy has it: each at its own moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopiedShard {
    /// Its number.
    pub shard: u16,
    /// Epoch of its stream.
    pub epoch: u32,
    /// The last entry of that stream in the copy.
    pub entry: u64,
    /// Time of the shard then, ms since 1970.
    pub time_ms: i64,
}

/// A file of the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedFile {
    /// Path in the data directory.
    pub(super) name: String,
    pub(super) sum: Sum,
    /// Its content never changes, so that another directory may share it.
    pub(super) is_fixed: bool,
}

impl BackupList {
    /// Reads the list `name` in `dir`; `None` when there is none.
    pub(super) fn read(disk: &dyn Disk, dir: &Path, name: &str) -> Result<Option<BackupList>, BackupError> {
        let file = dir.join(name);
        let lines = text::read(disk, &file).map_err(|err| match err {
            // A repair is for data directories.
            StoreError::Corrupt { file, what, .. } => BackupError::Changed { file, what },
            err => err.into(),
        })?;
        let Some(lines) = lines else { return Ok(None) };
        let list = BackupList::parse(&lines).filter(|parsed| parsed.lines() == lines);
        list.map(Some).ok_or(BackupError::Changed { file, what: "it has a line that means nothing" })
    }

    /// Puts it into `dir` as `name`, durably.
    pub(super) fn write(&self, disk: &dyn Disk, dir: &Path, name: &str) -> Result<(), StoreError> {
        text::write(disk, &dir.join(name), &self.lines())
    }

    /// Returns the bytes of all files, as the list has them: made up, they may be more than there can be.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.sum.bytes))
    }

    fn lines(&self) -> String {
        let mut lines = format!("made {}\n", self.made_ms);
        lines.extend(self.trail.iter().map(|head| format!("trail {head}\n")));
        for CopiedShard { shard, epoch, entry, time_ms } in &self.shards {
            lines += &format!("shard {shard} epoch {epoch} entry {entry} time {time_ms}\n");
        }
        for ListedFile { name, sum, is_fixed } in &self.files {
            let word = if *is_fixed { "fixed" } else { "file" };
            lines += &format!("{word} {} {:08x} {name}\n", sum.bytes, sum.crc);
        }
        lines
    }

    pub(super) fn parse(text: &str) -> Option<BackupList> {
        let mut lines = text.lines().peekable();
        let made_ms = lines.next()?.strip_prefix("made ")?.parse().ok()?;
        let trail =
            lines.next_if(|line| line.starts_with("trail ")).map(|line| line["trail ".len()..].to_owned());
        let mut shards = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("shard ")) {
            shards.push(CopiedShard::parse(line)?);
        }
        let files = lines.map(ListedFile::parse).collect::<Option<_>>()?;
        Some(BackupList { made_ms, trail, shards, files })
    }
}

impl CopiedShard {
    fn parse(line: &str) -> Option<CopiedShard> {
        let mut words = line.split(' ');
        let mut word = |name| words.next().filter(|word| *word == name).and_then(|_| words.next());
        Some(CopiedShard {
            shard: word("shard")?.parse().ok()?,
            epoch: word("epoch")?.parse().ok()?,
            entry: word("entry")?.parse().ok()?,
            time_ms: word("time")?.parse().ok()?,
        })
    }
}

impl ListedFile {
    fn parse(line: &str) -> Option<ListedFile> {
        let mut words = line.splitn(4, ' ');
        let is_fixed = match words.next()? {
            "fixed" => true,
            "file" => false,
            _ => return None,
        };
        let bytes = words.next()?.parse().ok()?;
        let crc = u32::from_str_radix(words.next()?, 16).ok()?;
        let name = words.next().filter(|name| is_inside(name))?.to_owned();
        Some(ListedFile { name, sum: Sum { bytes, crc }, is_fixed })
    }
}

/// Returns true for a path that does not lead out of the directory in which it stands.
fn is_inside(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote_and_no_path_that_leads_out() {
        let file = |name: &str, is_fixed| ListedFile {
            name: name.to_owned(),
            sum: Sum { bytes: 12, crc: 0xab },
            is_fixed,
        };
        let list = BackupList {
            made_ms: -3,
            trail: Some("17:ab".to_owned()),
            shards: vec![CopiedShard { shard: 3, epoch: 1, entry: 17, time_ms: -5 }],
            files: vec![file("fleet-1/0/a b.log", true), file("clock", false)],
        };
        assert_eq!(BackupList::parse(&list.lines()), Some(list.clone()));
        let without = BackupList { trail: None, shards: Vec::new(), ..list };
        assert_eq!(BackupList::parse(&without.lines()), Some(without));
        for name in ["/etc/passwd", "../a", "fleet-1/../../a", "", "./a"] {
            assert_eq!(ListedFile::parse(&format!("file 1 00000000 {name}")), None, "{name}");
        }
    }
}
