//! Shared by the tests of the doors: an intake, and subscribers that keep or store its batches.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use parking_lot::Mutex;
use rustls::{ALL_VERSIONS, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use vagn_otp::{Offer, Subscriber, Topic};
use vagn_wire::Fate;

use super::{DoorParts, IsKnown};
use vagn_flow::batch::{Batch, Traffic};
use vagn_flow::clock::{ManualClock, SystemClock};
use vagn_flow::descriptors::{PlaceMetrics, PlaceParts, Places};
use vagn_flow::intake::Intake;
use vagn_flow::metrics::{DoorMetrics, MetricRegistry, ReportMetrics};
use vagn_flow::peer::SharedAddresses;
use vagn_flow::receipt::ReceiptPart;
use vagn_flow::stamp::Stamper;
use vagn_http::tls::Identity;

struct Each<F>(F);

impl<F: Fn(&Arc<Batch>) + Send + Sync> Subscriber<Arc<Batch>> for Each<F> {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        (self.0)(batch);
        Offer::Taken
    }
}

/// A subscriber that keeps every batch as long as the topic lives.
#[derive(Default)]
pub(crate) struct Keeper(Mutex<Vec<Arc<Batch>>>);

impl Subscriber<Arc<Batch>> for Keeper {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        self.0.lock().push(batch.clone());
        Offer::Taken
    }
}

/// An intake, and what its batches are published and counted on.
#[derive(Clone)]
pub(crate) struct TestIntake {
    pub(crate) intake: Intake,
    pub(crate) traffic: Traffic,
    pub(crate) reports: Arc<ReportMetrics>,
    pub(crate) doors: DoorMetrics,
    pub(crate) registry: Arc<MetricRegistry>,
    /// Clock of the places, which stands still.
    pub(crate) clock: Arc<ManualClock>,
}

impl TestIntake {
    /// Returns the parts for a door under test.
    pub(crate) fn parts(&self, tls: Arc<ServerConfig>, tcp_places: usize) -> DoorParts {
        DoorParts {
            intake: self.intake.clone(),
            clock: Arc::new(SystemClock::new()),
            metrics: self.doors.clone(),
            registry: self.registry.clone(),
            tcp_places: self.places(tcp_places),
            is_known: is_known(),
            seed: 1,
            handshakes: None,
            tls,
        }
    }

    /// Returns so many places for the TCP door.
    pub(crate) fn places(&self, most: usize) -> Arc<Places> {
        let parts = PlaceParts {
            metrics: PlaceMetrics::new(&self.registry),
            readiness: Arc::default(),
            clock: self.clock.clone(),
            seed: 1,
        };
        Places::new("tcp", "wait", most, SharedAddresses::default(), &parts)
    }

    /// Returns the value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.registry.page();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).expect("the metric is registered")
    }
}

/// Knows every vehicle whose id does not begin with "stranger".
pub(crate) fn is_known() -> IsKnown {
    Arc::new(|vehicle_id| !vehicle_id.as_str().starts_with("stranger"))
}

/// An intake whose topic gives every batch to `subscriber`.
pub(crate) fn intake(subscriber: impl Fn(&Arc<Batch>) + Send + Sync + 'static) -> TestIntake {
    subscribed(Each(subscriber))
}

/// An intake whose topic has this one subscriber.
pub(crate) fn subscribed(subscriber: impl Subscriber<Arc<Batch>> + 'static) -> TestIntake {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let stamper = Arc::new(Stamper::open(dir.path(), clock).unwrap());
    let traffic = Topic::new("traffic");
    let registry = MetricRegistry::new();
    let reports = ReportMetrics::new(&registry);
    traffic.subscribe("test", subscriber);
    TestIntake {
        intake: Intake::new(traffic.clone(), stamper, reports.clone()),
        traffic,
        reports,
        doors: DoorMetrics::new(&registry),
        registry,
        clock: Arc::new(ManualClock::at(0)),
    }
}

/// A batch with the duty to answer for it.
pub(crate) struct Held {
    batch: Arc<Batch>,
    part: Option<ReceiptPart>,
}

impl Held {
    /// Takes over the duty.
    pub(crate) fn new(batch: &Arc<Batch>) -> Self {
        Self { batch: batch.clone(), part: batch.answer_for_reports() }
    }

    /// Answers that all is stored.
    pub(crate) fn store(self) {
        let Self { batch, part } = self;
        if let Some(mut part) = part {
            part.settle((0..batch.len() as u32).map(|index| (index, Fate::Stored)));
        }
        batch.take_share().unwrap().settle_rest(Fate::Stored);
    }
}

impl Deref for Held {
    type Target = Arc<Batch>;

    fn deref(&self) -> &Arc<Batch> {
        &self.batch
    }
}

/// An intake whose batches come out at the other end.
pub(crate) fn collector() -> (TestIntake, Receiver<Held>) {
    let (sender, receiver) = channel();
    (intake(move |batch| drop(sender.send(Held::new(batch)))), receiver)
}

/// Stands in for everything behind the topic: all is stored.
pub(crate) fn store(batch: &Arc<Batch>) {
    Held::new(batch).store();
}

/// A client's settings to trust `identity`.
pub(crate) fn trust(identity: &Identity) -> Arc<ClientConfig> {
    trust_over(identity, ALL_VERSIONS)
}

/// The same for a client that speaks only these versions of TLS.
pub(crate) fn trust_over(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What a certificate for tests is made for.
pub(crate) fn wanted() -> vagn_http::own_certificate::Wanted {
    let now_ms = vagn_flow::clock::Clock::now_ms(&vagn_flow::clock::SystemClock::new());
    vagn_http::own_certificate::Wanted { names: Vec::new(), now_ms }
}
