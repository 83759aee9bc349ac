//! Fixture of the tests: a lane with or without actors, and reports for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vagn_otp::testkit::until;
use vagn_otp::{Fault, Processes, Root, Strategy, Subscriber, Supervisor, Topic};
use vagn_wire::{Kind, Position, Reject, Report, VehicleId};

use super::gated::Gated;
use crate::RequestOutcome;
use crate::desk::{Request, RequestKind};
use crate::id::IncidentId;
use crate::intake::filter::AlarmFilter;
use crate::intake::known::{KnownVehicle, KnownVehicles};
use crate::lane::{Lane, LaneParts};
use crate::metrics::EmergencyMetrics;
use crate::notify::notice::{EndedNotice, Notice};
use crate::notify::target::Turn;
use crate::record::attempt::Outcome;
use crate::record::incident::PRIMARY;
use crate::record::shelf::{Opener, Shelf};
use crate::record::store::{Opening, Recall, Store, StoreError, live_in_journal};
use crate::rules::{PER_SOURCE_MAX, Rules};
use crate::show::view::IncidentView;
use crate::{EmergencyHandle, Filter, Parts, Seeds, Targets, build};
use vagn_flow::batch::{Batch, BatchBuilder, Origin};
use vagn_flow::clock::{ManualClock, SystemClock};
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::readiness::Readiness;
use vagn_flow::receipt::{Answer, Receipt};
use vagn_flow::stamp::Stamp;
use vagn_flow::testing::{SHEDDING, WAITING};
use vagn_flow::trust::Trust;

/// Longest wait for anything in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of a lane under test.
pub(crate) struct Setup {
    pub(crate) targets: Targets,
    pub(crate) opener: Opener,
    dir: PathBuf,
    pub(crate) vehicles: Arc<dyn KnownVehicles>,
    pub(crate) open_max: usize,
    pub(crate) quiet_max: Duration,
    pub(crate) recall_within: Duration,
    pub(crate) trust: Arc<Trust>,
}

impl Setup {
    /// Keeps the store in `dir`, and retries so soon that no test waits for it.
    pub(crate) fn new(dir: &Path, targets: Targets) -> Self {
        let (dir, opened) = (dir.to_owned(), dir.to_owned());
        let opener = Box::new(move |recall| open_store(&opened, recall));
        let quiet_max = Duration::from_secs(300);
        Self {
            targets,
            opener,
            dir,
            vehicles: not_yet(),
            open_max: 1_000,
            quiet_max,
            recall_within: PATIENCE,
            trust: Trust::blind(Arc::new(SystemClock::new())),
        }
    }

    /// Lets the store open only when `gate` is open.
    pub(super) fn behind(mut self, gate: &Gated) -> Self {
        let gate = gate.clone();
        let open = self.opener;
        self.opener = Box::new(move |recall| {
            gate.pass();
            open(recall)
        });
        self
    }

    pub(crate) async fn start(self) -> TestLane {
        let mut rules = Rules::new(self.open_max, &self.targets);
        rules.quiet_max = self.quiet_max;
        rules.recall_within = self.recall_within;
        rules.schedule.first = Duration::from_millis(2);
        rules.schedule.longest = Duration::from_millis(20);
        rules.patience.first = Duration::from_millis(2);
        rules.patience.longest = Duration::from_millis(20);
        rules.news_every = Duration::from_millis(20);
        let registry = MetricRegistry::new();
        let metrics = EmergencyMetrics::new(&registry);
        let readiness = Arc::new(Readiness::default());
        let parts = Parts {
            data_dir: "unused".into(),
            before: None,
            part_list: None,
            targets: self.targets,
            open_max: self.open_max,
            per_source_max: PER_SOURCE_MAX,
            known_after: Duration::from_secs(600),
            resolve_after: Duration::from_secs(24 * 3600),
            vehicles: self.vehicles,
            seeds: Seeds { ids: 1, jitter: 2 },
            clock: Arc::new(SystemClock::new()),
            trust: self.trust,
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            replays: prometheus_client::metrics::counter::Counter::default(),
            hang_limit: Duration::from_secs(2),
            runtime: None,
        };
        let salvage = move || live_in_journal(&self.dir);
        let shelf = Shelf::new(self.opener).with_salvage(Box::new(salvage));
        let (handle, spec) = build(parts, rules, shelf);
        let topic = Topic::new("traffic");
        drop(topic.subscribe("emergency", handle.subscriber()));
        let root = Supervisor::new("vagn", Strategy::OneForOne).child(spec).start().await.unwrap();
        TestLane { handle, topic, root, metrics, reports: ReportMetrics::new(&registry), readiness }
    }
}

