//! For the tests of the lane: a target that does as it is told, a lane around it, and reports to send.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vagn_otp::testkit::{Alone, until};
use vagn_otp::{ChildSpec, Fault, Processes, Root, Strategy, Subscriber, Supervisor, Topic};
use vagn_wire::{Kind, Position, Reject, Report, VehicleId};

use crate::desk::{Desk, Request, RequestKind};
use crate::handle::RequestOutcome;
use crate::id::IncidentId;
use crate::intake::filter::AlarmFilter;
use crate::intake::inbox::Inbox;
use crate::intake::known::{KnownVehicle, KnownVehicles};
use crate::lane::Lane;
use crate::metrics::EmergencyMetrics;
use crate::notify::notice::{EndedNotice, Notice};
use crate::notify::target::Turn;
use crate::record::attempt::Outcome;
use crate::record::incident::PRIMARY;
use crate::record::shelf::{Opener, Shelf};
use crate::record::store::Store;
use crate::rules::Rules;
use crate::show::view::IncidentView;
use crate::{EmergencyHandle, Filter, Parts, Seeds, Target, Targets, build};
use vagn_flow::batch::{Batch, BatchBuilder, Origin};
use vagn_flow::clock::{ManualClock, SystemClock};
use vagn_flow::metrics::{Registry, ReportMetrics};
use vagn_flow::readiness::Readiness;
use vagn_flow::receipt::{Answer, Receipt};
use vagn_flow::stamp::Stamp;
use vagn_flow::testing::{SHEDDING, WAITING};

/// A call as it reached the target.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) headers: String,
    pub(crate) body: Value,
}

impl Heard {
    pub(crate) fn vehicle(&self) -> &str {
        self.body["vehicle_id"].as_str().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(n, v)| (n == name).then_some(v))
    }
}

/// What the target does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Answers with this status.
    Answer(u16),
    /// Answers 503, and wants to be left alone for so many seconds.
    Later(u64),
    /// Hangs up without an answer.
    HangUp,
    /// Never answers.
    Silence,
    /// Sends the caller to itself again.
    Redirect,
    /// Accepts, and talks for ever.
    Endless(u16),
    /// Sends a header a byte at a time, for ever.
    Drip,
}

type Script = Arc<dyn Fn(&Heard) -> Reaction + Send + Sync>;

/// A target on the loopback.
pub(crate) struct TestTarget {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    _server: Alone,
}

impl TestTarget {
    /// Serves until dropped. `script` says what to do with each call.
    pub(crate) async fn new(script: impl Fn(&Heard) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let url = format!("http://{}/emergency/token", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Script, _) = (Arc::new(script), heard.clone());
        let spec = ChildSpec::task("target", move |ctx| {
            let (listener, script, log) = (listener.clone(), script.clone(), log.clone());
            async move {
                ctx.ready();
                let mut connections = FuturesUnordered::new();
                loop {
                    tokio::select! {
                        Ok((stream, _)) = listener.accept() => connections.push(serve(stream, &script, &log)),
                        Some(()) = connections.next() => {}
                        () = ctx.stopping() => return Ok(()),
                    }
                }
            }
        });
        Self { url, heard, _server: Alone::child(spec).await }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().clone()
    }

    /// As the only target of a chain.
    pub(crate) fn target(&self, lines: usize) -> Targets {
        Targets { chain: vec![self.named(PRIMARY, lines)], drill: None }
    }

