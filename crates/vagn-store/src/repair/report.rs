//! The report of a repair, and of what a repair would do.

use crate::partition::Recovery;
use std::fmt;
use std::path::PathBuf;

/// Report of a repair.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// Files that were damaged, and others that were touched.
    pub files: Vec<RepairedFile>,
    /// Number of vehicles in all partitions.
    pub vehicles: u64,
    /// Number of positions left out because the record that named their vehicle is lost.
    pub orphans: u64,
    /// Partitions whose content is missing as a whole, so that it cannot be counted.
    pub lost_partitions: u64,
    /// Directories with what was cut from the ends of logs, now and before.
    pub kept_aside: Vec<PathBuf>,
}

/// A file or directory that was repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedFile {
    /// Path of the file.
    pub file: PathBuf,
    /// Copy of the file as it was, or the place to which it was moved; `None` when it was not there at all.
    pub moved_to: Option<PathBuf>,
    /// Offset in bytes of the first damage.
    pub offset: u64,
    /// Records, or blocks of a snapshot, that were lost.
    pub lost: u64,
    /// Description of the repair.
    pub done: &'static str,
}

/// Description of what every start does after a crash.
const CUT_OFF: &str = "an unfinished write was cut off its end";

impl RepairReport {
    /// Returns true unless nothing more was found than a crash leaves.
    pub(crate) fn has_damage(&self) -> bool {
        self.lost_partitions > 0 || self.files.iter().any(|file| file.done != CUT_OFF)
    }

    /// Notes the end of a log that a recovery cut off.
    pub(super) fn cut(&mut self, recovery: &Recovery) {
        self.files.extend(recovery.cut.clone().map(|cut| RepairedFile {
            file: cut.file,
            moved_to: cut.kept,
            offset: cut.offset,
            lost: cut.records,
            done: CUT_OFF,
        }));
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            let RepairedFile { file, moved_to, offset, lost, done } = file;
            write!(f, "{}: ", file.display())?;
            // Neither is known of what is missing or misplaced as a whole, and "0 lost" would be untrue.
            if *offset > 0 || *lost > 0 {
                write!(f, "at offset {offset}, {lost} lost; ")?;
            }
            f.write_str(done)?;
            match moved_to {
                Some(moved_to) => writeln!(f, "; as it was: {}", moved_to.display())?,
                None => writeln!(f)?,
            }
        }
        for kept in &self.kept_aside {
            writeln!(f, "{}: cut from the end of a log, kept; remove it by hand", kept.display())?;
        }
        if self.files.is_empty() {
            return write!(f, "nothing is damaged; {} vehicles", self.vehicles);
        }
        write!(f, "{} vehicles; {} positions left out", self.vehicles, self.orphans)?;
        match self.lost_partitions {
            0 => Ok(()),
            lost => write!(f, "; not counted: the content of {lost} partitions that is missing as a whole"),
        }
    }
}
