//! A storage that never writes to its file: writes go to memory, because opening a store after a crash means repairing it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;
use redb::StorageBackend;

/// Bytes that are copied to memory when one of them is written.
const PAGE: u64 = 4096;

/// A file that is only read, under a memory of what was written over it.
#[derive(Debug)]
pub(crate) struct Untouched {
    file: File,
    bounds: Mutex<Bounds>,
}

#[derive(Debug)]
struct Bounds {
    /// Length as the reader sees it.
    len: u64,
    /// Bytes of the file that still count.
    from_file: u64,
    /// Written pages, by number.
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl Untouched {
    /// Takes the file as it is now.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, bounds: Mutex::new(Bounds { len, from_file: len, pages: BTreeMap::new() }) })
    }

    /// Reads from the file at `offset`; zeros where it has nothing.
    fn read_file(&self, from_file: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let there = from_file.saturating_sub(offset).min(out.len() as u64) as usize;
        self.file.read_exact_at(&mut out[..there], offset)
    }
}

/// Returns the parts of `len` bytes from `offset` on, page by page: the page's number, the offset in it, and the length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset + len as u64;
    std::iter::from_fn(move || {
        let within = at % PAGE;
        let part = (PAGE - within).min(end - at);
        let found = (part > 0).then_some((at / PAGE, within as usize, part as usize));
        at += part;
        found
    })
}

impl StorageBackend for Untouched {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bounds.lock().len)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let bounds = self.bounds.lock();
        if offset.saturating_add(out.len() as u64) > bounds.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(bounds.from_file, offset, out)?;
        for (number, within, part) in parts(offset, out.len()) {
            let (chunk, rest) = out.split_at_mut(part);
            if let Some(page) = bounds.pages.get(&number) {
                chunk.copy_from_slice(&page[within..within + part]);
            }
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut bounds = self.bounds.lock();
        bounds.len = len;
        bounds.from_file = bounds.from_file.min(len);
        bounds.pages.split_off(&len.div_ceil(PAGE));
        if let Some(page) = bounds.pages.get_mut(&(len / PAGE)) {
            page[(len % PAGE) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut bounds = self.bounds.lock();
        for (number, within, part) in parts(offset, data.len()) {
            let (chunk, rest) = data.split_at(part);
            if !bounds.pages.contains_key(&number) {
                let mut page = Box::new([0; PAGE as usize]);
                self.read_file(bounds.from_file, number * PAGE, &mut *page)?;
                bounds.pages.insert(number, page);
            }
            let page = bounds.pages.get_mut(&number).expect("it was put there");
            page[within..within + part].copy_from_slice(chunk);
            data = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum FileStep {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<FileStep>> {
        let write = (0..20_000_u64, prop::collection::vec(1_u8.., 1..9000))
            .prop_map(|(offset, data)| FileStep::Write(offset, data));
        prop::collection::vec(prop_oneof![write, (0..30_000_u64).prop_map(FileStep::SetLen)], 1..20)
    }

    proptest! {
        #[test]
        fn reads_what_was_written_over_a_file_that_stays_as_it_was(steps in steps()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            let before = vec![9; 10_000];
            std::fs::write(&path, &before).unwrap();
            let storage = Untouched::new(File::open(&path).unwrap()).unwrap();
            let mut model = before.clone();
            for step in steps {
                match step {
                    FileStep::SetLen(len) => {
                        storage.set_len(len).unwrap();
                        model.resize(len as usize, 0);
                    }
                    FileStep::Write(offset, data) if offset as usize + data.len() <= model.len() => {
                        storage.write(offset, &data).unwrap();
                        model[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
                    }
                    FileStep::Write(..) => {}
                }
                let mut read = vec![1; storage.len().unwrap() as usize];
                storage.read(0, &mut read).unwrap();
                prop_assert!(read == model);
                prop_assert!(storage.read(1, &mut read).is_err() || model.is_empty());
            }
            prop_assert!(std::fs::read(&path).unwrap() == before);
        }
    }
}
