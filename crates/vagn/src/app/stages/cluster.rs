//! This node's part in a fleet on many machines, in place of the storages.

use std::sync::Arc;

use serde_json::{Value, json};
use vagn_cluster::{Refusal, ShardId};
use vagn_emergency::LiveFleet;
use vagn_live::Positions;
use vagn_otp::{ChildSpec, Queue, Strategy, Supervisor};
use vagn_shard::files::FileWorkers;
use vagn_shard::{FleetShard, shard_of};
use vagn_store::Fleet;

use super::{DRAIN_WITHIN, Parts, kept};
use crate::app::WORK_NICE;
use crate::backup::NODE_DIR;
use crate::cluster::{
    ClusterMetrics, Courier, FileMetrics, News, NodeFiles, NodeLink, NodeParts, Onlookers, Outlook, Shelf,
    ShelfParts, Submission, children,
};
use crate::config::{Settings, without_credentials};
use crate::control::{ControlError, Problem};
use crate::odd::OddFleet;
use vagn_http::host;

/// The way to the cluster.
#[derive(Clone)]
pub(in crate::app) struct ClusterHandle {
    /// Takes reports.
    pub(super) reports: Queue<Submission>,
    /// Leads to the node.
    pub(in crate::app) link: NodeLink<FleetShard>,
    /// What is seen of the cluster.
    pub(in crate::app) shelf: Shelf,
    /// Hears of looks at the whole fleet.
    onlookers: Onlookers,
    news: News,
}

impl ClusterHandle {
    /// Notes that somebody looks at the whole fleet.
    pub(in crate::app) fn looked_at(&self) {
        if self.onlookers.note() {
            // At once: until all is here there is nothing to see.
            self.news.wake();
        }
    }

    /// Shows members, shards and brokers; `None` while the node does not run.
    pub(super) fn status(&self) -> Option<Value> {
        let mut shown = self.shelf.latest()?.json();
        let brokers = self.shelf.brokers().into_iter().flatten().map(|address| without_credentials(&address));
        shown["brokers"] = json!(brokers.collect::<Vec<_>>());
        shown["brokers_connected"] = json!(self.shelf.connections());
        Some(shown)
    }

    /// Has the node give away all its shards.
    pub(super) fn drain(&self) -> Result<(), ControlError> {
        let asked = self.link.handle().and_then(|handle| handle.leave());
        asked.map_err(|err| ControlError::new(Problem::Busy, format!("{err}; try it again")))
    }

    /// Begins a new epoch of a shard.
    pub(super) fn repair(&self, shard: u16) -> Result<(), ControlError> {
        let Some(shards) = self.link.shards() else {
            let message = "it is not known yet which shards there are; `vagn cluster status` shows them once it is: try it again then";
            return Err(ControlError::new(Problem::Busy, message));
        };
        if shard >= shards {
            let message = format!("there is no shard {shard}: they are numbered from 0 to {}", shards - 1);
            return Err(ControlError::new(Problem::Refused, message));
        }
        let asked = self.link.handle().and_then(|handle| handle.repair(ShardId(shard)));
        let comes = asked.map_err(|err| ControlError::new(Problem::Busy, format!("{err}; try it again")))?;
        // On a thread that may wait.
        match comes.blocking_recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refusal)) => {
                let message = format!("no new epoch of shard {shard} was begun: {}", why(refusal));
                Err(ControlError::new(Problem::Refused, message))
            }
            Err(_) => {
                let message = "the node of the service has ended meanwhile; `vagn cluster status` shows the epoch of the shard";
                Err(ControlError::new(Problem::Failed, message))
            }
        }
    }
}

/// Says why a repair was not made, and what helps.
fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => {
            "it is not known which nodes own it; try it again once `vagn cluster status` shows them"
        }
        Refusal::NoOwner => "no node that owns it is heard and has it; start its owners",
        Refusal::Behind => {
            "the owner that was to begin it is far behind, or has lost its disk, and another owner is named; start that one"
        }
        Refusal::LogUnread => {
            "the log of the owner that was to begin it could not be read to its end, and may be the only place of some reports; mend the disk, or run \
             the version that wrote the log, and start that service again"
        }
        Refusal::Busy => "too many repairs are under way; try it again",
        Refusal::NoBrokers => "the brokers did not make its stream; try it again once they do",
        Refusal::Begun => "another node has begun it; `vagn cluster status` shows what comes of it",
        Refusal::Late => {
            "the brokers did not take it into the record of assignment within 30 s; try it again"
        }
        Refusal::DiskFull => {
            "the disk of the owner that was to begin it is full; free some, and try it again"
        }
        Refusal::LogDamaged => {
            "a part of the log of the owner that was to begin it is damaged, and another owner is named, which may have all; see to it that all owners \
             run, and try it again"
        }
        Refusal::NotBroken => {
            "no node has stopped because of its stream, so nothing is to be repaired; `vagn cluster status` shows what its owners do"
        }
        Refusal::Silent => "the owner that has most of it was asked, and did not answer; try it again",
    }
}

/// Returns a fleet of all shards, of which those that are kept here will be shown.
pub(super) fn fleet(settings: &Settings) -> Fleet {
    Fleet::placed(settings.cluster.shards as usize, shard_of)
}

/// Returns the way to the cluster, and the supervisor of the node.
pub(super) fn build(
    parts: &Parts,
    fleet: &Arc<Fleet>,
    known: &Arc<LiveFleet>,
    odd: &OddFleet,
    positions: &Positions,
) -> anyhow::Result<(ClusterHandle, ChildSpec)> {
    let settings = &parts.settings;
    let cluster = settings.cluster.clone();
    let metrics = Arc::new(ClusterMetrics::new(&parts.metric_registry));
    let (link, news) = (parts.link.clone(), News::new(metrics.clone()));
    let reports = Queue::new(settings.pools.storage_mailbox as usize);
    let courier = Courier::new(reports.clone(), link.clone());
    let outlook = Outlook::new(parts.readiness.clone(), cluster.set.clone(), cluster.shards as u16);
    let onlookers = Onlookers::new(parts.clock.clone());
    let shelf = Shelf::new(ShelfParts {
        link: link.clone(),
        fleet: fleet.clone(),
        known: known.clone(),
        positions: positions.clone(),
        odd: odd.clone(),
        news: news.clone(),
        metrics,
        outlook: Arc::new(outlook),
        courier: courier.clone(),
        onlookers: onlookers.clone(),
    });
    let workers = FileWorkers::default();
    let files = FileMetrics::new(&parts.metric_registry, workers.clone());
    let node = NodeParts {
        name: cluster.node_name(&host::of_machine()),
        stores: cluster.roles()?.store,
        begin: settings.of_shards(cluster.shards).to_bytes(),
        settings_hash: settings.cluster_hash(),
        files: Some(NodeFiles {
            dir: settings.data_dir.join(NODE_DIR),
            free_floor_bytes: settings.free_floor_bytes,
            workers,
        }),
        draw: || fastrand::u64(..),
        clock: parts.clock.clone(),
        link: link.clone(),
        news: news.clone(),
        settings: cluster,
    };
    let limit = settings.hang_limit.0;
    let watched = |child: ChildSpec| kept(child.shutdown(DRAIN_WITHIN).watchdog(limit));
    let supervisor = Supervisor::new("cluster", Strategy::OneForOne)
        .children(children(node).map(|thread| watched(thread.nice(WORK_NICE))))
        .child(watched(shelf.child()))
        .child(watched(files.child()))
        .child(watched(courier.child()));
    Ok((ClusterHandle { reports, link, shelf, onlookers, news }, ChildSpec::supervisor(supervisor)))
}
