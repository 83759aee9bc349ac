//! The list of a backup with any content: it is read, and would be written in the same way, or it is refused; no path in it leads out
//! of the copy.

use std::path::{Component, Path};

use vagn_fuzz::Target;

use super::files::Sum;
use super::list::{BackupList, CHECKED, CopiedShard, ListedFile, UNCHECKED};
use crate::disk::faulty::FaultyDisk;
use crate::disk::{Disk, read_all};
use crate::manifest::text;

const DIR: &str = "b";

const WORDS: &[&str] = &[
    "format 3\n",
    "made ",
    "trail ",
    "file ",
    "fixed ",
    "checksum ",
    " 00000000 ",
    " ffffffff ",
    "manifest",
    "fleet-1/0/",
    "../",
    "/",
    "./",
    "shard ",
    " epoch ",
    " entry ",
    " time ",
    "\n",
    "\r\n",
    " ",
    "+1",
    "-1",
    "00",
    "18446744073709551615",
    "18446744073709551616",
];

fn body(bytes: &[u8]) {
    check(bytes);
    // With a checksum that fits, as whoever may write the backup can make it.
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split_once('\n').map_or("", |(_, rest)| rest);
    let lines = lines.rfind("checksum ").map_or(lines, |at| &lines[..at]);
    check(text::seal(lines).as_bytes());
}

fn check(bytes: &[u8]) {
    let (disk, dir) = (FaultyDisk::new(), Path::new(DIR));
    disk.create_dir(dir).expect("the disk works");
    disk.create(&dir.join(CHECKED)).and_then(|file| file.append(bytes)).expect("the disk works");
    let Ok(Some(list)) = BackupList::read(&disk, dir, CHECKED) else { return };
    for file in &list.files {
        let mut parts = Path::new(&file.name).components();
        assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{} leads out", file.name);
        assert!(list.bytes() >= file.sum.bytes, "more than all");
    }
    list.write(&disk, dir, UNCHECKED).expect("the disk works");
    assert_eq!(content(&disk, UNCHECKED), bytes, "written as it was read");
}

fn content(disk: &FaultyDisk, name: &str) -> Vec<u8> {
    let file = disk.open(&Path::new(DIR).join(name)).expect("it is there");
    read_all(&*file).expect("the disk works")
}

#[test]
fn any_list_is_read_as_it_was_written_or_refused() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "backup_list", words: WORDS, body }.check();
}

#[test]
fn the_corpus_of_lists_is_of_this_format() {
    let file = |name: &str, bytes, is_fixed| ListedFile {
        name: name.to_owned(),
        sum: Sum { bytes, crc: 0x00c0_ffee },
        is_fixed,
    };
    let files = vec![
        file("fleet-1/0/00000000000000000000.log", 67_108_864, true),
        file("fleet-1/0/00000000000000000512.snapshot", 4_096, true),
        file("fleet-1/0/manifest", 210, false),
        file("incidents.redb", 1_589_248, false),
        file("manifest", 187, false),
    ];
    let whole = BackupList {
        made_ms: 1_795_860_000_000,
        trail: Some(format!("17:{}", "5b".repeat(32))),
        shards: Vec::new(),
        files,
    };
    let shard = |shard, entry| CopiedShard { shard, epoch: 2, entry, time_ms: 1_795_860_000_000 };
    let of_cluster = BackupList {
        shards: vec![shard(0, 17), shard(255, u64::MAX)],
        files: vec![file("cluster/shard-0/snapshot", 4_096, false), file("desk/incidents.redb", 64, false)],
        ..whole.clone()
    };
    let huge = vec![file("a b", u64::MAX, true), file("clock", u64::MAX, false)];
    let without_trail = BackupList { made_ms: -1, trail: None, shards: Vec::new(), files: huge };
    for (name, list) in [
        ("whole", whole),
        ("without_trail", without_trail),
        ("of_cluster", of_cluster),
        ("empty", BackupList::default()),
    ] {
        let disk = FaultyDisk::new();
        disk.create_dir(Path::new(DIR)).expect("the disk works");
        list.write(&disk, Path::new(DIR), CHECKED).expect("it is written");
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "backup_list", name, &content(&disk, CHECKED));
    }
}
