//! Backups of a whole data directory: the fleet, the incidents with their trail, the registry, and the small files beside them.
//!
//! In this order, because the later refer to the earlier at most by ids that mean something without them, and the earlier refer to the
//! later: what stands on the trail or in the log was done under a token or key that is in the registry of the copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use vagn_emergency::record::store::{self, JournalCheck, compare_with_journal};
use vagn_emergency::trail::{ClosedStore, Head};
use vagn_emergency::{CENSUS_DIR, DESK_DIR, EmergencyHandle, census_files};
use vagn_registry::Registry;
use vagn_shard::files::check_copy;
use vagn_store::disk::{Disk, RealDisk};
use vagn_store::{BackupError, BackupWriter, FleetSource, Interrupt, UncheckedBackup};

/// Small files that never change while a service runs, or are replaced as a whole.
const SMALL: [&str; 2] = ["cert.pem", "key.pem"];

/// Directory of the files of a node's shards, in its data directory.
pub const NODE_DIR: &str = "cluster";

/// Files of a node's desk.
const DESK_FILES: [&str; 2] = [store::FILE, "kept.redb"];

/// The clock's mark, and the end of the numbers of sealed answers: last, so that they are ahead of every time and number in the copy.
const LAST: [&str; 2] = ["clock", vagn_flow::answers::FILE];

/// Bytes that all small files need at most.
const SMALL_BYTES: u64 = 1 << 20;

/// The parts of a running service that are copied.
pub struct Running<'a> {
    /// The fleet, at its moment.
    pub fleet: FleetSource,
    /// The incident store.
    pub incidents: &'a EmergencyHandle,
    /// The registry.
    pub registry: &'a Registry,
    /// Bytes that must stay free on the disk of the data directory.
    pub spare: u64,
}

/// Content of a backup that was checked.
#[derive(Debug)]
pub struct Checked {
    /// Number of vehicles.
    pub vehicles: u64,
    /// Head of the trail.
    pub trail: Option<Head>,
}

/// Copies a service that runs to `dir`.
///
/// # Errors
/// When a part is not open, or something cannot be read or written. `dir` holds no backup then.
pub fn copy_running(
    running: Running<'_>,
    dir: &Path,
    now_ms: i64,
    interrupt: Interrupt<'_>,
) -> anyhow::Result<UncheckedBackup> {
    let Running { mut fleet, incidents, registry, spare } = running;
    let from = fleet.dir().to_owned();
    check_outside(&from, dir)?;
    let mut writer = BackupWriter::begin(Arc::new(RealDisk), dir, now_ms, interrupt)?;
    let to = writer.data_dir().to_owned();
    let others =
        store::copy_bytes(&from) + len(&from.join(Registry::FILE)) + census_bytes(&from) + SMALL_BYTES;
    writer.copy_fleet(&fleet, others, spare)?;
    let is_wanted = || {
        let progress = vagn_store::BackupProgress { step: vagn_store::BackupStep::Copy, done: 0, total: 0 };
        interrupt(progress).is_continue()
    };
    let head = incidents.copy_store(&to, &is_wanted).context("copy the incidents")?;
    store::COPIED.iter().try_for_each(|name| writer.adopt(name))?;
    writer.note_trail(head.to_string());
    registry.copy_to(&to).context("copy the registry")?;
    writer.adopt(Registry::FILE)?;
    copy_census(&mut writer, &from, "")?;
    for name in SMALL.into_iter().chain(LAST) {
        writer.copy_file(&from.join(name), name)?;
    }
    // Either may have been noted there only after the fleet's moment.
    [store::FILE, Registry::FILE].iter().for_each(|name| fleet.add_part(name));
    Ok(writer.close(&fleet)?)
}

