//! The work of the thread that reads, and writes snapshots.

use std::io;
use std::path::PathBuf;

use tracing::{error, warn};
use vagn_cluster::{DiskFault, DiskPart, Event, LogOutcome, ShardId};

use super::counts::add;
use super::error::{fault_of, is_no_room};
use super::frame::LogId;
use super::log::Log;
use super::read::View;
use super::recover;
use super::rest;
use super::shared::Shared;
use super::site::NotReplaced;
use super::snapshot;
use super::start::{Start, StartStep};
use super::tasks::{FileTask, Old, Owed, SharedLog, was_read};

impl Shared {
    pub(super) fn file(&self, task: FileTask) {
        match task {
            FileTask::Start(start) => self.start(start),
            FileTask::Read { owed, read, log, view } => {
                let outcome = self.read(owed, &log, &view);
                self.desk.lock().tell(owed, was_read(owed, read, outcome));
            }
            FileTask::ReadRest { owed, reading } => {
                let read = self.rests.lock().read(&self.site, owed.shard, reading);
                let outcome = read.unwrap_or_else(|err| {
                    self.unread(owed, reading.from, &err);
                    LogOutcome::Fault
                });
                self.desk.lock().tell(owed, was_read(owed, reading.read, outcome));
            }
            FileTask::DropRest(owed) => {
                if let Err(err) = rest::let_go(&self.site, owed.shard) {
                    let shard = owed.shard.0;
                    warn!(shard, error = %err, "what was published again of a log is published once more at the next start");
                }
            }
            FileTask::Save { owed, number, sequence, bytes } => {
                let id = LogId { shard: owed.shard, number };
                let result = self.snapshot(id, sequence, &bytes).map_err(|err| self.not_replaced(id, &err));
                self.desk.lock().tell(owed, Event::SnapshotSaved { shard: owed.shard, sequence, result });
            }
            FileTask::Install { owed, number, sequence, bytes, old } => {
                let id = LogId { shard: owed.shard, number };
                let result = self.keep(id, old).and_then(|copies| {
                    self.snapshot(id, sequence, &bytes).map_err(|err| {
                        // Else the new one may be in force, and the next start would remove the log that was copied.
                        if let (NotReplaced::Before(_), Some(copies)) = (&err, copies) {
                            recover::forget_copies(&self.site, &copies);
                        }
                        self.not_replaced(id, &err)
                    })
                });
                let log = result.is_ok().then(|| {
                    recover::remove_older(&self.site, id);
                    Log::empty(&self.site, id, sequence)
                });
                let answer = Event::SnapshotSaved { shard: owed.shard, sequence, result };
                self.desk.lock().installed(owed, log, answer);
                self.logs.notify_one();
            }
            FileTask::Drop { owed, keeps_old } => {
                let kept = if keeps_old { recover::keep_all(&self.site, owed.shard) } else { Ok(()) };
                let removed = kept.and_then(|()| recover::remove_shard(&self.site, owed.shard));
                if let Err(err) = &removed {
                    warn!(shard = owed.shard.0, error = %err, "a shard that is dropped stays on disk");
                }
                self.reader.lock().forget(owed.shard);
                self.desk.lock().dropped(owed, removed.is_ok());
                self.logs.notify_one();
            }
        }
    }

    fn read(&self, owed: Owed, log: &SharedLog, view: &View) -> LogOutcome {
        let read = self.reader.lock().read(view);
        match read {
            Ok(LogOutcome::Damaged { .. }) if log.lock().failures() != view.failures() => {
                // What was cut off since is no damage.
                LogOutcome::Fault
            }
            Ok(LogOutcome::Damaged { next }) => {
                let from = view.from();
                if self.is_new_cause(owed, format!("damaged from {from}")) {
                    error!(
                        shard = owed.shard.0,
                        from,
                        next,
                        "a part of the log of a shard is damaged; the log is kept when it is let go"
                    );
                }
                self.desk.lock().keep_old(owed);
                LogOutcome::Damaged { next }
            }
            Ok(outcome) => outcome,
            Err(err) => {
                self.unread(owed, view.from(), &err);
                LogOutcome::Fault
            }
        }
    }

    /// Keeps what a snapshot is to take the place of, if it must be. Returns the folder of copies whose originals are still there.
    fn keep(&self, id: LogId, old: Old) -> Result<Option<PathBuf>, DiskFault> {
        let kept = match old {
            Old::Goes => Ok(None),
            Old::All => self.move_aside(id.shard),
            Old::Log => match recover::keep_copies(&self.site, id.shard) {
                Ok(folder) => Ok(Some(folder)),
                Err(err) if is_no_room(&err) => Err(err),
                // What cannot be copied can be moved.
                Err(_) => self.move_aside(id.shard),
            },
        };
        kept.map_err(|err| self.no_snapshot(id, &err))
    }

    /// Moves the files of a shard aside, which leaves no copies.
    fn move_aside(&self, shard: ShardId) -> io::Result<Option<PathBuf>> {
        recover::keep_all(&self.site, shard)?;
        Ok(None)
    }

    fn snapshot(&self, id: LogId, sequence: u64, bytes: &[u8]) -> Result<(), NotReplaced> {
        self.site.disk.create_dir(&self.site.shard_dir(id.shard)).map_err(NotReplaced::Before)?;
        snapshot::write(&self.site, id, sequence, bytes)?;
        add(&self.counts.snapshots, 1);
        self.desk.lock().has_snapshot(id.shard, bytes.len());
        Ok(())
    }

    fn not_replaced(&self, id: LogId, err: &NotReplaced) -> DiskFault {
        match err {
            NotReplaced::Before(err) => self.no_snapshot(id, err),
            NotReplaced::Unknown(err) => {
                self.no_snapshot(id, err);
                DiskFault::Broken
            }
        }
    }

    fn no_snapshot(&self, id: LogId, err: &io::Error) -> DiskFault {
        let fault = fault_of(err);
        self.count(fault);
        warn!(shard = id.shard.0, error = %err, "a snapshot of a shard could not be written");
        fault
    }

    fn start(&self, mut start: Box<Start>) {
        let step = start.step(&self.site, &self.counts);
        let mut desk = self.desk.lock();
        desk.starts(start);
        match step {
            StartStep::Part(part, bytes) => desk.tell_part(part, bytes),
            StartStep::Opened(opened) => {
                if opened.log.is_none() {
                    // Bytes that are no content: so the node says that the shard cannot be read, and copies it.
                    desk.tell_part(DiskPart::Snapshot(opened.shard, Vec::new()), 0);
                }
                desk.opened(opened);
            }
            StartStep::End => {
                desk.tell_part(DiskPart::End, 0);
                self.logs.notify_one();
            }
        }
    }
}
