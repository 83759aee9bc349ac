//! Metrics of calls for help on many machines: who leads, and what is not recorded.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::metrics::MetricRegistry;

use super::news::EVENTS;
use super::picture::TrailPicture;

/// `event="led"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: &'static str,
}

type Level = Gauge<u64, AtomicU64>;

/// Metrics of calls for help on many machines.
#[derive(Debug)]
pub struct TrailMetrics {
    leads: Level,
    silent: Gauge<f64, AtomicU64>,
    clock_ahead: Gauge<f64, AtomicU64>,
    stopped: Level,
    differs: Level,
    unsaved: Level,
    unrecorded: Level,
    waiting: Level,
    without_room: Level,
    late: Level,
    kept: Level,
    calling_alone: Level,
    events: Family<EventLabel, Counter>,
}

impl TrailMetrics {
    /// Registers the metrics.
    pub fn new(registry: &MetricRegistry) -> Self {
        let level = |name: &str, help: &str| registry.register(name, help, Level::default());
        let metrics = Self {
            leads: level("cluster_trail_leads", "1 while this node leads calls for help"),
            silent: registry.register(
                "cluster_trail_silent_seconds",
                "Time since an entry of a leader of calls for help came to this node; a leader writes one each second",
                Gauge::default(),
            ),
            stopped: level(
                "cluster_trail_stopped",
                "1 while this node does not follow the trail of calls for help any more, as that is broken",
            ),
            clock_ahead: registry.register(
                "cluster_clock_ahead_seconds",
                "Time by which the clock of this node is ahead of the one in the middle of all nodes that it hears",
                Gauge::default(),
            ),
            differs: level(
                "cluster_trail_settings_differ",
                "1 while the settings for calls for help of this node differ from those of the one that leads, or led last",
            ),
            unsaved: level(
                "cluster_trail_groups_unsaved",
                "Groups of changes of incidents that came from the trail and are not in the incident store of this node",
            ),
            unrecorded: level(
                "cluster_trail_alarms_unrecorded",
                "Alarms at the desk of this node, which leads, that the trail does not have yet",
            ),
            waiting: level(
                "cluster_trail_alarms_waiting",
                "Alarms that this node's doors took and that the trail does not have yet",
            ),
            without_room: level(
                "cluster_trail_alarms_without_room",
                "Of the alarms that wait for the trail, those that a door has called about and for which the leader has no room",
            ),
            late: level(
                "cluster_trail_alarms_late",
                "Of the alarms that wait for the trail, the others that have waited for 10 s",
            ),
            kept: level("cluster_trail_alarms_kept", "Of the alarms that wait for the trail, those on the disk of this node"),
            calling_alone: level(
                "cluster_trail_alarms_called_alone",
                "Alarms about which this node calls by itself now, as no leader has recorded them",
            ),
            events: registry.register(
                "cluster_trail_events",
                "Events that the driver of the trail told of, such as a call that a door made by itself",
                Family::default(),
            ),
        };
        // Every label is there from the start, so that a rate over it has no gap.
        EVENTS.iter().for_each(|event| drop(metrics.events.get_or_create(&EventLabel { event })));
        metrics
    }

    /// Counts an event.
    pub(super) fn happened(&self, event: &'static str) {
        self.events.get_or_create(&EventLabel { event }).inc();
    }

    /// Shows a look.
    pub(super) fn show(&self, picture: &TrailPicture) {
        let view = picture.view;
        self.leads.set(picture.leads().into());
        self.silent.set(picture.silence.as_secs_f64());
        self.clock_ahead.set(view.map_or(0.0, |view| view.clocks.ahead_ms as f64 / 1e3));
        self.stopped.set(view.is_some_and(|view| view.stopped.is_some()).into());
        self.differs.set(view.is_some_and(|view| view.differs).into());
        self.unsaved.set(view.map_or(0, |view| view.unsaved as u64));
        self.unrecorded.set(view.map_or(0, |view| view.unrecorded as u64));
        self.waiting.set(picture.desk.waiting as u64);
        self.without_room.set(picture.desk.without_room as u64);
        self.late.set(picture.desk.late as u64);
        self.kept.set(picture.desk.kept as u64);
        self.calling_alone.set(picture.desk.calling_alone as u64);
    }
}
