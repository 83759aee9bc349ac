//! This node's part in calls for help on many machines.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Handle;
use vagn_cluster::trail::{TrailRefusal, TrailRepair};
use vagn_emergency::NodeLane;
use vagn_otp::{ChildSpec, Strategy, Supervisor};

use super::cluster::ClusterHandle;
use super::{Parts, kept};
use crate::cluster::trail::{
    TrailLink, TrailMetrics, TrailNews, TrailOutlook, TrailParts, TrailWatch, WatchParts, child,
};
use crate::control::{ClusterShown, ControlError, Problem};

/// What commands on this machine ask about the cluster.
pub(super) struct ShownCluster {
    cluster: ClusterHandle,
    watch: TrailWatch<NodeLane>,
    may_lead: bool,
    /// For waits.
    runtime: Handle,
}

/// Returns what is shown of the cluster, and the supervisor of the trail's driver.
pub(super) fn build(
    parts: &Parts,
    cluster: &ClusterHandle,
    lane: NodeLane,
) -> anyhow::Result<(ShownCluster, ChildSpec)> {
    let settings = &parts.settings;
    let may_lead = settings.cluster.roles()?.emergency;
    let metrics = Arc::new(TrailMetrics::new(&parts.metric_registry));
    let (link, news) = (TrailLink::default(), TrailNews::new(metrics.clone()));
    let shelf = cluster.shelf.clone();
    let name_of = move |node| shelf.name_of(node);
    let shelf = cluster.shelf.clone();
    let owners = move || shelf.latest()?.owners();
    let watch = TrailWatch::new(WatchParts {
        link: link.clone(),
        lane: lane.clone(),
        may_lead,
        news: news.clone(),
        metrics,
        outlook: TrailOutlook::new(parts.readiness.clone(), name_of),
        owners: Box::new(owners),
    });
    let thread = child(TrailParts {
        node: cluster.link.clone(),
        link,
        settings_hash: lane.settings_hash(),
        lane,
        may_lead,
        shards: settings.cluster.shards as u16,
        draw: || fastrand::u64(..),
        clock: parts.clock.clone(),
        news,
    });
    let limit = settings.hang_limit.0;
    let supervisor = Supervisor::new("calls", Strategy::OneForOne)
        .child(kept(thread.watchdog(limit)))
        .child(kept(watch.child().watchdog(limit)));
    let runtime = parts.emergency_runtime.clone();
    let shown = ShownCluster { cluster: cluster.clone(), watch, may_lead, runtime };
    Ok((shown, ChildSpec::supervisor(supervisor)))
}

impl ShownCluster {
    /// Says why the trail was not repaired, and what helps.
    fn why(&self, refusal: TrailRefusal) -> String {
        match refusal {
            TrailRefusal::Sound => {
                "the trail is not broken, as far as this node knows; if it was deleted just now, try again once \
                 /readyz warns of `calls for help, trail`"
                    .to_owned()
            },
            TrailRefusal::Unread => {
                "what this node has of the trail cannot be read; run this at another node".to_owned()
            }
            TrailRefusal::Unsaved => {
                "not all that the trail had is on the disk of this node; see to its disk, and try it again"
                    .to_owned()
            }
            TrailRefusal::HasMore(node) => {
                format!("node {} has more of the trail; run this there", self.cluster.shelf.name_of(node))
            }
            TrailRefusal::NoBrokers => {
                "the brokers did not do what is needed in time; try it again once they do".to_owned()
            }
            TrailRefusal::Overtaken => {
                "another node has begun it; `vagn cluster status` shows who leads".to_owned()
            }
        }
    }
}

impl ClusterShown for ShownCluster {
    fn status(&self) -> Option<Value> {
        let mut shown = self.cluster.status()?;
        let name_of = |node| self.cluster.shelf.name_of(node);
        shown["trail"] = self.watch.latest().map_or_else(|| json!({}), |trail| trail.json(name_of));
        Some(shown)
    }

    fn drain(&self) -> Result<(), ControlError> {
        self.cluster.drain()
    }

    fn repair(&self, shard: u16) -> Result<(), ControlError> {
        self.cluster.repair(shard)
    }

    fn lead(&self) -> Result<(), ControlError> {
        if !self.may_lead {
            let message =
                "this node has not the role `emergency`; ask one that has it, or give it with --role";
            return Err(ControlError::new(Problem::Refused, message));
        }
        self.watch.lead().map_err(|err| ControlError::new(Problem::Busy, format!("{err}; try it again")))
    }

    fn repair_trail(&self) -> Result<&'static str, ControlError> {
        // On a thread that may wait.
        match self.runtime.block_on(self.watch.repair()) {
            Ok(Ok(TrailRepair::Begun)) => {
                Ok("a new epoch of the trail is begun from what this node has; the others copy it")
            }
            Ok(Ok(TrailRepair::Copies)) => Ok(
                "the trail is sound, and this node copies the incidents of another one; what only it had is handed in",
            ),
            Ok(Err(refusal)) => Err(ControlError::new(Problem::Refused, self.why(refusal))),
            Err(err) => Err(ControlError::new(Problem::Busy, format!("{err}; try it again"))),
        }
    }
}
