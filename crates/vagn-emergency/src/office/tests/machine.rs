//! A node as it is: its actors, and the driver of the trail over brokers that may be away.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinHandle;
use vagn_cluster::NodeId;
use vagn_cluster::trail::{TrailSettings, TrailView};
use vagn_flow::batch::Batch;
use vagn_flow::clock::SystemClock;
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::readiness::Readiness;
use vagn_flow::receipt::Answer;
use vagn_flow::trust::Trust;
use vagn_nats::{Brokers, Options, TrailDriver, TrailHandle};
use vagn_otp::{Fault, Root, Strategy, Supervisor, Topic};
use vagn_wire::Report;

use crate::metrics::EmergencyMetrics;
use crate::rules::Rules;
use crate::tests::setup::{TestLane, not_yet, now_ms};
use crate::tests::target::TestTarget;
use crate::{EmergencyHandle, NodeLane, Parts, Seeds, Targets, TrailDesk, build_node};

/// Where no broker is.
pub(super) const NOWHERE: &[&str] = &["nats://127.0.0.1:1"];

/// Room of the stream.
const ROOM: u64 = 64 << 20;

pub(super) struct Machine {
    pub(super) id: u64,
    pub(super) handle: EmergencyHandle,
    pub(super) lane: NodeLane,
    pub(super) trail: TrailHandle<TrailDesk>,
    lanes: TestLane,
    driver: Option<JoinHandle<()>>,
}

#[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

impl Machine {
    /// Starts a node that keeps its files in `dir`.
    pub(super) async fn start(
        dir: &Path,
        target: &TestTarget,
        id: u64,
        brokers: &[impl AsRef<str>],
        set: &str,
    ) -> Self {
        Self::start_with(dir, target.target(8), id, brokers, set).await
    }

    /// Starts such a node with these targets.
    pub(super) async fn start_with(
        dir: &Path,
        targets: Targets,
        id: u64,
        brokers: &[impl AsRef<str>],
        set: &str,
    ) -> Self {
        let mut rules = Rules::new(1_000, &targets);
        rules.schedule.first = Duration::from_millis(2);
        rules.schedule.longest = Duration::from_millis(20);
        rules.patience.first = Duration::from_millis(2);
        rules.patience.longest = Duration::from_millis(20);
        rules.news_every = Duration::from_millis(20);
        let registry = MetricRegistry::new();
        let metrics = EmergencyMetrics::new(&registry);
        let readiness = Arc::new(Readiness::default());
        let clock = Arc::new(SystemClock::new());
        let parts = Parts {
            data_dir: dir.into(),
            before: None,
            part_list: None,
            targets,
            open_max: 1_000,
            per_source_max: 1_000,
            known_after: Duration::from_secs(600),
            resolve_after: Duration::from_secs(24 * 3_600),
            vehicles: not_yet(),
            seeds: Seeds { ids: fastrand::u64(..), jitter: 2 },
            trust: Trust::blind(clock.clone()),
            clock,
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            replays: Counter::default(),
            hang_limit: Duration::from_secs(2),
            runtime: None,
        };
        let (handle, lane, spec) = build_node(parts, rules, 1_000);
        let topic: Topic<Arc<Batch>> = Topic::new("traffic");
        drop(topic.subscribe("emergency", handle.subscriber()));
        let root: Root = Supervisor::new("vagn", Strategy::OneForOne).child(spec).start().await.unwrap();
        let reports = ReportMetrics::new(&registry);
        let lanes = TestLane { handle: handle.clone(), topic, root, metrics, reports, readiness };
        let (trail, driver) = drive(&lane, id, brokers, set);
        Self { id, handle, lane, trail, lanes, driver: Some(driver) }
    }

    /// Publishes reports as one batch from UDP.
    pub(super) fn send(&self, reports: &[Report<'_>]) {
        self.lanes.send(reports);
    }

    /// Publishes one report as it comes over TCP, and returns the answer to its sender.
    pub(super) fn ask(&self, report: &Report<'_>) -> Answer {
        self.lanes.ask(report)
    }

    pub(super) fn fail(&self, name: &str, fault: Fault) {
        self.lanes.fail(name, fault);
    }

    pub(super) async fn view(&self) -> TrailView {
        self.trail.look(|node, now| node.view(now)).await.unwrap()
    }

    /// Ends the driver as a crash does.
    pub(super) async fn end_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.abort();
            drop(driver.await);
        }
        assert!(self.trail.has_ended());
    }

    /// Stops its actors, and the driver behind them.
    pub(super) async fn stop(mut self) {
        self.lanes.stop().await;
        if let Some(driver) = self.driver.take() {
            driver.abort();
            drop(driver.await);
        }
    }

    /// Ends all of it. What is under way is cut off.
    pub(super) async fn end(mut self) {
        self.end_driver().await;
        self.lanes.stop().await;
    }
}

fn drive(
    lane: &NodeLane,
    id: u64,
    brokers: &[impl AsRef<str>],
    set: &str,
) -> (TrailHandle<TrailDesk>, JoinHandle<()>) {
    let addresses: Vec<String> = brokers.iter().map(|address| address.as_ref().to_owned()).collect();
    let options = Options::new(&addresses, set, NodeId(id), fastrand::u64(..)).unwrap();
    let (brokers, incoming) = Brokers::connect(options);
    let settings = TrailSettings {
        settings_hash: lane.settings_hash(),
        ..TrailSettings::new(NodeId(id), fastrand::u64(..))
    };
    let (trail, driver) =
        TrailDriver::new(settings, lane.open(), (brokers, ROOM), Arc::new(now_ms), Box::new(drop));
    lane.connect(trail.clone());
    let driver = spawn(async move {
        tokio::select! {
            () = driver.run() => {}
            () = incoming.serve() => {}
        }
    });
    (trail, driver)
}