/// Copies the data directory of a service that does not run to `dir`.
///
/// # Errors
/// As [`copy_running`]; also when a service uses the data directory.
pub fn copy_stopped(
    fleet: &FleetSource,
    dir: &Path,
    now_ms: i64,
    interrupt: Interrupt<'_>,
) -> anyhow::Result<UncheckedBackup> {
    let from = fleet.dir();
    check_outside(from, dir)?;
    let mut writer = BackupWriter::begin(Arc::new(RealDisk), dir, now_ms, interrupt)?;
    let registries =
        len(&from.join(Registry::FILE)) + len(&from.join(Registry::COPY_DIR).join(Registry::FILE));
    let desk: u64 = DESK_FILES.iter().map(|name| len(&from.join(DESK_DIR).join(name))).sum();
    let census = census_bytes(from) + census_bytes(&from.join(DESK_DIR));
    let others = store::copy_bytes(from) + registries + desk + census + SMALL_BYTES;
    writer.copy_fleet(fleet, others, 0)?;
    let to = writer.data_dir().to_owned();
    for name in store::COPIED.into_iter().chain(SMALL).chain(LAST) {
        writer.copy_file(&from.join(name), name)?;
    }
    copy_census(&mut writer, from, "")?;
    if from.join(Registry::FILE).exists() {
        RealDisk.copy(&from.join(Registry::FILE), &to.join(Registry::FILE)).context("copy the registry")?;
        Registry::settle_copy(&to).context("copy the registry")?;
        writer.adopt(Registry::FILE)?;
    }
    let copy = from.join(Registry::COPY_DIR);
    if copy.join(Registry::FILE).exists() {
        // What a node has of the registry of its cluster, so that it lets in without brokers.
        let to = to.join(Registry::COPY_DIR);
        RealDisk.create_dir(&to).context("copy the registry of the cluster")?;
        RealDisk
            .copy(&copy.join(Registry::FILE), &to.join(Registry::FILE))
            .context("copy the registry of the cluster")?;
        Registry::settle_copy(&to).context("copy the registry of the cluster")?;
        writer.adopt(&format!("{}/{}", Registry::COPY_DIR, Registry::FILE))?;
    }
    let desk = from.join(DESK_DIR);
    if desk.exists() {
        // What a node has of the incidents of its cluster, and the alarms of its doors that the others do not have.
        RealDisk.create_dir(&to.join(DESK_DIR)).context("copy the incidents of the cluster")?;
        for name in DESK_FILES {
            writer.copy_file(&desk.join(name), &format!("{DESK_DIR}/{name}"))?;
        }
        copy_census(&mut writer, &desk, &format!("{DESK_DIR}/"))?;
    }
    if let Some(dir) = dir_of_store(&to) {
        writer.note_trail(head_of(&dir)?.to_string());
    }
    Ok(writer.close(fleet)?)
}

/// Copies who is known: else all vehicles in the copy would be. `from` is the directory of the incidents, and `below` that in the copy.
/// Each file is replaced as a whole, so it is copied as it was at some moment.
fn copy_census(writer: &mut BackupWriter<'_>, from: &Path, below: &str) -> anyhow::Result<()> {
    let from = from.join(CENSUS_DIR);
    let names = census_files(&from);
    if !names.is_empty() {
        let to = writer.data_dir().join(format!("{below}{CENSUS_DIR}"));
        fs::create_dir_all(to).context("copy the census")?;
    }
    for name in names {
        writer.copy_file(&from.join(&name), &format!("{below}{CENSUS_DIR}/{name}"))?;
    }
    Ok(())
}

/// Returns the bytes of the census in the directory of the incidents.
fn census_bytes(dir: &Path) -> u64 {
    let dir = dir.join(CENSUS_DIR);
    census_files(&dir).iter().map(|name| len(&dir.join(name))).sum()
}

/// Refuses a directory in the data directory, whatever links lead there.
fn check_outside(from: &Path, dir: &Path) -> Result<(), BackupError> {
    let parent = dir.parent().unwrap_or(dir);
    // One that is not there is told by who makes the directory.
    let (Ok(parent), Ok(of)) = (parent.canonicalize(), from.canonicalize()) else { return Ok(()) };
    let is_itself = dir.canonicalize().is_ok_and(|dir| dir.starts_with(&of));
    if is_itself || parent.starts_with(&of) {
        return Err(BackupError::Inside { dir: dir.to_owned(), of });
    }
    Ok(())
}

/// Reads a copy back: every file, the fleet as a start would recover it, the trail from its beginning to its head, and the registry.
/// Changes nothing.
///
/// # Errors
/// The first thing that is not as it was copied, or was damaged before.
pub fn check(backup: &UncheckedBackup, interrupt: Interrupt<'_>) -> anyhow::Result<Checked> {
    let vehicles = backup.check(interrupt)?;
    let data = backup.data_dir();
    let trail = dir_of_store(&data).map(|dir| check_trail(&dir)).transpose()?;
    let noted = backup.trail();
    if trail.map(|head| head.to_string()).as_deref() != noted {
        anyhow::bail!(
            "the trail in the copy does not end as it was copied, with {}",
            noted.unwrap_or("nothing")
        );
    }
    for dir in [data.clone(), data.join(Registry::COPY_DIR)] {
        if dir.join(Registry::FILE).exists() {
            Registry::check_copy(&dir).context("read the registry in the copy")?;
        }
    }
    Ok(Checked { vehicles, trail })
}

