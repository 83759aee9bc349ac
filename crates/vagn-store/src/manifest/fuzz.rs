//! A manifest with any content: it is read, and would be written in the same way, or it is refused with a reason.

use std::path::Path;

use vagn_fuzz::Target;

use super::partition::{NamedSegment, PartitionManifest, Place};
use super::top::{PartitionSet, TopManifest};
use super::{FILE, SetId, text};
use crate::OrderNumber;
use crate::disk::faulty::FaultyDisk;
use crate::disk::{Disk, read_all};
use crate::log::LogPosition;

const DIR: &str = "p";

const WORDS: &[&str] = &[
    "format 3\n",
    "set ",
    "id ",
    "partition ",
    "partitions ",
    "of ",
    "state in-force\n",
    "state unfinished\n",
    "opened ",
    "first ",
    "synced ",
    "segment ",
    "ends ",
    "open\n",
    "snapshot ",
    "closed ",
    "in-force ",
    "making ",
    "superseded ",
    "part ",
    "checksum ",
    " ",
    "\n",
    "+1",
    "00",
    "18446744073709551616",
];

fn body(bytes: &[u8]) {
    check(bytes);
    // With a checksum that fits, as no accident leaves it: what it protects is looked at, too.
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split_once('\n').map_or("", |(_, rest)| rest);
    let lines = lines.rfind("checksum ").map_or(lines, |at| &lines[..at]);
    check(text::seal(lines).as_bytes());
}

fn check(bytes: &[u8]) {
    let dir = Path::new(DIR);
    let disk = FaultyDisk::new();
    disk.create_dir(dir).expect("the disk works");
    disk.create(&dir.join(FILE)).and_then(|file| file.append(bytes)).expect("the disk works");
    let partition = PartitionManifest::read(&disk, dir);
    if let Ok(Some(manifest)) = partition {
        manifest.write(&disk, dir).expect("the disk works");
        assert_eq!(content(&disk), bytes, "written as it was read");
    }
    if let Ok(Some(manifest)) = TopManifest::read(&disk, dir) {
        manifest.write(&disk, dir).expect("the disk works");
        assert_eq!(content(&disk), bytes, "written as it was read");
    }
}

fn content(disk: &FaultyDisk) -> Vec<u8> {
    let file = disk.open(&Path::new(DIR).join(FILE)).expect("it is there");
    read_all(&*file).expect("the disk works")
}

#[test]
fn any_manifest_is_read_as_it_was_written_or_refused() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "manifest", words: WORDS, body }.check();
}

#[test]
fn the_corpus_of_manifests_is_of_this_format() {
    let at = |record| LogPosition { record, order: OrderNumber(record << 33) };
    let place = Place { number: 1, set: SetId::draw(1, 1), partition: 2, partitions: 4 };
    let new = PartitionManifest::new(place, false);
    let mut used =
        PartitionManifest { in_force: true, opened: 3, synced: 12, snapshot: Some(at(7)), ..new.clone() };
    used.segments
        .extend([NamedSegment { start: at(0), end: Some(10) }, NamedSegment { start: at(10), end: None }]);
    let closed = PartitionManifest { closed_at: Some(at(12)), ..used.clone() };
    let set = |number| PartitionSet { number, id: SetId::draw(1, number), partitions: 2 };
    let top = TopManifest {
        in_force: Some(set(2)),
        making: Some(set(3)),
        superseded: vec![set(1)],
        opened: [(0, 4), (1, 5)].into(),
        parts: ["incidents.redb".to_owned(), "clock".to_owned()].into(),
    };
    let dir = Path::new(DIR);
    for (name, manifest) in [("partition_new", new), ("partition_in_use", used), ("partition_closed", closed)]
    {
        let disk = FaultyDisk::new();
        disk.create_dir(dir).expect("the disk works");
        manifest.write(&disk, dir).expect("it is written");
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "manifest", name, &content(&disk));
    }
    let disk = FaultyDisk::new();
    disk.create_dir(dir).expect("the disk works");
    top.write(&disk, dir).expect("it is written");
    vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "manifest", "top", &content(&disk));
}
