//! The thread of the driver and the watch, with a lane that has nothing to do.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::time::sleep;
use vagn_cluster::trail::{
    Agreement, Alarm, AlarmId, Clocks, DeedId, DeedOutcome, DeedTaken, DeskState, Draft, Duty, Taken, Term,
    TrailEvent, TrailView,
};
use vagn_cluster::{Moment, NodeId, Stop};
use vagn_flow::clock::ManualClock;
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::readiness::Readiness;
use vagn_nats::{Office, OfficeCommand, TrailHandle};
use vagn_otp::{Strategy, Supervisor};

use super::metrics::TrailMetrics;
use super::watch::Seen;
use super::*;
use crate::cluster::link::NodeLink;
use crate::cluster::link::tests::idle_node;

/// A desk that takes nothing.
struct NoDesk;

impl DeskState for NoDesk {
    fn recall(&mut self, _: Option<RangeInclusive<u64>>) {}

    fn take(&mut self, _: &Alarm) -> Taken {
        Taken::NoRoom
    }

    fn deed(&mut self, _: DeedId, _: &[u8]) -> Result<DeedTaken, Vec<u8>> {
        Err(Vec::new())
    }

    fn draft(&mut self) -> Option<Draft> {
        None
    }

    fn recorded(&mut self, _: u64) {}

    fn saved(&mut self, _: u64) {}

    fn release(&mut self, _: AlarmId) {}

    fn set_duty(&mut self, _: Duty) {}

    fn stand_down(&mut self) {}
}

/// An office that writes down what it is asked for.
struct Notes {
    asked: Arc<Mutex<Vec<String>>>,
    events: VecDeque<TrailEvent>,
    crashes: bool,
}

impl Office for Notes {
    type Desk = NoDesk;

    fn carry_out(&mut self, command: OfficeCommand) {
        let said = match command {
            OfficeCommand::Keep { alarm, .. } => format!("keep {}", alarm.0),
            OfficeCommand::CallAlone { alarm, .. } => format!("call {}", alarm.0),
            _ => return,
        };
        self.asked.lock().push(said);
    }

    fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<TrailEvent> {
        assert!(!self.crashes, "the office is made to crash");
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn act(&mut self, _: &mut NoDesk, _: Duty, _: Moment) -> bool {
        false
    }
}

/// A lane whose first offices crash.
#[derive(Clone, Default)]
struct TestLane {
    opened: Arc<AtomicUsize>,
    crashes: usize,
    connected: Arc<Mutex<Vec<TrailHandle<NoDesk>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    status: Arc<Mutex<DeskStatus>>,
}

impl Lane for TestLane {
    type Office = Notes;
    type Desk = NoDesk;

    fn open(&self) -> (NoDesk, Notes) {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let events = VecDeque::from([TrailEvent::Restored(None)]);
        (NoDesk, Notes { asked: self.asked.clone(), events, crashes: number < self.crashes })
    }

    fn connect(&self, trail: TrailHandle<NoDesk>) {
        self.connected.lock().push(trail);
    }

    fn status(&self) -> DeskStatus {
        self.status.lock().clone()
    }

