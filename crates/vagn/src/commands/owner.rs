//! Owner of what a command makes in a data directory: that of the directory, so that the user of the service can use it although root has
//! run the command.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Write, stderr};
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

    /// Gives what a deed of root has made, or made anew, to the owner of the directory. Also where the deed has failed: files that stay
    /// root's would keep the service out.
    ///
    /// # Errors
    /// That of the deed; where it has none, the owner of a file cannot be changed.
    pub(super) fn hand_over<T, E: From<anyhow::Error>>(&self, deed: Result<T, E>) -> Result<T, E> {
        match (deed, self.give_all()) {
            (deed, Ok(())) => deed,
            (Ok(_), Err(err)) => Err(err.into()),
            (Err(first), Err(second)) => {
                // Fails only when standard error is closed.
                writeln!(stderr(), "{second:#}").ok();
                Err(first)
            }
        }
    }

    fn give_all(&self) -> anyhow::Result<()> {
        let owner = match fs::metadata(&self.dir) {
            // Nothing was made.
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.context("look at the data directory")?,
        };
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
        let file = match open_wanted(&entry?, wanted) {
            Ok(Some(file)) => file,
            Ok(None) => continue,
            // Others remove files too.
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            Err(err) => return Err(err),
        };
        take(&file)?;
        if file.metadata()?.is_dir() {
            each(&file, &|_| true, take)?;
        }
    }
    Ok(())
}

fn open_wanted(entry: &DirEntry, wanted: &dyn Fn(&OsString) -> bool) -> io::Result<Option<File>> {
    let (name, found) = (entry.file_name(), entry.metadata()?);
    let is_wanted = wanted(&name) && (found.is_dir() || (found.is_file() && found.uid() == ROOT));
    is_wanted.then(|| open(&entry.path(), libc::O_NOFOLLOW)).transpose()
}

fn give(file: &File, user: u32, group: u32) -> io::Result<()> {
    let found = file.metadata()?;
    // A second name of a file would be one elsewhere, which root must not give away.
    if found.uid() == ROOT && (found.is_dir() || (found.is_file() && found.nlink() == 1)) {
        fchown(file, Some(user), Some(group))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_goes_while_it_is_looked_at_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["goes", "stays"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let wanted = |name: &OsString| {
            if name == "goes" {
                fs::remove_dir(dir.path().join(name)).unwrap();
            }
            true
        };
        let mut taken = 0;
        each(&File::open(dir.path()).unwrap(), &wanted, &mut |_| {
            taken += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(taken, 1);
    }

    #[test]
    fn what_a_deed_has_made_is_handed_over_after_it_failed_and_its_error_is_the_one_that_counts() {
        let dir = tempfile::tempdir().unwrap();
        let is_root = fs::metadata(dir.path()).unwrap().uid() == ROOT;
        let owner = |name: &str| fs::metadata(dir.path().join(name)).unwrap().uid();
        fs::write(dir.path().join("before"), "").unwrap();
        if is_root {
            chown(dir.path(), Some(4321), None).unwrap();
        }
        let before = Before::of(dir.path());
        fs::write(dir.path().join("made"), "").unwrap();
        let failed: anyhow::Result<()> = before.hand_over(Err(anyhow!("the deed failed")));
        assert_eq!(failed.unwrap_err().to_string(), "the deed failed");
        if is_root {
            assert_eq!((owner("made"), owner("before")), (4321, ROOT));
        }
        // Neither where there is no directory, nor where it is none.
        for path in [dir.path().join("gone"), dir.path().join("made/below")] {
            let failed: anyhow::Result<()> = Before::of(&path).hand_over(Err(anyhow!("the deed failed")));
            assert_eq!(failed.unwrap_err().to_string(), "the deed failed");
        }
        assert!(Before::of(&dir.path().join("gone")).hand_over(anyhow::Ok(())).is_ok());
        assert!(Before::of(&dir.path().join("made/below")).hand_over(anyhow::Ok(())).is_err());
    }
}
