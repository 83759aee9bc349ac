//! Owner of what a command makes in a data directory: that of the directory, so that the user of the service can use it although root has
//! run the command.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// User id of root, who alone can make files for others.
const ROOT: u32 = 0;

/// File that every data directory has.
const MANIFEST: &str = "manifest";

/// State of a directory before the command has made anything in it.
pub(super) struct Before {
    dir: PathBuf,
    has_data: bool,
    /// Names that were root's already; they stay so.
    of_root: HashSet<OsString>,
}

impl Before {
    /// Looks at what is there.
    pub(super) fn of(dir: &Path) -> Self {
        // What cannot be listed fails where it is used, with a better message.
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let of_root = entries.filter(|entry| entry.metadata().is_ok_and(|found| found.uid() == ROOT));
        let of_root = of_root.map(|entry| entry.file_name()).collect();
        Self { dir: dir.to_owned(), has_data: dir.join(MANIFEST).exists(), of_root }
    }

    /// Returns true if the directory was a data directory.
    pub(super) fn has_data(&self) -> bool {
        self.has_data
    }

    /// Gives what root has made since, or made anew, to the owner of the directory.
    ///
    /// # Errors
    /// The owner of a file cannot be changed.
    pub(super) fn hand_over(&self) -> anyhow::Result<()> {
        let owner = fs::metadata(&self.dir).context("look at the data directory")?;
        if owner.uid() == ROOT {
            return Ok(());
        }
        let dir = open(&self.dir, 0).context("open the data directory")?;
        each(&dir, &|name| !self.of_root.contains(name), &mut |file| give(file, owner.uid(), owner.gid()))
            .with_context(|| format!("give new files to the owner of {}", self.dir.display()))
    }
}

/// Opens a file for its owner to be changed. With `O_NOFOLLOW` in `flags` it is no link, which may lead to what is not ours.
fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags | libc::O_NONBLOCK).open(path)
}

/// Calls `take` for each wanted file in `dir`, and for all below it. Paths begin at an open directory: its user may change them meanwhile.
fn each(
    dir: &File,
    wanted: &dyn Fn(&OsString) -> bool,
    take: &mut dyn FnMut(&File) -> io::Result<()>,
) -> io::Result<()> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    for entry in fs::read_dir(&path)? {
        let entry = entry?;
        let (name, found) = (entry.file_name(), entry.metadata()?);
        if !wanted(&name) || !(found.is_dir() || (found.is_file() && found.uid() == ROOT)) {
            continue;
        }
        let file = open(&path.join(&name), libc::O_NOFOLLOW)?;
        take(&file)?;
        if file.metadata()?.is_dir() {
            each(&file, &|_| true, take)?;
        }
    }
    Ok(())
}

fn give(file: &File, user: u32, group: u32) -> io::Result<()> {
    let found = file.metadata()?;
    // A second name of a file would be one elsewhere, which root must not give away.
    if found.uid() == ROOT && (found.is_dir() || (found.is_file() && found.nlink() == 1)) {
        fchown(file, Some(user), Some(group))?;
    }
    Ok(())
}
