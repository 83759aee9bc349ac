//! The manifest of a data directory: its sets of partitions, and the other parts that must be there.

use super::{FILE, SetId, text};
use crate::disk::Disk;
use crate::error::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SET: &str = "fleet-";

/// Content of the manifest of a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TopManifest {
    /// The set that holds the fleet; none only while the first one is being made.
    pub(crate) in_force: Option<PartitionSet>,
    /// A set that is not yet whole.
    pub(crate) making: Option<PartitionSet>,
    /// Sets that were in force and are to go, once the one in force is proven.
    pub(crate) superseded: Vec<PartitionSet>,
    /// Number of times that each partition of the set in force was opened to write, as its own manifest has it.
    pub(crate) opened: BTreeMap<u32, u64>,
    /// Files of the data directory that were made, and must be there since.
    pub(crate) parts: BTreeSet<String>,
}

/// A set of partitions, which together hold a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionSet {
    /// Counts the sets of a data directory; in the name of its directory.
    pub(crate) number: u64,
    pub(crate) id: SetId,
    pub(crate) partitions: u32,
}

impl PartitionSet {
    /// Returns the directory of the set in the data directory `dir`.
    pub(crate) fn dir(self, dir: &Path) -> PathBuf {
        dir.join(format!("{SET}{}", self.number))
    }

    /// Returns the directory of one of its partitions.
    pub(crate) fn partition_dir(self, dir: &Path, partition: u32) -> PathBuf {
        self.dir(dir).join(partition.to_string())
    }

    /// Returns the number in the name of a set's directory; `None` for all other names, such as that of a copy made by hand.
    pub(crate) fn number_of(name: &str) -> Option<u64> {
        let number = name.strip_prefix(SET)?.parse().ok()?;
        // Only as it is written: `fleet-01` is not ours.
        (name == format!("{SET}{number}")).then_some(number)
    }

    fn line(self) -> String {
        format!("{} id {} partitions {}", self.number, self.id, self.partitions)
    }

    fn parse(line: &str) -> Option<PartitionSet> {
        let words: Vec<_> = line.split(' ').collect();
        let [number, "id", id, "partitions", partitions] = words[..] else { return None };
        Some(PartitionSet {
            number: number.parse().ok()?,
            id: SetId::parse(id)?,
            partitions: partitions.parse().ok()?,
        })
    }
}

impl TopManifest {
    /// Returns the manifest's file in the data directory `dir`.
    pub(crate) fn file(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// Reads the manifest in `dir`; `None` when there is none.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<TopManifest>, StoreError> {
        let file = TopManifest::file(dir);
        let Some(lines) = text::read(disk, &file)? else { return Ok(None) };
        let manifest = TopManifest::parse(&lines).filter(|parsed| parsed.lines() == lines);
        manifest.map(Some).ok_or(StoreError::corrupt(&file, 0, "it has a line that means nothing"))
    }

    /// Puts it into `dir`, durably.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
        text::write(disk, &TopManifest::file(dir), &self.lines())
    }

    /// Returns the number of times that a partition of the set in force was opened to write.
    pub(crate) fn opened(&self, partition: u32) -> u64 {
        self.opened.get(&partition).copied().unwrap_or(0)
    }

    /// Returns the sets that it names.
    pub(crate) fn sets(&self) -> impl Iterator<Item = PartitionSet> {
        self.in_force.into_iter().chain(self.making).chain(self.superseded.iter().copied())
    }

    fn lines(&self) -> String {
        let mut lines = String::new();
        let mut line = |word: &str, rest: &str| lines += &format!("{word} {rest}\n");
        self.in_force.iter().for_each(|set| line("in-force", &set.line()));
        self.making.iter().for_each(|set| line("making", &set.line()));
        self.superseded.iter().for_each(|set| line("superseded", &set.line()));
        self.opened.iter().for_each(|(partition, opened)| line("opened", &format!("{partition} {opened}")));
        self.parts.iter().for_each(|part| line("part", part));
        lines
    }

    fn parse(lines: &str) -> Option<TopManifest> {
        let mut manifest = TopManifest::default();
        for line in lines.lines() {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "in-force" => manifest.in_force = Some(PartitionSet::parse(rest)?),
                "making" => manifest.making = Some(PartitionSet::parse(rest)?),
                "superseded" => manifest.superseded.push(PartitionSet::parse(rest)?),
                "opened" => {
                    let (partition, opened) = rest.split_once(' ')?;
                    manifest.opened.insert(partition.parse().ok()?, opened.parse().ok()?);
                }
                "part" => drop(manifest.parts.insert(rest.to_owned())),
                _ => return None,
            }
        }
        (manifest.in_force.is_some() || manifest.making.is_some()).then_some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let set = |number| PartitionSet { number, id: SetId::draw(7, number), partitions: 3 };
        let manifest = TopManifest {
            in_force: Some(set(2)),
            making: Some(set(3)),
            superseded: vec![set(1)],
            opened: [(0, 7), (2, 8)].into(),
            parts: ["incidents.redb", "registry.redb"].map(String::from).into(),
        };
        assert_eq!(TopManifest::parse(&manifest.lines()), Some(manifest));
        assert_eq!(TopManifest::parse("part a\n"), None, "it names no set");
    }

    #[test]
    fn only_the_name_of_a_set_is_taken_for_one() {
        assert_eq!(PartitionSet::number_of("fleet-12"), Some(12));
        for name in ["fleet-1.bak", "fleet-01", "fleet-", "fleet-+1", "1"] {
            assert_eq!(PartitionSet::number_of(name), None, "{name}");
        }
    }
}
