//! A disk over another one: it shows the files below as they would be after all changes, and changes none of them. For work
//! that is to say first what it will do.

use super::{Disk, DiskFile, DiskLock};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fate of a path.
#[derive(Clone)]
enum Changed {
    File(Arc<MemoryFile>),
    Dir,
    Gone,
    /// It shows what is at this path below.
    Moved(PathBuf),
}

/// A disk that keeps its changes in memory.
pub(crate) struct Overlay {
    below: Arc<dyn Disk>,
    changed: Arc<Mutex<BTreeMap<PathBuf, Changed>>>,
}

/// Lock of nothing: the disk below is locked.
struct NoLock;

impl DiskLock for NoLock {}

/// A file in memory.
#[derive(Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl DiskFile for MemoryFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().extend_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.0.lock();
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
        let got = rest.len().min(buffer.len());
        buffer[..got].copy_from_slice(&rest[..got]);
        Ok(got)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.0.lock().truncate(size as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A file below. It is copied when it is changed, and not before: there may be more of them than memory.
struct BelowFile {
    path: PathBuf,
    below: Arc<dyn DiskFile>,
    copied: Mutex<Option<Arc<MemoryFile>>>,
    changed: Arc<Mutex<BTreeMap<PathBuf, Changed>>>,
}

impl BelowFile {
    fn now(&self) -> Arc<dyn DiskFile> {
        match &*self.copied.lock() {
            Some(copied) => copied.clone(),
            None => self.below.clone(),
        }
    }

    fn copied(&self) -> io::Result<Arc<MemoryFile>> {
        let mut copied = self.copied.lock();
        if let Some(copied) = &*copied {
            return Ok(copied.clone());
        }
        let file = Arc::new(MemoryFile(Mutex::new(super::read_all(&*self.below)?)));
        self.changed.lock().insert(self.path.clone(), Changed::File(file.clone()));
        Ok(copied.insert(file).clone())
    }
}

impl DiskFile for BelowFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.copied()?.append(bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.now().read_at(offset, buffer)
    }

    fn size(&self) -> io::Result<u64> {
        self.now().size()
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.copied()?.truncate(size)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Overlay {
    pub(crate) fn new(below: Arc<dyn Disk>) -> Overlay {
        Overlay { below, changed: Arc::default() }
    }

    /// Returns the path below that `path` shows, or an error where it is gone or was never below.
    fn below_of(&self, path: &Path) -> io::Result<PathBuf> {
        let changed = self.changed.lock();
        for ancestor in path.ancestors() {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            match changed.get(ancestor) {
                None => {}
                Some(Changed::Moved(below)) if rest == Path::new("") => return Ok(below.clone()),
                Some(Changed::Moved(below)) => return Ok(below.join(rest)),
                Some(Changed::Gone | Changed::Dir | Changed::File(_)) => {
                    return Err(io::ErrorKind::NotFound.into());
                }
            }
        }
        Ok(path.to_owned())
    }

    fn set(&self, path: &Path, changed: Changed) {
        self.changed.lock().insert(path.to_owned(), changed);
    }

    fn new_file(&self, path: &Path) -> Arc<MemoryFile> {
        let file = Arc::new(MemoryFile::default());
        self.set(path, Changed::File(file.clone()));
        file
    }

    /// Returns true when something is at `path`: a link that leads nowhere too.
    fn is_there(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.parent().is_some_and(|dir| self.list(dir).is_ok_and(|names| names.iter().any(|it| *it == name)))
    }
}

impl Disk for Overlay {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if self.list(path).is_ok() {
            return Ok(());
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            self.create_dir(parent)?;
        }
        self.set(path, Changed::Dir);
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.new_file(path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(Changed::File(file)) = self.changed.lock().get(path) {
            return Ok(file.clone());
        }
        let below = self.below.open(&self.below_of(path)?)?;
        let (path, changed) = (path.to_owned(), self.changed.clone());
        Ok(Arc::new(BelowFile { path, below, copied: Mutex::default(), changed }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let below = match self.below_of(dir) {
            Ok(below) => self.below.list(&below),
            Err(err) => Err(err),
        };
        let changed = self.changed.lock();
        let made = matches!(changed.get(dir), Some(Changed::Dir));
        let mut names: std::collections::BTreeSet<String> = match below {
            Ok(names) => names.into_iter().collect(),
            Err(_) if made => Default::default(),
            Err(err) => return Err(err),
        };
        for (path, what) in changed.iter().filter(|(path, _)| path.parent() == Some(dir)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match what {
                Changed::Gone => drop(names.remove(&name)),
                _ => drop(names.insert(name)),
            }
        }
        Ok(names.into_iter().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.is_there(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let own = self.changed.lock().get(from).cloned();
        let moved = match own {
            Some(own @ (Changed::File(_) | Changed::Dir)) => own,
            _ => Changed::Moved(self.below_of(from)?),
        };
        let mut changed = self.changed.lock();
        let inside: Vec<_> =
            changed.keys().filter(|path| path.starts_with(from) && *path != from).cloned().collect();
        for path in inside {
            let what = changed.remove(&path).unwrap_or(Changed::Gone);
            changed.insert(to.join(path.strip_prefix(from).unwrap_or(&path)), what);
        }
        changed.insert(to.to_owned(), moved);
        changed.insert(from.to_owned(), Changed::Gone);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.is_there(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.set(path, Changed::Gone);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.changed.lock().retain(|changed, _| !changed.starts_with(path));
        self.set(path, Changed::Gone);
        Ok(())
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let changed = self.changed.lock().get(from).cloned();
        match changed {
            Some(Changed::File(file)) => {
                let content = file.0.lock().clone();
                self.new_file(to).append(&content)
            }
            _ => {
                self.set(to, Changed::Moved(self.below_of(from)?));
                Ok(())
            }
        }
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.below.free_space(dir)
    }

    fn lock(&self, _: &Path, _: &Path) -> io::Result<Box<dyn DiskLock>> {
        Ok(Box::new(NoLock))
    }
}

#[cfg(test)]
mod tests {
    use super::super::faulty::FaultyDisk;
    use super::super::read_all;
    use super::*;

    fn text(disk: &dyn Disk, path: &str) -> Option<String> {
        let file = disk.open(Path::new(path)).ok()?;
        Some(String::from_utf8(read_all(&*file).unwrap()).unwrap())
    }

    #[test]
    fn shows_what_was_changed_and_leaves_what_is_below() {
        let below = FaultyDisk::new();
        below.create_dir(Path::new("d/e")).unwrap();
        for path in ["d/a", "d/b", "d/e/c"] {
            below.create(Path::new(path)).unwrap().append(path.as_bytes()).unwrap();
        }
        let before = below.operations();
        let disk = Overlay::new(Arc::new(below.clone()));
        disk.open(Path::new("d/a")).unwrap().truncate(1).unwrap();
        disk.copy(Path::new("d/b"), Path::new("d/kept")).unwrap();
        disk.create(Path::new("d/b")).unwrap().append(b"new").unwrap();
        disk.rename(Path::new("d/e"), Path::new("d/f")).unwrap();
        disk.create_dir(Path::new("g/h")).unwrap();
        disk.rename(Path::new("d/f/c"), Path::new("g/h/c")).unwrap();
        assert_eq!(disk.list(Path::new("d")).unwrap(), ["a", "b", "f", "kept"]);
        assert_eq!(text(&disk, "d/a").as_deref(), Some("d"));
        assert_eq!(text(&disk, "d/b").as_deref(), Some("new"));
        assert_eq!(text(&disk, "d/kept").as_deref(), Some("d/b"));
        assert_eq!(text(&disk, "g/h/c").as_deref(), Some("d/e/c"));
        assert!(disk.list(Path::new("d/f")).unwrap().is_empty() && disk.list(Path::new("d/e")).is_err());
        disk.remove(Path::new("d/kept")).unwrap();
        assert!(text(&disk, "d/kept").is_none() && disk.remove(Path::new("d/e/c")).is_err());
        assert_eq!(below.operations(), before);
        assert_eq!(text(&below, "d/e/c").as_deref(), Some("d/e/c"));
    }
}
