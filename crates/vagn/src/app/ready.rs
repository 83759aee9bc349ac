//! The moment at which the service says that it is ready.

use std::time::Duration;

use tokio::time::sleep;

use super::App;
use super::stages::cluster::ClusterHandle;
use crate::cluster::OBSTACLE;
use crate::cluster::registry::REGISTRY;
use crate::ops;

/// Pause between two looks whether the service is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Longest that a node of a cluster waits for brokers before it says that it is ready.
const BROKERS_WITHIN: Duration = Duration::from_secs(10);

impl App {
    /// Waits until the service is fit for every purpose: by its own account, by the state of all its parts, and because a
    /// question is answered.
    ///
    /// # Errors
    /// Says which setting is wrong, where only the start has told.
    pub(super) async fn ready(&self) -> Result<(), String> {
        if let Some(cluster) = &self.tree.cluster {
            return self.ready_in(cluster).await;
        }
        loop {
            self.readiness.ready().await;
            let report = ops::readiness_of(&self.readiness, &self.tree.root.processes());
            if report.ready && self.tree.queries.find("ready", |fleet| fleet.len()).await.is_ok() {
                return Ok(());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// As [`ready`](Self::ready) for a node of a cluster. One that takes calls for help is of use without brokers, so it does not wait
    /// for them for long.
    async fn ready_in(&self, cluster: &ClusterHandle) -> Result<(), String> {
        let patience = sleep(BROKERS_WITHIN);
        tokio::pin!(patience);
        loop {
            if let Some(why) = cluster.shelf.wrong_shards() {
                return Err(why);
            }
            let report = ops::readiness_of(&self.readiness, &self.tree.root.processes());
            let lacks_cluster =
                report.missing.keys().all(|name| [OBSTACLE, REGISTRY].contains(&name.as_str()));
            let is_late = patience.is_elapsed() && cluster.shelf.are_brokers_away();
            if report.ready || (is_late && lacks_cluster) {
                return Ok(());
            }
            tokio::select! {
                () = &mut patience, if !patience.is_elapsed() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }
}