fn open_store(dir: &Path, recall: Recall) -> Result<Store, StoreError> {
    Store::open_as(dir, Opening { reserved: 1 << 20, ended_kept: 1_000, recall, now_ms: now_ms() })
}

/// A lane under test.
pub(crate) struct TestLane {
    pub(crate) handle: EmergencyHandle,
    pub(crate) topic: Topic<Arc<Batch>>,
    pub(crate) root: Root,
    pub(crate) metrics: Arc<EmergencyMetrics>,
    pub(crate) reports: Arc<ReportMetrics>,
    pub(crate) readiness: Arc<Readiness>,
}

impl TestLane {
    /// Publishes reports as one batch from UDP.
    pub(crate) fn send(&self, reports: &[Report<'_>]) {
        let bytes: Vec<_> = reports.iter().map(encoded).collect();
        self.publish(SHEDDING, &bytes, None);
    }

    /// Publishes one report as it comes over TCP, and returns the answer to its sender.
    pub(crate) fn ask(&self, report: &Report<'_>) -> Answer {
        let (receipt, answer) = Receipt::new(1);
        receipt.answer_for_reports(1).settle([(0, vagn_wire::Fate::Stored)]);
        self.publish(WAITING, &[encoded(report)], Some(receipt));
        answer
    }

    pub(crate) fn publish(&self, origin: Origin, reports: &[Vec<u8>], receipt: Option<Receipt>) {
        for chunk in reports.chunks(vagn_flow::batch::BATCH_MAX) {
            let mut batch = BatchBuilder::new(origin);
            for report in chunk {
                batch.push(report);
            }
            let stamp = Stamp { time_ms: now_ms(), first_seq: 0 };
            let batch = batch.seal(stamp, receipt.as_ref(), &self.reports);
            batch.take_share().unwrap().settle_rest(vagn_wire::Fate::Stored);
            self.topic.publish(&batch);
        }
    }

    /// Returns all incidents, newest first.
    pub(crate) async fn all(&self) -> Vec<IncidentView> {
        let page = self.handle.list(Filter::default(), 1_000, None, PATIENCE).await.unwrap();
        page.incidents
    }

    /// Does something about an incident as Anna.
    pub(crate) async fn act(&self, id: IncidentId, action: RequestKind, note: &str) -> RequestOutcome {
        let request = Request { action, by: "Anna".into(), note: note.into() };
        self.handle.act(id, request, PATIENCE).await.unwrap()
    }

    /// Waits until so many incidents are accepted.
    pub(crate) async fn accepted(&self, count: usize) -> Vec<IncidentView> {
        self.when(|all| all.iter().filter(|incident| incident.accepted_at.is_some()).count() >= count).await
    }

    /// Waits until the incidents meet a condition.
    pub(crate) async fn when(&self, condition: impl Fn(&[IncidentView]) -> bool) -> Vec<IncidentView> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let all = self.handle.list(Filter::default(), 1_000, None, PATIENCE).await;
            match all {
                Ok(page) if condition(&page.incidents) => return page.incidents,
                found => assert!(tokio::time::Instant::now() < deadline, "never came: {found:?}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn fail(&self, name: &str, fault: Fault) {
        assert!(self.processes().inject(name, fault), "{name} is not there");
    }

    pub(crate) fn processes(&self) -> Processes {
        self.root.processes()
    }

    pub(crate) async fn restarted(&self, name: &str, times: u64) {
        until(|| self.processes().get(name).filter(|info| info.restarts >= times)).await;
    }

    pub(crate) async fn stop(self) {
        self.root.stop().await;
    }
}

/// A lane without actors, for one incident at a time, with its store in memory.
pub(crate) fn test_lane() -> Arc<Lane> {
    test_lane_in(Arc::new(ManualClock::at(1_700_000_000_000)), strangers(), 1)
}

/// Such a lane for `open_max` incidents at a time.
pub(crate) fn test_lane_in(
    clock: Arc<ManualClock>,
    vehicles: Arc<dyn KnownVehicles>,
    open_max: usize,
) -> Arc<Lane> {
    let rules = Rules { chain: vec![turn(PRIMARY, 60)], ..Rules::new(open_max, &Targets::default()) };
    let shelf = Shelf::new(Box::new(|_| Store::on(redb::backends::InMemoryBackend::new(), 10)));
    Arc::new(Lane::new(LaneParts {
        replays: prometheus_client::metrics::counter::Counter::default(),
        rules,
        shelf,
        vehicles,
        seeds: Seeds { ids: 1, jitter: 1 },
        trust: Trust::blind(clock.clone()),
        clock,
        metrics: EmergencyMetrics::new(&MetricRegistry::new()),
        readiness: Arc::new(Readiness::default()),
    }))
}

/// The turn of a target with four slots, for `lasts_s` seconds.
pub(crate) fn turn(target: &str, lasts_s: u64) -> Turn {
    Turn { target: target.into(), slots: 4, lasts: Duration::from_secs(lasts_s) }
}

/// Leaves these reports in the inbox of `lane`.
pub(crate) fn offer(lane: &Lane, reports: &[Report<'_>]) {
    let mut batch = BatchBuilder::new(SHEDDING);
    for report in reports {
        batch.push(&encoded(report));
    }
    let batch = batch.seal(
        Stamp { time_ms: lane.clock.now_ms(), first_seq: 0 },
        None,
        &ReportMetrics::new(&MetricRegistry::new()),
    );
    AlarmFilter(lane.inbox.clone()).offer(&batch);
}

/// Ends `notice` with this outcome.
pub(crate) fn ended(notice: &Notice, outcome: Outcome) -> EndedNotice {
    notice.end(1_700_000_000_000, Duration::from_millis(1), outcome)
}

/// A fleet that knows no vehicle.
pub(crate) fn strangers() -> Arc<dyn KnownVehicles> {
    Arc::new(|_: &str| KnownVehicle::STRANGER)
}

/// A fleet that answers with `last`.
pub(crate) fn fleet(
    look_up: impl Fn(&str) -> KnownVehicle + Send + Sync + 'static,
) -> Arc<dyn KnownVehicles> {
    Arc::new(look_up)
}

/// A report of `vehicle_id` with the flag and a position.
pub(crate) fn help(vehicle_id: &str) -> Report<'_> {
    let mut report = Report::new(VehicleId::new(vehicle_id).unwrap(), Position::new(59.33, 18.06).unwrap());
    report.emergency = true;
    report
}

/// A drill of `vehicle_id`.
pub(crate) fn drill(vehicle_id: &str) -> Report<'_> {
    Report { kind: Some(Kind::Test), ..help(vehicle_id) }
}

/// A report of `vehicle_id` with the flag and without a position.
pub(crate) fn nowhere(vehicle_id: &str) -> Report<'_> {
    Report { position: Err(Reject::NoLatitude), ..help(vehicle_id) }
}

pub(crate) fn encoded(report: &Report<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    vagn_wire::encode(report, &mut bytes);
    bytes
}

pub(crate) fn now_ms() -> i64 {
    vagn_flow::clock::Clock::now_ms(&SystemClock::new())
}

/// A fleet that is still being recovered.
pub(crate) fn not_yet() -> Arc<dyn KnownVehicles> {
    fleet(|_| KnownVehicle::UNDECIDED)
}
