//! Metrics of a cluster: members, shards and their stages, changes and their fates, brokers and what was lost on the way to them.

use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::metrics::{MetricRegistry, ReasonLabel};
use vagn_nats::{Brokers, Loss};
use vagn_store::DepartedCounts;
use vagn_wire::Fate;

use super::news::EVENTS;
use super::picture::{Picture, STAGES, stage_name};

/// `shard="0"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabel {
    shard: u16,
}

/// `stage="caught_up"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

/// `fate="stored"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabel {
    fate: &'static str,
}

/// `state="heard"` or `"silent"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// `event="copy_begun"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: &'static str,
}

/// States of nodes.
const STATES: [&str; 2] = ["heard", "silent"];

type Level = Gauge<u64, AtomicU64>;

/// Metrics of a cluster. Clones share their values.
#[derive(Debug)]
pub struct ClusterMetrics {
    vehicles: Level,
    vehicles_refused: Counter,
    counts_departed: Level,
    counts_lost: Counter,
    members: Family<StateLabel, Level>,
    shards: Family<StageLabel, Level>,
    unowned: Level,
    rests_unread: Level,
    leaving: Level,
    applied: Family<ShardLabel, Level>,
    lag: Family<ShardLabel, Level>,
    changes: Family<FateLabel, Counter>,
    waiting: Level,
    under_way: Level,
    brokers: Level,
    brokers_behind: Level,
    streams_silent: Level,
    losses: Family<ReasonLabel, Counter>,
    events: Family<EventLabel, Counter>,
    before: Mutex<Before>,
}

/// Counts of the node of this run that are in the counters already.
#[derive(Debug, Default)]
struct Before {
    run: u64,
    fates: [u64; Fate::ALL.len()],
    refused: u64,
    counts_lost: u64,
    losses: [u64; Loss::ALL.len()],
}

impl ClusterMetrics {
    /// Registers the metrics.
    pub fn new(registry: &MetricRegistry) -> Self {
        let level = |name: &str, help: &str| registry.register(name, help, Level::default());
        let metrics = Self {
            vehicles: level("vehicles", "Vehicles known now, in the replicas on this node; those of mirrors are counted where their owners are"),
            vehicles_refused: registry.register(
                "vehicles_refused",
                "Reports of this node that shards shed, as they were of new vehicles beyond max_vehicles",
                Counter::default(),
            ),
            counts_departed: level(
                "seal_counts_departed",
                "Counts of sealed vehicles that were deleted or forgotten, by which replays of theirs are known, in the replicas on this node",
            ),
            counts_lost: registry.register(
                "seal_counts_lost",
                "Counts of sealed vehicles that were deleted or forgotten, lost beyond max_vehicles: replays of theirs are taken",
                Counter::default(),
            ),
            members: registry.register(
                "cluster_members",
                "Nodes of the cluster that this one knows, by whether they were heard lately; itself among them",
                Family::default(),
            ),
            shards: registry.register("cluster_replicas", "Replicas on this node by stage", Family::default()),
            unowned: level(
                "cluster_shards_unowned",
                "Shards that no node answers for with all they have; their reports wait, and fail after 5 s",
            ),
            rests_unread: level(
                "cluster_rests_unread",
                "Shards of which this node keeps what stood behind the damaged part of a log, and cannot read it",
            ),
            leaving: level(
                "cluster_leaving",
                "1 while this node gives its shards away to leave, and nothing else stands in its way in /readyz",
            ),
            applied: registry.register(
                "cluster_replica_applied",
                "Last entry of the stream that a replica on this node has on disk and shows",
                Family::default(),
            ),
            lag: registry.register(
                "cluster_replica_lag",
                "Entries by which a replica on this node is behind the owner that has most",
                Family::default(),
            ),
            changes: registry.register(
                "cluster_changes",
                "Changes that this node has sent to shards, by fate",
                Family::default(),
            ),
            waiting: level("cluster_changes_waiting", "Changes in the node that have no fate as yet"),
            under_way: level("cluster_reports_under_way", "Reports that wait for their fates from the shards"),
            brokers: level("cluster_brokers_connected", "Connections to brokers that stand, of two"),
            brokers_behind: level(
                "cluster_brokers_behind",
                "Brokers without a copy that keeps up of some stream that this node reads, as the leaders of streams tell",
            ),
            streams_silent: level(
                "cluster_streams_silent",
                "Streams that this node reads and for which no broker has answered for 15 s",
            ),
            losses: registry.register(
                "cluster_losses",
                "Requests to brokers and messages that were given up, by reason; a node asks again",
                Family::default(),
            ),
            events: registry.register(
                "cluster_events",
                "Events that the node told of, such as a copy or a shard that stopped",
                Family::default(),
            ),
            before: Mutex::default(),
        };
        metrics.begin();
        metrics
    }

