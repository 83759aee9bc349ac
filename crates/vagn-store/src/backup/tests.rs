//! A copy has all that was written before it began, is whole or refused, and takes nothing from the original.

use super::*;
use crate::disk::faulty::{Fault, FaultyDisk, Loss};
use crate::disk::{Disk, RealDisk};
use crate::{DataDir, Key, Partition, Settings, Sighting, StoreError, Updates, VehicleIdBuf, partition};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vagn_wire::Position;

const PARTITIONS: u32 = 2;

/// Position of each vehicle, by the number of the report that it came with.
type Content = BTreeMap<String, u64>;

fn settings() -> Settings {
    Settings {
        segment_bytes: 12 * 80,
        snapshot_records: 8,
        slice: 4,
        history_keep_ms: 0,
        free_floor_bytes: 0,
        ..Settings::default()
    }
}

/// A data directory with its partitions open.
struct Open {
    data: DataDir,
    partitions: Vec<Partition>,
    written: Content,
    number: u64,
}

fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Open, StoreError> {
    let data = DataDir::open(disk, dir, Some(PARTITIONS), 7)?;
    let open = |number| Ok(data.open_partition(number, settings(), 0, &|_| {})?.0);
    let partitions = (0..PARTITIONS).map(open).collect::<Result<_, StoreError>>()?;
    Ok(Open { data, partitions, written: Content::new(), number: 0 })
}

impl Open {
    /// Writes so many reports, and does what housekeeping is due.
    fn write(&mut self, reports: u64) {
        for _ in 0..reports {
            self.number += 1;
            let id = format!("bus-{}", self.number % 5);
            let key = Key::Text(&id);
            let at = partition(key.hash(), self.partitions.len());
            let mut updates = Updates::new();
            updates.push(key, key.hash(), sighting(self.number));
            self.partitions[at].write(&updates, &mut Vec::new()).unwrap();
            while self.partitions[at].housekeep(0).unwrap().more {}
            self.written.insert(id, self.number);
        }
    }

    fn sync(&self) {
        for partition in &self.partitions {
            partition.syncer().sync().unwrap();
        }
    }

    /// Goes on for a while: segments and snapshots follow each other, and the older ones are not needed any more.
    fn go_on(&mut self) {
        for _ in 0..20 {
            self.write(10);
            self.sync();
        }
    }

    fn close(self) -> Content {
        for partition in self.partitions {
            partition.close().unwrap();
        }
        self.written
    }
}

fn sighting(n: u64) -> Sighting {
    Sighting {
        position: Position::new(1.0, 1.0).unwrap(),
        event_time_ms: n as i64,
        receive_time_ms: n as i64,
        receive_seq: n,
        seq: None,
        speed_mps: None,
        heading_deg: None,
        emergency: false,
        own_time: false,
        unsure: false,
    }
}

fn content(disk: Arc<dyn Disk>, dir: &Path) -> Result<Content, StoreError> {
    let open = open(disk, dir)?;
    let mut content = Content::new();
    for partition in &open.partitions {
        partition.reader().visit_rows(0, u32::MAX, |found| {
            let id = VehicleIdBuf::from(found.key).as_str().to_owned();
            content.insert(id, found.sighting.receive_seq);
        });
    }
    Ok(content)
}

fn go_on(_: BackupProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Makes a whole backup of a source.
fn back_up(disk: Arc<dyn Disk>, source: &FleetSource, dir: &Path) -> Result<Backup, BackupError> {
    let mut writer = BackupWriter::begin(disk, dir, 12, &go_on)?;
    writer.copy_fleet(source, 0, 0)?;
    let unchecked = writer.close(source)?;
    unchecked.check(&go_on)?;
    unchecked.finish()
}

fn real() -> (tempfile::TempDir, PathBuf, Arc<dyn Disk>) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    (dir, data, Arc::new(RealDisk))
}

