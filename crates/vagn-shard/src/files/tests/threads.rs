//! The threads themselves, on a disk of the operating system; and one that is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use vagn_cluster::{Disk, DiskCommand, DiskPart, Event, ReadId, ShardId};
use vagn_store::disk::RealDisk;

use super::rig::{Rig, SHARD, content, records, settings, shown};
use crate::files::{FileWorker, FileWorkers, ShardFiles};

/// Wakes the thread that waits for an event.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for the next event: only a waker ends the waiting.
fn next(files: &mut ShardFiles) -> Event {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match files.poll_event(&mut Context::from_waker(&waker)) {
            Poll::Ready(event) => return event,
            Poll::Pending => thread::park(),
        }
    }
}

/// Runs all threads while `work` goes on.
fn with_threads(workers: &FileWorkers, work: impl FnOnce()) {
    /// The threads end when the work panics, too.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        for worker in FileWorker::all() {
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    workers.run(worker, Duration::from_millis(20));
                }
            });
        }
        work();
    });
}

#[test]
fn threads_write_sync_and_read_shards_beside_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (workers, root) = (FileWorkers::default(), dir.path().join("cluster"));
    let open = || loop {
        match ShardFiles::open(Arc::new(RealDisk), &root, settings(), &workers) {
            Ok(files) => return files,
            // A thread has not let go yet.
            Err(crate::files::FilesError::InUse { .. }) => thread::yield_now(),
            Err(err) => panic!("{err}"),
        }
    };
    with_threads(&workers, || {
        let mut files = open();
        assert!(matches!(next(&mut files), Event::Disk(DiskPart::End)));
        for shard in (0..8).map(ShardId) {
            files.carry_out(DiskCommand::InstallSnapshot { shard, sequence: 0, bytes: content(0).into() });
        }
        (0..8).for_each(|_| assert!(matches!(next(&mut files), Event::SnapshotSaved { result: Ok(()), .. })));
        for round in 0..20 {
            for shard in (0..8).map(ShardId) {
                let (first, last) = (round * 10 + 1, round * 10 + 10);
                files.carry_out(DiskCommand::WriteLog { shard, records: records(first..=last) });
                files.carry_out(DiskCommand::SyncLog(shard));
            }
            for _ in 0..8 {
                let event = next(&mut files);
                assert!(
                    matches!(event, Event::LogSynced { through, .. } if through == round * 10 + 10),
                    "{event:?}"
                );
            }
        }
        drop(files);
        let mut files = open();
        let mut told = [0; 8];
        loop {
            match next(&mut files) {
                Event::Disk(DiskPart::Snapshot(_, bytes)) => assert_eq!(bytes, content(0)),
                Event::Disk(DiskPart::Records(shard, read)) => {
                    let at = &mut told[usize::from(shard.0)];
                    assert_eq!(read, records(*at + 1..=*at + read.len() as u64));
                    *at += read.len() as u64;
                }
                Event::Disk(DiskPart::End) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told, [200; 8]);
    });
}

#[test]
fn a_thread_that_is_lost_stops_all_shards_and_nothing_waits_for_ever() {
    let mut rig = Rig::new();
    rig.fill(0, 5);
    rig.write(6..=7);
    rig.run();
    rig.tell(DiskCommand::SyncLog(SHARD));
    let lost = catch_unwind(AssertUnwindSafe(|| rig.files.shared.guarded(|| panic!("planted"))));
    assert!(lost.is_err());
    let told = shown(rig.run());
    assert!(!told.is_empty() && told.iter().all(|event| event == "failed 6 Broken"), "{told:?}");
    rig.write(8..=8);
    rig.tell(DiskCommand::ReadLog { read: ReadId(4), shard: SHARD, from: 1, max_bytes: 9 });
    rig.tell(DiskCommand::InstallSnapshot { shard: ShardId(4), sequence: 3, bytes: content(3).into() });
    let told = shown(rig.run());
    assert_eq!(told, ["failed 6 Broken", "read 4 Fault", "saved 3 Err(Broken)"]);
}