    /// A target at which it is for an hour whose turn it is.
    pub(crate) fn named(&self, name: &str, lines: usize) -> Target {
        let (patience, turn) = (Duration::from_secs(20), Duration::from_secs(3600));
        Target::new(name, &self.url, "", patience, lines, turn).unwrap()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

async fn serve(mut stream: TcpStream, script: &Script, log: &Mutex<Vec<Heard>>) {
    while let Some(heard) = hear(&mut stream).await {
        let reaction = script(&heard);
        log.lock().push(heard);
        if react(&mut stream, reaction).await.is_err() {
            return;
        }
    }
}

async fn hear(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut heard = Heard { headers, body: Value::Null };
    let len: usize = heard.header("content-length").unwrap().parse().unwrap();
    while bytes.len() < end + len {
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
    heard.body = serde_json::from_slice(&bytes[end..end + len]).unwrap();
    Some(heard)
}

async fn react(stream: &mut TcpStream, reaction: Reaction) -> std::io::Result<()> {
    let hang_up = || Err(std::io::ErrorKind::ConnectionAborted.into());
    match reaction {
        Reaction::Answer(status) => {
            let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes()).await
        }
        Reaction::Later(seconds) => {
            let answer = format!("HTTP/1.1 503 Said\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await
        }
        Reaction::HangUp => hang_up(),
        Reaction::Silence => std::future::pending().await,
        Reaction::Redirect => {
            stream.write_all(b"HTTP/1.1 307 There\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n").await
        }
        Reaction::Endless(status) => {
            let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: 1000000000\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
        Reaction::Drip => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// How a lane under test is set up.
pub(crate) struct Setup {
    pub(crate) targets: Targets,
    pub(crate) opener: Opener,
    pub(crate) vehicles: Arc<dyn KnownVehicles>,
    pub(crate) open_max: usize,
    pub(crate) quiet_max: Duration,
    pub(crate) recall_within: Duration,
}

impl Setup {
    /// With a store in `dir`, and retries so soon that no test waits for them.
    pub(crate) fn new(dir: &Path, targets: Targets) -> Self {
        let dir = dir.to_owned();
        let opener = Box::new(move || Store::open(&dir, 1 << 20, 1_000));
        let quiet_max = Duration::from_secs(300);
        Self { targets, opener, vehicles: not_yet(), open_max: 1_000, quiet_max, recall_within: PATIENCE }
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
        let registry = Registry::new();
        let (metrics, readiness) = (EmergencyMetrics::new(&registry), Arc::new(Readiness::default()));
        let parts = Parts {
            data_dir: "unused".into(),
            targets: self.targets,
            open_max: self.open_max,
            resolve_after: Duration::from_secs(24 * 3600),
            vehicles: self.vehicles,
            seeds: Seeds { ids: 1, jitter: 2 },
            clock: Arc::new(SystemClock::new()),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            hang_limit: Duration::from_secs(2),
            runtime: None,
        };
        let (handle, spec) = build(parts, rules, Shelf::new(self.opener));
        let topic = Topic::new("traffic");
        drop(topic.subscribe("emergency", handle.subscriber()));
        let root = Supervisor::new("vagn", Strategy::OneForOne).child(spec).start().await.unwrap();
        TestLane { handle, topic, root, metrics, reports: ReportMetrics::new(&registry), readiness }
    }
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

    /// Publishes one report as it comes over TCP, and gives what its sender will hear.
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

    /// All incidents, newest first.
    pub(crate) async fn all(&self) -> Vec<IncidentView> {
        let page = self.handle.list(Filter::default(), 1_000, None, PATIENCE).await.unwrap();
        page.incidents
    }

    /// Does something about an incident, as Anna.
    pub(crate) async fn act(&self, id: IncidentId, action: RequestKind, note: &str) -> RequestOutcome {
        let request = Request { action, by: "Anna".into(), note: note.into() };
        self.handle.act(id, request, PATIENCE).await.unwrap()
    }

    /// Waits until so many incidents are accepted.
    pub(crate) async fn accepted(&self, count: usize) -> Vec<IncidentView> {
        self.when(|all| all.iter().filter(|incident| incident.accepted_at.is_some()).count() >= count).await
    }

    /// Waits until the incidents are so.
    pub(crate) async fn when(&self, so: impl Fn(&[IncidentView]) -> bool) -> Vec<IncidentView> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let all = self.handle.list(Filter::default(), 1_000, None, PATIENCE).await;
            match all {
                Ok(page) if so(&page.incidents) => return page.incidents,
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

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A lane without actors, for one incident at a time, with its store in memory.
pub(crate) fn test_lane() -> Arc<Lane> {
    test_lane_in(Arc::new(ManualClock::at(1_700_000_000_000)), nobody(), 1)
}

/// Such a lane for so many incidents at a time.
pub(crate) fn test_lane_in(
    clock: Arc<ManualClock>,
    vehicles: Arc<dyn KnownVehicles>,
    open_max: usize,
) -> Arc<Lane> {
    let rules = Rules { chain: vec![turn(PRIMARY, 60)], ..Rules::new(open_max, &Targets::default()) };
    let shelf = Shelf::new(Box::new(|| Store::on(redb::backends::InMemoryBackend::new(), 10)));
    let inbox = Arc::new(Inbox::new(clock.clone(), vehicles.clone(), 1));
    let desk = Desk::new(rules.clone(), 1);
    let readiness = Arc::new(Readiness::default());
    Arc::new(Lane::new(
        desk,
        rules,
        shelf,
        inbox,
        vehicles,
        clock,
        EmergencyMetrics::new(&Registry::new()),
        readiness,
    ))
}

/// The turn of a target with four lines, for so many seconds.
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
        &ReportMetrics::new(&Registry::new()),
    );
    AlarmFilter(lane.inbox.clone()).offer(&batch);
}

/// Ends `notice` with this outcome.
pub(crate) fn ended(notice: &Notice, outcome: Outcome) -> EndedNotice {
    notice.end(1_700_000_000_000, Duration::from_millis(1), outcome)
}

/// A fleet of which nobody is known.
pub(crate) fn nobody() -> Arc<dyn KnownVehicles> {
    Arc::new(|_: &str| KnownVehicle::STRANGER)
}

/// A fleet that answers so.
pub(crate) fn fleet(
    look_up: impl Fn(&str) -> KnownVehicle + Send + Sync + 'static,
) -> Arc<dyn KnownVehicles> {
    Arc::new(look_up)
}

/// A call for help from `vehicle_id`, with nothing else wrong.
pub(crate) fn help(vehicle_id: &str) -> Report<'_> {
    let mut report = Report::new(VehicleId::new(vehicle_id).unwrap(), Position::new(59.33, 18.06).unwrap());
    report.emergency = true;
    report
}

pub(crate) fn drill(vehicle_id: &str) -> Report<'_> {
    Report { kind: Some(Kind::Test), ..help(vehicle_id) }
}

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

/// Nobody can say where anybody is.
pub(crate) fn not_yet() -> Arc<dyn KnownVehicles> {
    fleet(|_| KnownVehicle::UNDECIDED)
}