#[test]
fn a_copy_of_a_running_fleet_has_what_was_written_before_and_nothing_later() {
    let (outer, data, disk) = real();
    let mut running = open(disk.clone(), &data).unwrap();
    running.go_on();
    running.write(7);
    let before = running.written.clone();
    let source = running.data.moment().unwrap();
    running.go_on();
    let backup = back_up(disk.clone(), &source, &outer.path().join("backup")).unwrap();
    drop(source);
    running.go_on();
    let to = outer.path().join("restored");
    let report = backup.restore(&to, &go_on).unwrap();
    assert_eq!(report.bytes, backup.bytes());
    assert_eq!(content(disk.clone(), &to).unwrap(), before);
    let after = running.close();
    assert_eq!(content(disk, &data).unwrap(), after, "the original is as it was");
}

#[test]
fn files_that_never_change_are_shared_and_all_is_private() {
    let (outer, data, disk) = real();
    let mut running = open(disk.clone(), &data).unwrap();
    running.write(60);
    running.sync();
    let dir = outer.path().join("backup");
    back_up(disk, &running.data.moment().unwrap(), &dir).unwrap();
    let (mut shared, mut own) = (0, 0);
    let mut walk = vec![dir];
    while let Some(path) = walk.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            assert_eq!(metadata.permissions().mode() & 0o777, 0o700, "{}", path.display());
            walk.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{}", path.display());
        *(if metadata.nlink() > 1 { &mut shared } else { &mut own }) += 1;
    }
    assert!(shared >= 2 && own >= 2 * 2 + 2, "{shared} shared, {own} of its own");
}

#[test]
fn what_is_copied_stays_until_it_was_copied_and_goes_then() {
    let (_outer, data, disk) = real();
    let mut running = open(disk.clone(), &data).unwrap();
    let logs = || {
        let names = disk.list(&data.join("fleet-1/0")).unwrap();
        names.into_iter().filter(|name| name.ends_with(".log")).collect::<Vec<_>>()
    };
    running.go_on();
    let source = running.data.moment().unwrap();
    let held = logs();
    running.go_on();
    assert!(held.iter().all(|name| logs().contains(name)), "{held:?} are held");
    drop(source);
    running.sync();
    assert!(!held.iter().any(|name| logs().contains(name)), "{:?} are still there", logs());
}

#[test]
fn a_stopped_fleet_is_copied_as_it_was_left() {
    for orderly in [true, false] {
        let (outer, data, disk) = real();
        let mut running = open(disk.clone(), &data).unwrap();
        running.write(60);
        let written = running.written.clone();
        if orderly {
            drop(running.close())
        } else {
            drop(running)
        }
        let source = FleetSource::at_rest(disk.clone(), &data).unwrap();
        let busy = open(disk.clone(), &data).err();
        assert!(matches!(busy, Some(StoreError::InUse { .. })), "{busy:?}");
        let backup = back_up(disk.clone(), &source, &outer.path().join("backup")).unwrap();
        let to = outer.path().join("restored");
        backup.restore(&to, &go_on).unwrap();
        assert_eq!(content(disk, &to).unwrap(), written, "orderly: {orderly}");
    }
}

#[test]
fn a_backup_that_was_cut_off_anywhere_is_refused_and_takes_nothing_from_the_original() {
    let (data, dir, to) = (Path::new("data"), Path::new("backup"), Path::new("restored"));
    let mut cut_off = 0;
    for operation in 0.. {
        let disk = FaultyDisk::new();
        let mut running = open(Arc::new(disk.clone()), data).unwrap();
        running.write(25);
        let source = running.data.moment().unwrap();
        disk.fail_at(disk.operations() + operation, Fault::Crash { bytes: 7 });
        let done = back_up(Arc::new(disk.clone()), &source, dir);
        drop(source);
        let written = running.written.clone();
        drop(running);
        if !disk.has_crashed() {
            done.unwrap();
            break;
        }
        let after: Arc<dyn Disk> = Arc::new(disk.restart(Loss::Unsynced));
        match Backup::open(after.clone(), dir) {
            Err(BackupError::Unfinished { .. }) => cut_off += 1,
            Err(err) => panic!("at {operation}: {err}"),
            // Only its last step was cut off.
            Ok(backup) => {
                backup.restore(to, &go_on).unwrap();
                assert_eq!(content(after.clone(), to).unwrap(), written, "at {operation}");
            }
        }
        assert_eq!(content(after, data).unwrap(), written, "at {operation}");
    }
    assert!(cut_off > 20, "{cut_off} were cut off");
}

