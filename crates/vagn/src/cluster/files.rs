//! Metrics of the node's files: what they take on the disk, shard by shard, and what was done and found there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::sleep;
use vagn_cluster::ShardId;
use vagn_flow::metrics::MetricRegistry;
use vagn_otp::{ChildSpec, Failure, TaskContext};
use vagn_shard::files::{FileCounts, FileWorkers, FilesView};

/// Pause between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabel {
    shard: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: &'static str,
}

/// What is counted, in the order of [`counted`].
const EVENTS: [&str; 9] =
    ["record", "append", "sync", "snapshot", "trimmed", "full", "broken", "damaged", "note_failed"];

fn counted(counts: &FileCounts) -> [u64; EVENTS.len()] {
    [
        counts.records(),
        counts.appends(),
        counts.syncs(),
        counts.snapshots(),
        counts.trimmed(),
        counts.full(),
        counts.broken(),
        counts.damaged(),
        counts.notes_failed(),
    ]
}

/// Metrics of the node's files. Clones share their values.
#[derive(Clone)]
pub struct FileMetrics {
    workers: FileWorkers,
    log_bytes: Family<ShardLabel, Gauge<u64, AtomicU64>>,
    snapshot_bytes: Family<ShardLabel, Gauge<u64, AtomicU64>>,
    events: Family<EventLabel, Counter>,
    before: Arc<Mutex<Before>>,
}

/// Counts that are in the counters already, and shards that are shown.
#[derive(Default)]
struct Before {
    files: Option<FilesView>,
    counts: [u64; EVENTS.len()],
    shards: BTreeSet<ShardId>,
}

impl FileMetrics {
    /// Registers the metrics of the files that these threads work on.
    pub fn new(registry: &MetricRegistry, workers: FileWorkers) -> Self {
        let bytes = |name: &str, help: &str| registry.register(name, help, Family::default());
        let metrics = Self {
            workers,
            log_bytes: bytes(
                "cluster_shard_log_bytes",
                "Bytes of the log of a replica on this node; what owners have synced is trimmed",
            ),
            snapshot_bytes: bytes(
                "cluster_shard_snapshot_bytes",
                "Bytes of the content in the snapshot of a replica on this node",
            ),
            events: registry.register(
                "cluster_shard_files",
                "Events in the files of all replicas on this node: records and the appends that wrote them, syncs, snapshots, \
                 trimmed segments; full and broken are writes and syncs that failed, damaged are files that could not be read, at \
                 the start or later",
                Family::default(),
            ),
            before: Arc::default(),
        };
        // Every label is there from the start, so that a rate over it has no gap.
        EVENTS.iter().for_each(|event| drop(metrics.events.get_or_create(&EventLabel { event })));
        metrics
    }

    /// Returns the child that looks at the files.
    pub fn child(&self) -> ChildSpec {
        let metrics = self.clone();
        ChildSpec::task("shard-metrics", move |ctx| {
            let metrics = metrics.clone();
            async move { metrics.run(&ctx).await }
        })
    }

    async fn run(&self, ctx: &TaskContext) -> Result<(), Failure> {
        ctx.ready();
        loop {
            ctx.beat().await;
            self.show();
            tokio::select! {
                () = ctx.stopping() => return Ok(()),
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Shows the files as they are now; as they were where none are open.
    fn show(&self) {
        let Some(files) = self.workers.view() else { return };
        let read = files.read(|counts, _| counted(counts)).zip(files.sizes());
        let Some((counts, sizes)) = read else { return };
        let mut before = self.before.lock();
        if !before.files.as_ref().is_some_and(|before| before.is_same(&files)) {
            // The node was started anew, and its files count from zero.
            (before.files, before.counts) = (Some(files), Default::default());
        }
        for ((event, so_far), before) in EVENTS.into_iter().zip(counts).zip(&mut before.counts) {
            self.events.get_or_create(&EventLabel { event }).inc_by(so_far - *before);
            *before = so_far;
        }
        let now: BTreeSet<_> = sizes.iter().map(|sizes| sizes.shard).collect();
        for gone in std::mem::replace(&mut before.shards, now.clone()).difference(&now) {
            let label = ShardLabel { shard: gone.0 };
            self.log_bytes.remove(&label);
            self.snapshot_bytes.remove(&label);
        }
        for sizes in sizes {
            let label = ShardLabel { shard: sizes.shard.0 };
            self.snapshot_bytes.get_or_create(&label).set(sizes.snapshot_bytes);
            // As it was, while a thread is at work on the log.
            if let Some(bytes) = sizes.log_bytes {
                self.log_bytes.get_or_create(&label).set(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use vagn_cluster::{Disk, DiskCommand, LogRecord};
    use vagn_shard::files::{FileWorker, FilesSettings, ShardFiles};
    use vagn_store::disk::RealDisk;

    const SHARD: ShardId = ShardId(3);

    fn work(workers: &FileWorkers) {
        while FileWorker::all().any(|worker| workers.run(worker, Duration::ZERO)) {}
    }

    fn open(dir: &std::path::Path, workers: &FileWorkers) -> ShardFiles {
        let settings = FilesSettings { free_floor_bytes: 0, ..FilesSettings::new("fleet") };
        let files = ShardFiles::open(Arc::new(RealDisk), dir, settings, workers).unwrap();
        work(workers);
        files
    }

    #[test]
    fn sizes_and_counts_are_shown_and_counts_go_on_when_the_node_is_started_anew() {
        let (dir, registry, workers) =
            (tempfile::tempdir().unwrap(), MetricRegistry::new(), FileWorkers::default());
        let metrics = FileMetrics::new(&registry, workers.clone());
        let has = |line: &str| {
            let page = registry.page();
            assert!(page.lines().any(|each| each == line), "{line} in {page}");
        };
        metrics.show();
        has("vagn_cluster_shard_files_total{event=\"damaged\"} 0");

        let mut files = open(&dir.path().join("cluster"), &workers);
        let bytes: Arc<[u8]> = Arc::from(&b"content"[..]);
        files.carry_out(DiskCommand::InstallSnapshot { shard: SHARD, sequence: 4, bytes });
        work(&workers);
        let record = LogRecord { sequence: 5, time_ms: 0, bytes: b"entry".to_vec().into() };
        files.carry_out(DiskCommand::WriteLog { shard: SHARD, records: vec![record] });
        files.carry_out(DiskCommand::SyncLog(SHARD));
        work(&workers);
        for _ in 0..2 {
            metrics.show();
            has("vagn_cluster_shard_snapshot_bytes{shard=\"3\"} 7");
            has("vagn_cluster_shard_files_total{event=\"record\"} 1");
            has("vagn_cluster_shard_files_total{event=\"sync\"} 1");
        }
        let shown = registry.page();
        let log =
            shown.lines().find_map(|line| line.strip_prefix("vagn_cluster_shard_log_bytes{shard=\"3\"} "));
        assert!(log.is_some_and(|bytes| bytes.parse::<u64>().unwrap() > 5), "{shown}");

        drop(files);
        let mut files = open(&dir.path().join("cluster"), &workers);
        files.carry_out(DiskCommand::DropShard(SHARD));
        work(&workers);
        files.carry_out(DiskCommand::InstallSnapshot {
            shard: ShardId(2),
            sequence: 9,
            bytes: Arc::from(&b"a"[..]),
        });
        work(&workers);
        metrics.show();
        has("vagn_cluster_shard_files_total{event=\"snapshot\"} 2");
        has("vagn_cluster_shard_snapshot_bytes{shard=\"2\"} 1");
        assert!(!registry.page().contains("shard=\"3\""), "{}", registry.page());
    }
}
