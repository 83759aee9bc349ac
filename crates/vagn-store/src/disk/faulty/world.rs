//! The files and directories of a [`FaultyDisk`](super::FaultyDisk), each as the processes see it and as it
//! would be after a crash.

use super::{Fault, Loss};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

const SECTOR: usize = 512;
const ROOT: usize = 0;

pub(super) struct World {
    nodes: Vec<Inode>,
    pub(super) operations: u64,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) next_fault: Option<(&'static str, io::ErrorKind)>,
    pub(super) errno_faults: BTreeMap<&'static str, (i32, u32)>,
    pub(super) crashed: bool,
    pub(super) capacity: u64,
    pub(super) locks: BTreeSet<PathBuf>,
}

#[derive(Clone)]
enum Inode {
    File(File),
    Dir(Dir),
}

#[derive(Clone, Default)]
struct File {
    live: Vec<u8>,
    synced: Vec<u8>,
    /// So many bytes of `live` are those of `synced`.
    same: usize,
}

type Names = BTreeMap<String, usize>;

#[derive(Clone, Default)]
struct Dir {
    live: Names,
    synced: Names,
    /// Changes since the last sync, in order.
    changes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Link(String, usize),
    Unlink(String),
    Rename { from: String, to: String },
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Change::Link(name, node) => {
                names.insert(name.clone(), *node);
            }
            Change::Unlink(name) => {
                names.remove(name);
            }
            Change::Rename { from, to } => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl Dir {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.changes.push(change);
    }
}

impl Default for World {
    fn default() -> World {
        World {
            nodes: vec![Inode::Dir(Dir::default())],
            operations: 0,
            faults: BTreeMap::new(),
            next_fault: None,
            errno_faults: BTreeMap::new(),
            crashed: false,
            capacity: u64::MAX,
            locks: BTreeSet::new(),
        }
    }
}

impl World {
    /// Returns the files as the next process finds them.
    pub(super) fn after(&self, loss: Loss) -> World {
        let mut chance = fastrand::Rng::with_seed(if let Loss::Some(seed) = loss { seed } else { 0 });
        let nodes = self.nodes.iter().map(|node| match node {
            Inode::File(file) => Inode::File(file.after(loss, &mut chance)),
            Inode::Dir(dir) => Inode::Dir(dir.after(loss, &mut chance)),
        });
        World { nodes: nodes.collect(), capacity: self.capacity, ..World::default() }
    }

    pub(super) fn damage(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let node = self.find(path)?;
        let file = self.file(node)?;
        change(&mut file.live);
        *file =
            File { synced: file.live.clone(), same: file.live.len(), live: std::mem::take(&mut file.live) };
        Ok(())
    }

    pub(super) fn append(&mut self, node: usize, bytes: &[u8]) -> io::Result<()> {
        let (taken, result) = match self.operation("append") {
            Ok(()) => (bytes.len(), Ok(())),
            Err(met) => (met.bytes.min(bytes.len()), Err(met.into())),
        };
        let room = usize::try_from(self.free_space()).unwrap_or(usize::MAX);
        self.file(node)?.live.extend_from_slice(&bytes[..taken.min(room)]);
        if taken > room { Err(io::ErrorKind::StorageFull.into()) } else { result }
    }

    pub(super) fn read_at(&mut self, node: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.check_alive()?;
        let live = &self.file(node)?.live;
        let rest = usize::try_from(offset).ok().and_then(|offset| live.get(offset..)).unwrap_or_default();
        let got = rest.len().min(buffer.len());
        buffer[..got].copy_from_slice(&rest[..got]);
        Ok(got)
    }

    pub(super) fn size(&mut self, node: usize) -> io::Result<u64> {
        self.check_alive()?;
        Ok(self.file(node)?.live.len() as u64)
    }

    pub(super) fn truncate(&mut self, node: usize, size: u64) -> io::Result<()> {
        self.operation("truncate")?;
        let file = self.file(node)?;
        file.live.truncate(size as usize);
        file.same = file.same.min(file.live.len());
        Ok(())
    }

