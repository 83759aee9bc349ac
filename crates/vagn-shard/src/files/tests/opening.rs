//! Whose the files are.

use std::path::Path;
use std::sync::Arc;

use vagn_cluster::DiskCommand;
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::disk::{Disk, RealDisk};

use super::rig::{DIR, Rig, settings};
use crate::files::{FileWorkers, FilesError, FilesSettings, ShardFiles};

/// Opens the files, which are to be refused, and checks that nothing was changed.
fn refused(disk: &FaultyDisk, settings: FilesSettings) -> FilesError {
    let before = disk.operations();
    let refused = Rig::open(disk.clone(), settings).err().expect("they are refused");
    assert_eq!(disk.operations(), before, "{refused}");
    refused
}

fn filled() -> FaultyDisk {
    let mut rig = Rig::new();
    rig.fill(0, 5);
    rig.disk.restart(Loss::Unsynced)
}

#[test]
fn files_of_another_data_set_or_a_newer_version_are_left_untouched() {
    let other = refused(&filled(), FilesSettings { data_set: "other".to_owned(), ..settings() });
    assert!(matches!(&other, FilesError::OtherDataSet { found, .. } if found == "fleet"), "{other}");
    let disk = filled();
    let newer = "format 2\nwhatever\n";
    let newer = format!("{newer}checksum {:08x}\n", crc32c::crc32c(newer.as_bytes()));
    disk.damage(&Path::new(DIR).join("manifest"), |bytes| *bytes = newer.into_bytes()).unwrap();
    let newer = refused(&disk, settings());
    assert!(matches!(newer, FilesError::Format { found: 2, newest: 1, .. }), "{newer}");
}

#[test]
fn files_without_their_manifest_are_not_begun_anew() {
    let disk = filled();
    let manifest = Path::new(DIR).join("manifest");
    disk.damage(&manifest, |bytes| bytes[0] ^= 1).unwrap();
    assert!(matches!(refused(&disk, settings()), FilesError::Damaged { .. }));
    disk.remove(&manifest).unwrap();
    assert!(matches!(refused(&disk, settings()), FilesError::Missing { .. }));
}

#[test]
fn two_never_have_the_files_and_they_are_free_once_the_node_is_gone() {
    let mut rig = Rig::new();
    rig.fill(0, 5);
    assert!(matches!(Rig::open(rig.disk.clone(), settings()).err(), Some(FilesError::InUse { .. })));
    let disk = rig.disk.clone();
    // Undone, as in a crash.
    rig.tell(DiskCommand::WriteNote(b"late".to_vec()));
    drop(rig);
    let mut rig = Rig::open(disk, settings()).unwrap();
    let start = rig.start();
    assert_eq!((start.only().1, start.note), ((1..=5).collect(), None));
}

#[test]
fn what_is_made_is_for_nobody_else() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("cluster");
    let workers = FileWorkers::default();
    let mut files = ShardFiles::open(Arc::new(RealDisk), &root, settings(), &workers).unwrap();
    let rig_commands = [
        DiskCommand::InstallSnapshot { shard: super::rig::SHARD, sequence: 0, bytes: Arc::from([1]) },
        DiskCommand::WriteLog { shard: super::rig::SHARD, records: super::rig::records(1..=3) },
        DiskCommand::WriteNote(vec![1]),
    ];
    rig_commands.into_iter().for_each(|command| vagn_cluster::Disk::carry_out(&mut files, command));
    while crate::files::FileWorker::all().any(|worker| workers.run(worker, std::time::Duration::ZERO)) {}
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    let shard = root.join("shard-3");
    assert_eq!((mode(&root), mode(&shard)), (0o700, 0o700));
    for path in [root.join("manifest"), root.join("lock"), root.join("note"), shard.join("snapshot")] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert_eq!(mode(&shard.join("1-00000000000000000001.log")), 0o600);
}