    /// Every label is there from the start, so that a rate over it has no gap.
    fn begin(&self) {
        for state in STATES {
            drop(self.members.get_or_create(&StateLabel { state }));
        }
        STAGES.iter().for_each(|stage| drop(self.shards.get_or_create(&StageLabel { stage })));
        Fate::ALL
            .iter()
            .for_each(|fate| drop(self.changes.get_or_create(&FateLabel { fate: fate.as_str() })));
        Loss::ALL
            .iter()
            .for_each(|loss| drop(self.losses.get_or_create(&ReasonLabel { reason: loss.name() })));
        EVENTS.iter().for_each(|event| drop(self.events.get_or_create(&EventLabel { event })));
    }

    /// Counts an event.
    pub(super) fn happened(&self, event: &'static str) {
        self.events.get_or_create(&EventLabel { event }).inc();
    }

    /// Shows what waits at the courier.
    pub(super) fn show_under_way(&self, reports: usize) {
        self.under_way.set(reports as u64);
    }

    /// Shows the connections to the brokers, and counts what was lost on them.
    pub(super) fn show_brokers(&self, run: u64, brokers: &Brokers) {
        self.brokers.set(brokers.connections() as u64);
        let mut before = self.before(run);
        for (loss, before) in Loss::ALL.into_iter().zip(&mut before.losses) {
            let so_far = brokers.counts().of(loss);
            self.losses
                .get_or_create(&ReasonLabel { reason: loss.name() })
                .inc_by(so_far.saturating_sub(*before));
            *before = so_far;
        }
    }

    /// Shows the number of vehicles in the replicas here.
    pub(super) fn show_vehicles(&self, vehicles: usize) {
        self.vehicles.set(vehicles as u64);
    }

    /// Shows the counts of vehicles that left, of the replicas here, and counts those that they have lost.
    pub(super) fn show_departed(&self, run: u64, counts: DepartedCounts) {
        self.counts_departed.set(counts.kept as u64);
        let mut before = self.before(run);
        // Less than before: a replica has gone, or was begun anew.
        self.counts_lost.inc_by(counts.lost.saturating_sub(before.counts_lost));
        before.counts_lost = counts.lost;
    }

    /// Shows if the node leaves in order.
    pub(super) fn show_leaving(&self, leaves: bool) {
        self.leaving.set(u64::from(leaves));
    }

    /// Shows that nothing is known of a node. Counters stay.
    pub(super) fn show_none(&self) {
        let Self { vehicles, counts_departed, unowned, rests_unread, leaving, waiting, .. } = self;
        for level in [vehicles, counts_departed, unowned, rests_unread, leaving, waiting] {
            level.set(0);
        }
        for level in [&self.brokers, &self.brokers_behind, &self.streams_silent] {
            level.set(0);
        }
        for state in STATES {
            self.members.get_or_create(&StateLabel { state }).set(0);
        }
        for stage in STAGES {
            self.shards.get_or_create(&StageLabel { stage }).set(0);
        }
        self.applied.clear();
        self.lag.clear();
    }

    /// Shows a look at the node.
    pub(super) fn show(&self, run: u64, picture: &Picture) {
        let heard = picture.members.iter().filter(|member| member.is_heard).count();
        for (state, members) in STATES.into_iter().zip([heard, picture.members.len() - heard]) {
            self.members.get_or_create(&StateLabel { state }).set(members as u64);
        }
        let stages = || picture.shards.iter().filter_map(|shard| shard.own).map(|own| stage_name(own.stage));
        for stage in STAGES {
            let replicas = stages().filter(|other| *other == stage).count();
            self.shards.get_or_create(&StageLabel { stage }).set(replicas as u64);
        }
        self.unowned.set(picture.unowned().len() as u64);
        self.rests_unread.set(picture.shards.iter().filter(|shard| shard.is_rest_unread).count() as u64);
        self.brokers_behind.set(picture.copies.away.len() as u64);
        let silent = &picture.copies.silent;
        self.streams_silent.set(silent.shards.len() as u64 + u64::from(silent.trail));
        for shard in &picture.shards {
            let label = ShardLabel { shard: shard.shard.0 };
            match (shard.own, shard.lag()) {
                (Some(own), Some(lag)) => {
                    self.applied.get_or_create(&label).set(own.applied);
                    self.lag.get_or_create(&label).set(lag);
                }
                _ => {
                    self.applied.remove(&label);
                    self.lag.remove(&label);
                }
            }
        }
        self.waiting.set(picture.counts.waiting);
        let mut before = self.before(run);
        self.vehicles_refused.inc_by(picture.counts.refused.saturating_sub(before.refused));
        before.refused = picture.counts.refused;
        for ((fate, so_far), before) in Fate::ALL.iter().zip(picture.counts.fates).zip(&mut before.fates) {
            self.changes
                .get_or_create(&FateLabel { fate: fate.as_str() })
                .inc_by(so_far.saturating_sub(*before));
            *before = so_far;
        }
    }

