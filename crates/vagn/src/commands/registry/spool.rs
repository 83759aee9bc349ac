//! A list that is kept until it is whole: in memory, and beyond a bound in a file that no other process can open.
//!
//! A reader of standard output may pause as long as it likes then: neither the service nor the lock of the data directory is held.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

/// Bytes that are kept in memory: the list of some 100 000 devices.
const MEMORY: usize = 16 << 20;

/// A list, as far as it was written.
pub(super) struct Spool {
    memory: Vec<u8>,
    memory_max: usize,
    file: Option<File>,
}

impl Spool {
    pub(super) fn new() -> Self {
        Self { memory: Vec::new(), memory_max: MEMORY, file: None }
    }

    /// Writes all of it to `to`.
    pub(super) fn pour(self, to: &mut impl Write) -> io::Result<()> {
        if let Some(mut file) = self.file {
            file.rewind()?;
            io::copy(&mut file, to)?;
        }
        to.write_all(&self.memory)?;
        to.flush()
    }

    /// Moves what is in memory to the end of the file.
    fn move_to_disk(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(nameless()?),
        };
        file.write_all(&self.memory)?;
        self.memory.clear();
        Ok(())
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.memory.extend_from_slice(bytes);
        if self.memory.len() > self.memory_max {
            self.move_to_disk().map_err(explained)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a file that has lost its name: it goes with the command.
fn nameless() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("vagn-list-{:016x}", fastrand::u64(..)));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    remove_file(&path)?;
    Ok(file)
}

fn explained(err: io::Error) -> io::Error {
    let dir = std::env::temp_dir();
    let what = format!(
        "the list cannot be kept in {} until it is whole: {err}; name a directory with room in TMPDIR",
        dir.display()
    );
    io::Error::new(err.kind(), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_written_from_memory_and_file() {
        let mut spool = Spool { memory_max: 10, ..Spool::new() };
        let mut poured = Vec::new();
        for number in 0..100 {
            writeln!(spool, "line {number}").unwrap();
            assert!(spool.memory.len() <= 10);
        }
        write!(spool, "end").unwrap();
        assert!(spool.file.is_some());
        spool.pour(&mut poured).unwrap();
        let lines: String = (0..100).map(|number| format!("line {number}\n")).collect();
        assert_eq!(String::from_utf8(poured).unwrap(), lines + "end");
    }
}