/// Reads back the shards of a copy of a whole service, as a start of a node would. Returns the number of their vehicles. Changes nothing.
///
/// # Errors
/// The first thing that is not as it was copied.
pub fn check_shards(backup: &UncheckedBackup, data_set: &str) -> anyhow::Result<u64> {
    let dir = backup.data_dir().join(NODE_DIR);
    let mut vehicles = 0;
    check_copy(Arc::new(RealDisk), &dir, data_set, |_, shard| vehicles += shard.reader().len() as u64)?;
    Ok(vehicles)
}

/// Returns the directory that has the incidents: those of a single machine or, where it never was one, those of a node.
fn dir_of_store(data: &Path) -> Option<PathBuf> {
    [data.to_owned(), data.join(DESK_DIR)].into_iter().find(|dir| store::is_there(dir))
}

fn check_trail(data: &Path) -> anyhow::Result<Head> {
    let closed = open_store(data)?;
    let verified = closed.verify(&[]).context("verify the trail in the copy")?;
    match compare_with_journal(&closed, data)
        .context("compare the incidents in the copy with their journal")?
    {
        JournalCheck::Ahead { saves, .. } => anyhow::bail!(
            "the incident store has lost {saves} saves that its journal has; start the service, which takes them from there, and make \
             the copy again"
        ),
        JournalCheck::Without | JournalCheck::Silent { .. } | JournalCheck::Agrees => Ok(verified.head),
    }
}

fn head_of(data: &Path) -> anyhow::Result<Head> {
    open_store(data)?.head().context("read the trail in the copy")
}

fn open_store(data: &Path) -> anyhow::Result<ClosedStore> {
    ClosedStore::open(&data.join(store::FILE)).context("open the incidents in the copy")
}

/// Returns the length of a file; 0 when it is not there.
fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use vagn_store::DataDir;

    use super::*;

    #[test]
    fn no_copy_is_made_in_what_is_copied() {
        let outer = tempfile::tempdir().unwrap();
        let [data, link] = ["data", "link"].map(|name| outer.path().join(name));
        drop(DataDir::open(Arc::new(RealDisk), &data, Some(1), 7).unwrap());
        fs::create_dir(data.join("empty")).unwrap();
        std::os::unix::fs::symlink(&data, &link).unwrap();
        let fleet = FleetSource::at_rest(Arc::new(RealDisk), &data).unwrap();
        let copy = |dir: &Path| copy_stopped(&fleet, dir, 0, &|_| ControlFlow::Continue(()));
        for inside in [data.join("copy"), data.join("empty"), link.join("copy")] {
            let refused = copy(&inside).map(drop).unwrap_err();
            assert!(matches!(refused.downcast_ref(), Some(BackupError::Inside { .. })), "{refused}");
            assert!(!data.join("copy").exists());
        }
        assert!(copy(&outer.path().join("copy")).is_ok());
    }

    #[test]
    fn a_copy_of_a_node_has_the_files_of_its_desk() {
        let outer = tempfile::tempdir().unwrap();
        let data = outer.path().join("data");
        drop(DataDir::open(Arc::new(RealDisk), &data, Some(1), 7).unwrap());
        let fleet = FleetSource::at_rest(Arc::new(RealDisk), &data).unwrap();
        fs::create_dir(data.join("desk")).unwrap();
        fs::write(data.join("desk/kept.redb"), "alarms").unwrap();
        fs::create_dir(data.join("desk/census")).unwrap();
        fs::write(data.join("desk/census/0-of-8"), "rounds").unwrap();
        fs::write(data.join("desk/census/0-of-8.tmp"), "half").unwrap();
        let copy =
            copy_stopped(&fleet, &outer.path().join("copy"), 0, &|_| ControlFlow::Continue(())).unwrap();
        let copied = |name: &str| fs::read_to_string(copy.data_dir().join(name)).ok();
        assert_eq!(copied("desk/kept.redb").as_deref(), Some("alarms"));
        assert_eq!(copied("desk/incidents.redb"), None, "there was none");
        assert_eq!(copied("desk/census/0-of-8").as_deref(), Some("rounds"));
        assert_eq!(copied("desk/census/0-of-8.tmp"), None, "it was being written");
        assert!(copy.check(&|_| ControlFlow::Continue(())).is_ok());
    }
}
