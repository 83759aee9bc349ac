//! The thread that drives the trail's part of a node, until it is told to stop. What crashes it costs no more than a kill of the process: its lane calls by
//! itself meanwhile, and the next run goes on from the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::info;
use vagn_cluster::NodeId;
use vagn_cluster::trail::{Duty, TrailSettings};
use vagn_flow::clock::Clock;
use vagn_nats::{TrailDriver, trail_bytes};
use vagn_otp::{ChildSpec, Failure, ThreadContext};
use vagn_shard::FleetShard;

use super::lane::Lane;
use super::link::TrailLink;
use super::news::TrailNews;
use crate::cluster::link::NodeLink;
use crate::cluster::node::drive;

/// Longest wait at a stop until the trail has the alarms that this node's doors took last. They are closed by then.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(1);

/// Longest wait at a stop until another node may lead.
const FAREWELL_WITHIN: Duration = Duration::from_millis(500);

/// Pause between two looks at a stop.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Parts of the thread.
pub struct TrailParts<L: Lane> {
    /// Leads to the node, whose connections are used.
    pub node: NodeLink<FleetShard>,
    /// Leads to the driver while it runs.
    pub link: TrailLink<L::Desk>,
    /// The emergency lane.
    pub lane: L,
    /// Hash of what must be equal on all nodes that lead.
    pub settings_hash: u64,
    /// It has the role `emergency`.
    pub may_lead: bool,
    /// Number of shards that is set, by which the room of the trail is measured.
    pub shards: u16,
    /// Draws a number that no other run has.
    pub draw: fn() -> u64,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Takes what the driver tells.
    pub news: TrailNews,
}

/// Returns the thread.
pub fn child<L: Lane>(parts: TrailParts<L>) -> ChildSpec {
    ChildSpec::thread("trail", move |ctx| parts.drive(&ctx))
}

impl<L: Lane> TrailParts<L> {
    fn drive(&self, ctx: &ThreadContext) -> Result<(), Failure> {
        let run = async {
            self.run().await;
            Ok(())
        };
        drive(ctx, run, self.say_farewell())
    }

    /// Drives over the connections of each node that begins, until the future is dropped. While there is none it drives on over those of the last one, so
    /// that its door forgets nothing.
    pub(super) async fn run(&self) {
        let (mut node, mut run) = self.node.next(0).await;
        loop {
            let bytes = trail_bytes(node.stream_bytes(), self.shards);
            let (clock, news, lane) = (self.clock.clone(), self.news.clone(), self.lane.clone());
            let (handle, driver) = TrailDriver::new(
                TrailSettings {
                    settings_hash: self.settings_hash,
                    may_lead: self.may_lead,
                    ..TrailSettings::new(NodeId(0), (self.draw)())
                },
                self.lane.open(),
                (node.brokers().clone(), bytes),
                Arc::new(move || clock.now_ms()),
                Box::new(move |happened| news.take(happened, |alarm| lane.subject(alarm))),
            );
            let _leading = self.link.lead(handle.clone());
            self.lane.connect(handle);
            info!(run, "calls for help go to the trail");
            (node, run) = tokio::select! {
                next = self.node.next(run) => next,
                () = driver.run() => unreachable!("its handle is led to"),
            };
        }
    }

    /// Lets the trail have what this node's doors took last, and another node lead.
    async fn say_farewell(&self) {
        self.news.stop();
        let Ok(trail) = self.link.handle() else { return };
        let handed_over = async {
            while self.lane.status().waiting > 0 {
                sleep(LOOK_EVERY).await;
            }
        };
        // What is left is called about by now, and kept for the next run.
        timeout(HANDED_OVER_WITHIN, handed_over).await.ok();
        if trail.say_farewell().is_err() {
            return;
        }
        let over = async {
            while trail.look(|node, now| node.duty(now) > Duty::Alone).await.unwrap_or(false) {
                sleep(LOOK_EVERY).await;
            }
        };
        // Without brokers nobody hears it. Then the others wait for 3 s.
        timeout(FAREWELL_WITHIN, over).await.ok();
    }
}