#[test]
fn a_restore_that_was_cut_off_anywhere_is_no_data_directory_and_can_be_done_again() {
    let (data, dir, to) = (Path::new("data"), Path::new("backup"), Path::new("restored"));
    let mut refused = 0;
    for operation in 0.. {
        let disk = FaultyDisk::new();
        let mut running = open(Arc::new(disk.clone()), data).unwrap();
        running.write(25);
        let written = running.written.clone();
        let backup = back_up(Arc::new(disk.clone()), &running.data.moment().unwrap(), dir).unwrap();
        drop(running);
        disk.fail_at(disk.operations() + operation, Fault::Crash { bytes: 7 });
        let done = backup.restore(to, &go_on);
        if !disk.has_crashed() {
            done.unwrap();
            break;
        }
        let after: Arc<dyn Disk> = Arc::new(disk.restart(Loss::Unsynced));
        if after.list(to).is_ok_and(|names| !names.is_empty()) {
            match content(after.clone(), to) {
                Err(StoreError::Restoring { .. }) => refused += 1,
                // All but the removal of the marker was done.
                Ok(found) => {
                    assert_eq!(found, written, "at {operation}");
                    continue;
                }
                Err(err) => panic!("at {operation}: {err}"),
            }
        }
        Backup::open(after.clone(), dir).unwrap().restore(to, &go_on).unwrap();
        assert_eq!(content(after, to).unwrap(), written, "at {operation}");
    }
    assert!(refused > 20, "{refused} were refused");
}

#[test]
fn a_changed_byte_anywhere_in_a_backup_is_named_and_nothing_is_restored() {
    let (outer, data, disk) = real();
    let mut running = open(disk.clone(), &data).unwrap();
    running.write(25);
    let dir = outer.path().join("backup");
    back_up(disk.clone(), &running.data.moment().unwrap(), &dir).unwrap();
    let list = list::BackupList::read(&*disk, &dir, list::CHECKED).unwrap().unwrap();
    let to = outer.path().join("restored");
    for listed in &list.files {
        let file = dir.join("data").join(&listed.name);
        let whole = std::fs::read(&file).unwrap();
        for change in [&whole[..whole.len() - 1], &flipped(&whole)] {
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, change).unwrap();
            let refused = Backup::open(disk.clone(), &dir).unwrap().restore(&to, &go_on).unwrap_err();
            assert!(matches!(&refused, BackupError::Changed { file: it, .. } if *it == file), "{refused}");
            assert!(!to.exists(), "{}", listed.name);
        }
        std::fs::write(&file, &whole).unwrap();
    }
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_owned();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    bytes
}

#[test]
fn a_directory_that_is_not_empty_is_left_alone_and_a_full_disk_is_told_before() {
    let (outer, data, disk) = real();
    let mut running = open(disk.clone(), &data).unwrap();
    running.write(5);
    let source = running.data.moment().unwrap();
    let full = outer.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("notes"), "mine").unwrap();
    let begin = |dir: &Path| BackupWriter::begin(disk.clone(), dir, 0, &go_on).map(drop).unwrap_err();
    assert!(matches!(begin(&full), BackupError::NotEmpty { .. }));
    assert!(matches!(begin(&outer.path().join("none/backup")), BackupError::NoParent { .. }));
    let dir = outer.path().join("backup");
    let mut writer = BackupWriter::begin(disk.clone(), &dir, 0, &go_on).unwrap();
    let refused = writer.copy_fleet(&source, u64::MAX / 2, 0).unwrap_err();
    assert!(matches!(refused, BackupError::NoRoom { .. }), "{refused}");
    drop(writer);
    assert!(matches!(begin(&dir), BackupError::Leftover { .. }), "it was not finished");
    let done = back_up(disk.clone(), &source, &outer.path().join("whole")).unwrap();
    assert!(matches!(done.restore(&full, &go_on), Err(BackupError::NotEmpty { .. })));
    assert_eq!(std::fs::read_to_string(full.join("notes")).unwrap(), "mine");
}