    /// Returns what was counted of the node of this run.
    fn before(&self, run: u64) -> parking_lot::MutexGuard<'_, Before> {
        let mut before = self.before.lock();
        if before.run != run {
            *before = Before { run, ..Before::default() };
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::picture::ShardPicture;
    use vagn_cluster::{Counts, MemberView, NodeId, ShardId, ShardView, Stage, StreamId};
    use vagn_nats::{Copies, Missed};

    fn stored(so_far: u64) -> Picture {
        let mut counts = Counts { taken: so_far, ..Counts::default() };
        counts.fates[Fate::Stored as usize] = so_far;
        counts.refused = so_far;
        let copies = Copies {
            away: [("n3".to_owned(), Missed { shards: vec![0, 1], trail: true })].into(),
            silent: Missed { shards: vec![1], trail: true },
        };
        Picture { members: Vec::new(), shards: Vec::new(), is_known: false, counts, copies }
    }

    #[test]
    fn counters_go_on_when_the_node_is_started_anew() {
        let registry = MetricRegistry::new();
        let metrics = ClusterMetrics::new(&registry);
        for (run, so_far) in [(1, 3), (1, 7), (2, 0), (2, 5)] {
            metrics.show(run, &stored(so_far));
            // One replica fewer, once.
            for lost in [so_far, so_far / 2, so_far] {
                metrics.show_departed(run, DepartedCounts { kept: 4, lost });
            }
        }
        let page = registry.page();
        for line in [
            "vagn_cluster_changes_total{fate=\"stored\"} 12",
            "vagn_vehicles_refused_total 12",
            // Those of a replica that comes back count once more.
            "vagn_seal_counts_lost_total 21",
            "vagn_seal_counts_departed 4",
        ] {
            assert!(page.lines().any(|each| each == line), "{page}");
        }
        assert!(page.contains("vagn_cluster_losses_total{reason=\"no_answer\"} 0"), "{page}");
    }

    #[test]
    fn nothing_is_left_of_a_node_that_is_gone_but_its_counts() {
        let registry = MetricRegistry::new();
        let metrics = ClusterMetrics::new(&registry);
        let at_first = registry.page();
        let shard = ShardId(3);
        let own = ShardView {
            shard,
            stream: StreamId { shard, epoch: 1 },
            stage: Stage::CaughtUp,
            received: 9,
            applied: 9,
            tick: None,
        };
        let member = MemberView {
            node: NodeId(1),
            name: "a".into(),
            zone: None,
            version: 1,
            stores: true,
            leaves: false,
            silent_ms: 0,
            is_heard: true,
            stops: false,
            differs: false,
            is_twice: false,
        };
        let mut picture = stored(0);
        picture.counts.waiting = 4;
        picture.members.push(member);
        picture.shards.push(ShardPicture { shard, owners: Vec::new(), own: Some(own), is_rest_unread: true });
        metrics.show_vehicles(7);
        metrics.show(1, &picture);
        metrics.show_leaving(true);
        for line in [
            "vagn_vehicles 7",
            "vagn_cluster_replica_applied{shard=\"3\"} 9",
            "vagn_cluster_rests_unread 1",
            "vagn_cluster_leaving 1",
        ] {
            assert!(registry.page().lines().any(|each| each == line), "{line}: {}", registry.page());
        }
        metrics.show_none();
        assert_eq!(registry.page(), at_first);
    }

    #[test]
    fn a_count_that_runs_backwards_counts_nothing() {
        let registry = MetricRegistry::new();
        let metrics = ClusterMetrics::new(&registry);
        for so_far in [7, 3, 5] {
            metrics.show(1, &stored(so_far));
        }
        let page = registry.page();
        assert!(page.contains("vagn_cluster_changes_total{fate=\"stored\"} 9"), "{page}");
        assert!(page.contains("vagn_cluster_events_total{event=\"last_owner\"} 0"), "{page}");
    }
}
