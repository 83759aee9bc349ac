//! `vagn backup --nats`: copies a whole service that runs on many machines, of which `vagn restore` makes the data directory of one node that has all.
//!
//! For the time of the copy this process is a node of the cluster that stores nothing. First it copies the shards, as a node does whose live map somebody looks
//! at; then the incidents, by following the trail; then the registry. In this order, because the later refer to the earlier at most by ids, and what stands on the trail or in a shard was done under a
//! token or key that is in the registry of the copy. All that was answered before the command began is in each of them.

mod incidents;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio::time::Instant;
use vagn_cluster::{Node, ShardCopy};
use vagn_emergency::record::store;
use vagn_emergency::trail::Head;
use vagn_emergency::{DESK_DIR, copy_incidents};
use vagn_flow::clock::{Clock, SystemClock};
use vagn_flow::rfc3339::rfc3339;
use vagn_nats::Handle;
use vagn_registry::Registry;
use vagn_shard::FleetShard;
use vagn_shard::files::{CopyFiles, copy_names};
use vagn_store::disk::{Disk, RealDisk};
use vagn_store::{BackupWriter, CopiedShard, Interrupt, UncheckedBackup};

use super::guest::{self, Guest};
use super::shards;
use crate::backup::NODE_DIR;
use crate::cluster::NodeLink;
use crate::cluster::registry::{self, PROVEN_AFTER, TakesNothing};
use crate::control;

/// What has not happened where it fails.
const UNDONE: &str = "no copy was made";

/// A copy that is being made.
struct Making<'a> {
    writer: BackupWriter<'a>,
    files: CopyFiles,
    clock: Arc<dyn Clock>,
}

/// A copy that is written and was not read back, and the name of the data set of its shards.
pub(in crate::commands) struct Copied {
    pub(in crate::commands) backup: UncheckedBackup,
    pub(in crate::commands) data_set: String,
    pub(in crate::commands) shards: Vec<CopiedShard>,
}

/// Copies the service at these brokers to `dir`, which must be empty or not there.
///
/// # Errors
/// The directory cannot be used, or something cannot be copied. `dir` has no backup then.
pub(in crate::commands) fn copy(
    dir: &Path,
    nats: Option<String>,
    config: Option<&Path>,
    interrupt: Interrupt<'_>,
) -> anyhow::Result<Copied> {
    // The data directory that the settings name has no part in it.
    let settings = guest::load(None, nats, config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let writer = BackupWriter::begin(Arc::new(RealDisk), dir, clock.now_ms(), interrupt)?;
    let data_set = settings.cluster.set.clone();
    let files = CopyFiles::begin(Arc::new(RealDisk), &writer.data_dir().join(NODE_DIR), &data_set)?;
    let partitions = settings.partitions;
    let guest = Guest { settings, command: "backup", undone: UNDONE };
    let making = Making { writer, files, clock: clock.clone() };
    let link = NodeLink::default();
    let made = guest.stay_by(&link, clock, async |handle| {
        let shards = making.shards(handle).await?;
        let head = making.incidents(handle, shards.len() as u16).await?;
        making.registry(&link).await?;
        making.record(handle).await?;
        Ok((shards, head))
    });
    let (mut shards, head) = made.inspect_err(|_| making.undo())?;
    shards.sort_unstable_by_key(|shard| shard.shard);
    let Making { mut writer, .. } = making;
    shards.iter().for_each(|shard| writer.note_shard(*shard));
    writer.note_trail(head.to_string());
    let of_node = copy_names(shards.len() as u16).map(|name| format!("{NODE_DIR}/{name}"));
    let others = [(DESK_DIR, store::FILE), (Registry::COPY_DIR, Registry::FILE)];
    let others = others.map(|(dir, file)| format!("{dir}/{file}"));
    of_node.chain(others).try_for_each(|name| writer.adopt(&name))?;
    let backup = writer.close_new((partitions > 0).then_some(partitions), fastrand::u64(..))?;
    Ok(Copied { backup, data_set, shards })
}

impl Making<'_> {
    /// Copies all shards, each as it is at a moment of its own.
    async fn shards(&self, handle: &Handle<FleetShard>) -> anyhow::Result<Vec<CopiedShard>> {
        let mut copied = Vec::new();
        shards::each(handle, UNDONE, Node::copied, |copy: ShardCopy| {
            let shard = copy.shard.0;
            self.writer.check_room(copy.bytes.len() as u64)?;
            self.files.put(&copy).with_context(|| format!("copy shard {shard}"))?;
            let ShardCopy { epoch, sequence: entry, time_ms, .. } = copy;
            eprintln!("copied shard {shard} up to entry {entry} of epoch {epoch}, {}", rfc3339(time_ms));
            copied.push(CopiedShard { shard, epoch, entry, time_ms });
            Ok(())
        })
        .await?;
        Ok(copied)
    }

    /// Copies all incidents, and returns the head of their trail.
    async fn incidents(&self, handle: &Handle<FleetShard>, shards: u16) -> anyhow::Result<Head> {
        let dir = self.make_dir(DESK_DIR)?;
        let copy = copy_incidents(&dir, self.clock.now_ms()).context("begin the copy of the incidents")?;
        incidents::copied(handle, shards, &copy, self.clock.clone()).await?;
        let head = copy.close().await.context("read the trail in the copy")?;
        eprintln!("copied the incidents, with their trail up to {head}");
        Ok(head)
    }

    /// Copies the registry.
    async fn registry(&self, link: &NodeLink<FleetShard>) -> anyhow::Result<()> {
        self.make_dir(Registry::COPY_DIR)?;
        // What is wrapped stays so.
        let (copy, _) = control::open_copy(self.writer.data_dir(), None, Arc::new(TakesNothing))?;
        let proven = Instant::now() + PROVEN_AFTER;
        let source = registry::Way(link.clone());
        registry::copy(&source, &copy, &self.clock, proven)
            .await
            .with_context(|| format!("{UNDONE}: copy devices, tokens and shares"))?;
        eprintln!("copied devices, tokens and shares");
        Ok(())
    }

    /// Copies the record of assignment, last: a shard whose epoch has changed since it was copied does not fit it, which the check finds.
    async fn record(&self, handle: &Handle<FleetShard>) -> anyhow::Result<()> {
        let record = handle.look(Node::copied_record).await.ok().flatten();
        let record = record.with_context(|| format!("{UNDONE}: the node of the command has ended"))?;
        self.files.put_record(&record).context("copy the record of assignment")
    }

    /// Removes what was made before anything was copied, as where no broker answers, so that the command can be run again as it is.
    fn undo(&self) {
        let data = self.writer.data_dir();
        let is_bare = std::fs::read_dir(data.join(NODE_DIR)).is_ok_and(|files| files.count() == 1);
        if is_bare {
            // Else the next try says that it is to be removed.
            RealDisk.remove_dir(data).ok();
        }
    }

    fn make_dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let dir = self.writer.data_dir().join(name);
        RealDisk.create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(dir)
    }
}

/// Says what a copy has of a shard.
pub(in crate::commands) fn line(shard: &CopiedShard) -> String {
    let CopiedShard { shard, epoch, entry, time_ms } = shard;
    format!("shard {shard} epoch {epoch} entry {entry} time {}\n", rfc3339(*time_ms))
}