#[test]
fn it_ends_when_it_is_told_to() {
    let (outer, data, disk) = real();
    let mut running = open(disk.clone(), &data).unwrap();
    running.write(25);
    let stop = |_: BackupProgress| ControlFlow::Break(());
    let mut writer = BackupWriter::begin(disk, &outer.path().join("backup"), 0, &stop).unwrap();
    let ended = writer.copy_fleet(&running.data.moment().unwrap(), 0, 0);
    assert!(matches!(ended, Err(BackupError::Interrupted)));
}

#[test]
fn a_fleet_that_is_not_open_as_a_whole_is_not_copied() {
    let (_outer, data, disk) = real();
    let mut running = open(disk, &data).unwrap();
    running.partitions.pop();
    let refused = running.data.moment().map(drop).unwrap_err();
    assert!(matches!(refused, BackupError::NotOpen { partition: 1 }), "{refused}");
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused_and_not_touched() {
    let (outer, data, disk) = real();
    let mut running = open(disk.clone(), &data).unwrap();
    running.write(25);
    running.close();
    let manifests: Vec<_> =
        everything(&data).into_keys().filter(|path| path.file_name().unwrap() == "manifest").collect();
    assert_eq!(manifests.len(), 1 + PARTITIONS as usize);
    for manifest in manifests {
        let this = std::fs::read_to_string(&manifest).unwrap();
        let text = this.replacen("format 3", "format 4", 1);
        let lines = &text[..text.rfind("checksum").unwrap()];
        let newer = format!("{lines}checksum {:08x}\n", crc32c::crc32c(lines.as_bytes()));
        std::fs::write(&manifest, newer).unwrap();
        let before = everything(&data);
        let refusals = [
            DataDir::open(disk.clone(), &data, None, 7).map(drop).unwrap_err(),
            crate::repair_on(disk.clone(), &data).unwrap_err(),
            crate::plan_repair_on(disk.clone(), &data).unwrap_err(),
        ];
        for refused in &refusals {
            assert!(matches!(refused, StoreError::Format { found: 4, .. }), "{refused}");
            assert!(refused.to_string().contains("newer version"), "{refused}");
        }
        assert!(FleetSource::at_rest(disk.clone(), &data).is_err());
        assert_eq!(everything(&data), before, "{}", manifest.display());
        std::fs::write(&manifest, this).unwrap();
    }
    assert!(!content(disk, &data).unwrap().is_empty());
    drop(outer);
}

#[test]
fn a_fleet_that_never_had_a_writer_is_copied_as_the_empty_one_that_it_is() {
    let (outer, data, disk) = real();
    drop(DataDir::open(disk.clone(), &data, Some(PARTITIONS), 7).unwrap());
    let source = FleetSource::at_rest(disk.clone(), &data).unwrap();
    let backup = back_up(disk.clone(), &source, &outer.path().join("backup")).unwrap();
    let to = outer.path().join("to");
    backup.restore(&to, &go_on).unwrap();
    assert!(content(disk, &to).unwrap().is_empty());
}

#[test]
fn a_damaged_list_is_no_matter_for_a_repair() {
    let (outer, data, disk) = real();
    drop(DataDir::open(disk.clone(), &data, Some(PARTITIONS), 7).unwrap());
    let dir = outer.path().join("backup");
    back_up(disk.clone(), &FleetSource::at_rest(disk.clone(), &data).unwrap(), &dir).unwrap();
    let list = dir.join(list::CHECKED);
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.replacen("made 12", "made 13", 1)).unwrap();
    let refused = Backup::open(disk, &dir).map(drop).unwrap_err();
    assert!(matches!(&refused, BackupError::Changed { file, .. } if *file == list), "{refused}");
    assert!(!refused.to_string().contains("repair"), "{refused}");
}

/// Returns the content and the times of change of all files below `dir`.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = std::fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(everything(&path));
        }
        let bytes = std::fs::read(&path).or_else(|_| io::Result::Ok(Vec::new())).unwrap();
        found.insert(path, (bytes, metadata.mtime(), metadata.mtime_nsec()));
    }
    found
}
