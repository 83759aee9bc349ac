//! Rights to a data directory: where a fleet has been and who called for help is for the service's user alone.
//!
//! What is made is made private. This tightens what an earlier version, a copy or a restore has left open.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Rights of a file.
pub const FILE_MODE: u32 = 0o600;

/// Rights of a directory.
pub const DIR_MODE: u32 = 0o700;

/// Begins of the names that are ours in a data directory. Whatever else somebody keeps there is left as it is.
const OURS: [&str; 14] = [
    "manifest",
    "lock",
    "clock",
    "answers",
    "cert.",
    "key.",
    "incidents.",
    "census",
    "registry.",
    "control",
    "access.",
    "fleet-",
    "cluster",
    "desk",
];

/// Bit of a directory that many users share, such as `/tmp`.
const SHARED: u32 = 0o1000;

/// Files and directories that others could use.
#[derive(Debug, Default)]
pub struct Rights {
    /// Those that were found open, and are private now if they were to be tightened.
    pub open: Vec<PathBuf>,
    /// Those that cannot be made private, with the reason.
    pub stuck: Vec<(PathBuf, io::Error)>,
}

/// Makes a data directory and all that is ours in it private. A directory that is not there has nothing open.
pub fn tighten(dir: &Path) -> Rights {
    look(dir, true)
}

/// Finds what in a data directory others can use, and changes nothing.
pub fn open_to_others(dir: &Path) -> Rights {
    look(dir, false)
}

fn look(dir: &Path, tighten: bool) -> Rights {
    let mut walk = Walk { tighten, rights: Rights::default() };
    let Ok(metadata) = fs::metadata(dir) else { return walk.rights };
    if metadata.mode() & SHARED == 0 {
        walk.check(dir, &metadata);
    } else {
        let err = io::Error::other("it is shared by many users; choose another directory with --data-dir");
        walk.rights.stuck.push((dir.to_owned(), err));
    }
    walk.each(dir, &|name| OURS.iter().any(|ours| name.starts_with(ours)));
    walk.rights
}

struct Walk {
    tighten: bool,
    rights: Rights,
}

impl Walk {
    /// Looks at what in `dir` has a name that is `wanted`, and at all below it.
    fn each(&mut self, dir: &Path, wanted: &dyn Fn(&str) -> bool) {
        // What cannot be listed fails where it is used, with a better message.
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            // Of the entry itself: a link may lead to what is not ours.
            let Ok(metadata) = entry.metadata() else { continue };
            if !wanted(&entry.file_name().to_string_lossy()) || metadata.is_symlink() {
                continue;
            }
            self.check(&entry.path(), &metadata);
            if metadata.is_dir() {
                self.each(&entry.path(), &|_| true);
            }
        }
    }

    fn check(&mut self, path: &Path, metadata: &Metadata) {
        let private = if metadata.is_dir() { DIR_MODE } else { FILE_MODE };
        if metadata.mode() & 0o077 == 0 {
            return;
        }
        let changed =
            if self.tighten { fs::set_permissions(path, Permissions::from_mode(private)) } else { Ok(()) };
        match changed {
            Ok(()) => self.rights.open.push(path.to_owned()),
            Err(err) => self.rights.stuck.push((path.to_owned(), err)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(dir: &Path, names: &[&str]) {
        for name in names {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn makes_all_that_is_ours_private_and_nothing_else() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("data");
        let stores =
            ["incidents.redb", "fleet-1/0/log-1", "fleet-1/0/cut-1/log-1", "cluster/note", "census/0-of-1"];
        let ours: Vec<_> = ["manifest", "clock", "cert.pem"].into_iter().chain(stores).collect();
        make(&dir, &ours);
        make(outer.path(), &["elsewhere"]);
        make(&dir, &["notes.txt"]);
        std::os::unix::fs::symlink(outer.path().join("elsewhere"), dir.join("key.pem")).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();

        // Eight files, and the directories `data`, `fleet-1`, `0`, `cut-1`, `cluster` and `census`.
        assert_eq!(open_to_others(&dir).open.len(), 14);
        assert_eq!(mode(&dir), 0o755, "looking changes nothing");
        let rights = tighten(&dir);
        assert_eq!((rights.open.len(), rights.stuck.len()), (14, 0), "{rights:?}");
        assert!(ours.iter().all(|name| mode(&dir.join(name)) == FILE_MODE));
        assert!(
            ["", "fleet-1", "fleet-1/0", "fleet-1/0/cut-1"]
                .iter()
                .all(|name| mode(&dir.join(name)) == DIR_MODE)
        );
        assert_eq!((mode(&dir.join("notes.txt")), mode(&outer.path().join("elsewhere"))), (0o644, 0o644));
        assert!(tighten(&dir).open.is_empty());
        assert!(tighten(&outer.path().join("missing")).open.is_empty());
    }

    #[test]
    fn a_directory_that_many_share_is_named_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        make(dir.path(), &["manifest"]);
        let rights = tighten(dir.path());
        assert_eq!((rights.open.len(), rights.stuck.len(), mode(dir.path())), (1, 1, 0o1777));
    }
}