    fn subject(&self, alarm: AlarmId) -> AlarmSubject {
        AlarmSubject { incident_id: Some(alarm.0.to_string()), vehicle_id: Some("bus 7".into()) }
    }
}

impl TestLane {
    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

fn news() -> TrailNews {
    TrailNews::new(Arc::new(TrailMetrics::new(&MetricRegistry::new())))
}

fn parts(node: &NodeLink<vagn_shard::FleetShard>, lane: &TestLane) -> TrailParts<TestLane> {
    TrailParts {
        node: node.clone(),
        link: TrailLink::default(),
        lane: lane.clone(),
        settings_hash: 7,
        may_lead: true,
        shards: 8,
        draw: || fastrand::u64(..),
        clock: Arc::new(ManualClock::at(0)),
        news: news(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_driver_is_made_anew_over_the_connections_of_each_node_and_drives_on_without_one() {
    let (node, lane) = (NodeLink::default(), TestLane::default());
    let parts = parts(&node, &lane);
    let link = parts.link.clone();
    let mut run = Box::pin(parts.run());
    assert!((&mut run).now_or_never().is_none());
    assert!(lane.opened() == 0 && link.handle().is_err(), "there are no connections");
    let (_first, first_leads) = idle_node(&node);
    assert!((&mut run).now_or_never().is_none());
    assert_eq!((lane.opened(), lane.connected.lock().len()), (1, 1));
    drop(first_leads);
    let called = async {
        link.handle().unwrap().alarm(AlarmId(7), vec![1]).unwrap();
        while lane.asked.lock().len() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = &mut run => unreachable!("it goes on for ever"),
        () = called => {}
    }
    assert_eq!(*lane.asked.lock(), ["keep 7", "call 7"], "while there is no node");
    let (_second, _leads) = idle_node(&node);
    assert!((&mut run).now_or_never().is_none());
    assert_eq!((lane.opened(), lane.connected.lock().len()), (2, 2));
    assert!(lane.connected.lock()[0].has_ended() && !lane.connected.lock()[1].has_ended());
    drop(run);
    assert!(link.handle().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_office_starts_the_driver_anew_and_leaves_the_node_alone() {
    let node = NodeLink::default();
    let lane = TestLane { crashes: 2, ..TestLane::default() };
    let parts = parts(&node, &lane);
    let link = parts.link.clone();
    let (_driver, _leads) = idle_node(&node);
    let child = child(parts).backoff(Duration::from_millis(1), Duration::from_millis(5));
    let root = Supervisor::new("test", Strategy::OneForOne).child(child).start().await.unwrap();
    let person = async || link.handle().ok()?.deed(vec![1]).await.ok();
    while person().await.is_none() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(lane.opened(), 3);
    assert_eq!(person().await, Some(DeedOutcome::Unavailable), "no node leads without brokers");
    assert!(node.handle().is_ok_and(|node| !node.has_ended()));
    root.stop().await;
    assert!(link.handle().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_ends_late_takes_the_way_to_the_next_one_not_away() {
    let (node, lane) = (NodeLink::default(), TestLane::default());
    let (first, second) = (parts(&node, &lane), parts(&node, &lane));
    let link = first.link.clone();
    let (_driver, _leads) = idle_node(&node);
    let mut one = Box::pin(first.run());
    assert!((&mut one).now_or_never().is_none());
    let second = TrailParts { link: link.clone(), ..second };
    let mut two = Box::pin(second.run());
    assert!((&mut two).now_or_never().is_none());
    drop(one);
    assert!(link.handle().is_ok());
    drop(two);
    assert!(link.handle().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_look_shows_the_lane_and_the_silence_whether_the_driver_runs_or_not() {
    let (readiness, registry) = (Arc::new(Readiness::default()), MetricRegistry::new());
    let metrics = Arc::new(TrailMetrics::new(&registry));
    let lane = TestLane::default();
    *lane.status.lock() = DeskStatus {
        waiting: 3,
        without_room: 1,
        late: 2,
        kept: 2,
        calling_alone: 1,
        ..DeskStatus::default()
    };
    let watch = TrailWatch::new(WatchParts {
        link: TrailLink::default(),
        lane,
        may_lead: true,
        news: TrailNews::new(metrics.clone()),
        metrics,
        outlook: TrailOutlook::new(readiness.clone(), |_| String::new()),
        owners: Box::new(|| None),
    });
    assert!(watch.latest().is_none() && watch.lead().is_err());
    let mut seen = Seen::default();
    watch.look(&mut seen).await;
    let warned = |name: &str| readiness.report().warnings.contains_key(&format!("calls for help, {name}"));
    assert_eq!(["leader", "room", "record"].map(warned), [false, true, true], "brokers may have an election");
    sleep(Duration::from_secs(11)).await;
    watch.look(&mut seen).await;
    let report = readiness.report();
    assert!(report.ready && report.can_take_alarms, "{report:?}");
    let warned = &report.warnings["calls for help, leader"];
    assert!(warned.contains("no leader was heard for 11 s"), "{report:?}");
    let page = registry.page();
    for line in [
        "vagn_cluster_trail_leads 0",
        "vagn_cluster_trail_silent_seconds 11.0",
        "vagn_cluster_clock_ahead_seconds 0.0",
        "vagn_cluster_trail_alarms_waiting 3",
        "vagn_cluster_trail_alarms_without_room 1",
        "vagn_cluster_trail_alarms_late 2",
        "vagn_cluster_trail_alarms_kept 2",
        "vagn_cluster_trail_alarms_called_alone 1",
        "vagn_cluster_trail_events_total{event=\"full\"} 0",
    ] {
        assert!(page.lines().any(|each| each == line), "{line}: {page}");
    }
}

fn picture(view: TrailView, silent_s: u64) -> TrailPicture {
    let desk = DeskStatus::default();
    TrailPicture { view: Some(view), silence: Duration::from_secs(silent_s), desk, may_lead: true }
}

fn view() -> TrailView {
    TrailView {
        trail: None,
        received: 9,
        running_hash: u64::MAX,
        unsaved: 0,
        lacks_copy: false,
        saved: 9,
        has_rest: false,
        stopped: None,
        term: Term(4),
        led_ms: Some(7),
        leader: Some(NodeId(2)),
        differs: false,
        agreement: Agreement { alike: 2, others: 1, known: Some(3) },
        duty: Duty::Standby,
        waiting: 0,
        unrecorded: 0,
        clocks: Clocks::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn entries_that_count_for_nothing_are_no_sign_of_a_leader() {
    let mut seen = Seen::default();
    let none = TrailView { led_ms: None, ..view() };
    sleep(Duration::from_secs(6)).await;
    assert_eq!(seen.silence(Some(&none)), Duration::from_secs(6), "what its store has is of an earlier run");
    assert_eq!(seen.silence(Some(&view())), Duration::ZERO);
    sleep(Duration::from_secs(6)).await;
    for view in [Some(&TrailView { received: 90, ..view() }), Some(&none), None] {
        assert_eq!(seen.silence(view), Duration::from_secs(6), "{view:?}");
    }
    assert_eq!(seen.silence(Some(&TrailView { led_ms: Some(6_007), ..view() })), Duration::ZERO);
}

#[test]
fn a_leader_is_named_while_it_is_heard_and_the_trail_is_followed() {
    let leader =
        |view, silent_s| picture(view, silent_s).json(|node| format!("node-{}", node.0))["leader"].clone();
    assert_eq!(leader(view(), 1), "node-2");
    assert!(leader(view(), 5).is_null(), "it may be gone");
    assert!(leader(TrailView { stopped: Some(Stop::StreamGone), ..view() }, 1).is_null());
    let shown = picture(TrailView { duty: Duty::Full, ..view() }, 1).json(|_| String::new());
    assert!(shown["leads"] == true && shown["duty"] == "full", "{shown}");
    assert_eq!(shown["running_hash"], "ffffffffffffffff");
    assert_eq!(shown["agreement"], serde_json::json!({"alike": 2, "others": 1, "known": 3}));
}

#[test]
fn warnings_come_and_go() {
    let readiness = Arc::new(Readiness::default());
    let outlook = TrailOutlook::new(readiness.clone(), |node| format!("node-{}", node.0));
    let check = |picture: &TrailPicture, expected: &[&str]| {
        outlook.tell(picture);
        let report = readiness.report();
        let names: Vec<_> =
            report.warnings.keys().map(|name| name.trim_start_matches("calls for help, ")).collect();
        assert_eq!(names, expected);
        assert!(report.ready && report.can_take_alarms);
    };
    check(&picture(TrailView { differs: true, ..view() }, 10), &["leader", "settings"]);
    let settings = readiness.report().warnings["calls for help, settings"].clone();
    assert!(settings.contains("(2 of 3 that are known do)") && settings.contains("(1 do)"), "{settings}");
    let never = TrailPicture { may_lead: false, ..picture(TrailView { differs: true, ..view() }, 0) };
    check(&never, &["settings"]);
    let settings = readiness.report().warnings["calls for help, settings"].clone();
    assert!(settings.contains("would call others") && !settings.contains("cluster lead"), "{settings}");
    for (stop, helps) in [(Stop::StreamAnew, true), (Stop::StreamGone, true), (Stop::EntryDamaged, false)] {
        check(&picture(TrailView { stopped: Some(stop), ..view() }, 60), &["trail"]);
        let why = readiness.report().warnings["calls for help, trail"].clone();
        assert_eq!(why.contains("`vagn cluster repair --trail`"), helps, "{why}");
    }
    let clocks = Clocks { ahead_ms: -40, wrong: Some((NodeId(3), -86_400_000)) };
    check(&picture(TrailView { clocks, ..view() }, 0), &["clock"]);
    let clock = readiness.report().warnings["calls for help, clock"].clone();
    assert!(clock.contains("node node-3 is 86400 s behind those of most nodes"), "{clock}");
    let faults = DeskStatus {
        store_fault: Some("full".into()),
        kept_fault: Some("full".into()),
        ..DeskStatus::default()
    };
    check(&TrailPicture { desk: faults, ..picture(view(), 0) }, &["alarms", "incidents"]);
    check(&picture(view(), 9), &[]);
}