    pub(super) fn sync(&mut self, node: usize) -> io::Result<()> {
        self.operation("sync")?;
        let file = self.file(node)?;
        file.synced.truncate(file.same);
        file.synced.extend_from_slice(&file.live[file.same..]);
        file.same = file.live.len();
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.operation("create_dir")?;
        let mut at = ROOT;
        for name in names(path) {
            at = match self.dir(at)?.live.get(&name) {
                Some(node) => *node,
                None => {
                    let node = self.add(Inode::Dir(Dir::default()));
                    let dir = self.dir(at)?;
                    dir.change(Change::Link(name, node));
                    dir.settle();
                    node
                }
            };
        }
        Ok(())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<usize> {
        self.operation("create")?;
        let (parent, name) = self.parent(path)?;
        let node = self.add(Inode::File(File::default()));
        self.dir(parent)?.change(Change::Link(name, node));
        Ok(node)
    }

    pub(super) fn open(&mut self, path: &Path) -> io::Result<usize> {
        self.check_alive()?;
        let node = self.find(path)?;
        self.file(node)?;
        Ok(node)
    }

    pub(super) fn list(&mut self, path: &Path) -> io::Result<Vec<String>> {
        self.check_alive()?;
        let node = self.find(path)?;
        Ok(self.dir(node)?.live.keys().cloned().collect())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation("rename")?;
        let node = self.find(from)?;
        let (from_dir, from) = self.parent(from)?;
        let (to_dir, to) = self.parent(to)?;
        if from_dir == to_dir {
            self.dir(from_dir)?.change(Change::Rename { from, to });
        } else {
            self.dir(to_dir)?.change(Change::Link(to, node));
            self.dir(from_dir)?.change(Change::Unlink(from));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path, is_dir: bool) -> io::Result<()> {
        self.operation("remove")?;
        let node = self.find(path)?;
        if matches!(self.nodes[node], Inode::Dir(_)) != is_dir {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (parent, name) = self.parent(path)?;
        self.dir(parent)?.change(Change::Unlink(name));
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.operation("sync_dir")?;
        let node = self.find(path)?;
        self.dir(node)?.settle();
        Ok(())
    }

    pub(super) fn free_space(&self) -> u64 {
        self.capacity.saturating_sub(self.used(ROOT))
    }

    pub(super) fn take_lock(&mut self, dir: &Path, told: &Path) -> io::Result<()> {
        self.check_alive()?;
        if self.find(told).is_err() {
            self.create(told)?;
        }
        if self.locks.insert(dir.to_owned()) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn used(&self, node: usize) -> u64 {
        match &self.nodes[node] {
            Inode::File(file) => file.live.len() as u64,
            Inode::Dir(dir) => dir.live.values().map(|node| self.used(*node)).sum(),
        }
    }

    /// Counts an operation and gives the fault it meets.
    fn operation(&mut self, name: &'static str) -> Result<(), Met> {
        self.check_alive().map_err(|error| Met { error, bytes: 0 })?;
        let fault = self.faults.remove(&self.operations);
        self.operations += 1;
        if let Some((_, kind)) = self.next_fault.take_if(|(next, _)| *next == name) {
            return Err(Met { error: kind.into(), bytes: 0 });
        }
        if let Some((errno, left)) = self.errno_faults.get_mut(name).filter(|(_, left)| *left > 0) {
            *left -= 1;
            return Err(Met { error: io::Error::from_raw_os_error(*errno), bytes: 0 });
        }
        match fault {
            None => Ok(()),
            Some(Fault::Error(kind)) => Err(Met { error: kind.into(), bytes: 0 }),
            Some(Fault::Torn(bytes)) => Err(Met { error: io::ErrorKind::Other.into(), bytes }),
            Some(Fault::Short { bytes, errno }) => {
                Err(Met { error: io::Error::from_raw_os_error(errno), bytes })
            }
            Some(Fault::Crash { bytes }) => {
                self.crashed = true;
                Err(Met { error: io::ErrorKind::NotConnected.into(), bytes })
            }
        }
    }

    fn check_alive(&self) -> io::Result<()> {
        if self.crashed { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    fn add(&mut self, node: Inode) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn find(&mut self, path: &Path) -> io::Result<usize> {
        names(path).try_fold(ROOT, |node, name| {
            self.dir(node)?.live.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn parent(&mut self, path: &Path) -> io::Result<(usize, String)> {
        let name = names(path).last().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn file(&mut self, node: usize) -> io::Result<&mut File> {
        match &mut self.nodes[node] {
            Inode::File(file) => Ok(file),
            Inode::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn dir(&mut self, node: usize) -> io::Result<&mut Dir> {
        match &mut self.nodes[node] {
            Inode::Dir(dir) => Ok(dir),
            Inode::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

/// The names on the way to `path`, wherever it begins.
fn names(path: &Path) -> impl Iterator<Item = String> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    })
}

/// A fault that an operation met, and how much of a write still arrived.
struct Met {
    error: io::Error,
    bytes: usize,
}

impl From<Met> for io::Error {
    fn from(met: Met) -> io::Error {
        met.error
    }
}

impl Dir {
    fn settle(&mut self) {
        self.synced = self.live.clone();
        self.changes.clear();
    }

    /// Journals keep the order of changes, so what survives is a beginning of them.
    fn after(&self, loss: Loss, chance: &mut fastrand::Rng) -> Dir {
        let survive = match loss {
            Loss::Nothing => return self.clone(),
            Loss::Unsynced => 0,
            Loss::Some(_) => chance.usize(0..=self.changes.len()),
        };
        let mut names = self.synced.clone();
        for change in &self.changes[..survive] {
            change.apply(&mut names);
        }
        Dir { live: names.clone(), synced: names, changes: Vec::new() }
    }
}

impl File {
    fn after(&self, loss: Loss, chance: &mut fastrand::Rng) -> File {
        let bytes = match loss {
            Loss::Nothing => return self.clone(),
            Loss::Unsynced => self.synced.clone(),
            Loss::Some(_) => self.some_sectors(chance),
        };
        // What was in memory only is gone, so what is there is what is on the disk.
        File { same: bytes.len(), synced: bytes.clone(), live: bytes }
    }

    /// Every sector is the old one or the new one. A file that had become shorter has its old length or the
    /// new one.
    fn some_sectors(&self, chance: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        if self.live.len() < self.synced.len() && chance.bool() {
            bytes.truncate(self.live.len());
        }
        let first = self.same / SECTOR * SECTOR;
        for start in (first..self.live.len()).step_by(SECTOR).filter(|_| chance.bool()) {
            let end = self.live.len().min(start + SECTOR);
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(&self.live[start..end]);
        }
        bytes
    }
}
