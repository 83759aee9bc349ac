//! What the tests of the doors share: reports to send, and a topic that keeps what is published.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rustls::{ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion};
use vagn_otp::{Offer, Subscriber, Topic};
use vagn_wire::Fate;

use super::handover::Handover;
use vagn_flow::batch::Batch;
use vagn_flow::clock::SystemClock;
use vagn_flow::metrics::{DoorMetrics, Registry, ReportMetrics};
use vagn_flow::stamp::Stamper;
use vagn_http::tls::Identity;

struct Each<F>(F);

impl<F: Fn(&Arc<Batch>) + Send + Sync> Subscriber<Arc<Batch>> for Each<F> {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        (self.0)(batch);
        Offer::Taken
    }
}

/// A handover whose topic gives every batch to `subscriber`.
pub(crate) fn handover(subscriber: impl Fn(&Arc<Batch>) + Send + Sync + 'static) -> Handover {
    subscribed(Each(subscriber))
}

/// A handover whose topic has this one subscriber.
pub(crate) fn subscribed(subscriber: impl Subscriber<Arc<Batch>> + 'static) -> Handover {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let topic = Topic::new("traffic");
    let registry = Registry::new();
    topic.subscribe("test", subscriber);
    Handover {
        topic,
        stamper: Arc::new(Stamper::open(dir.path(), clock.clone()).unwrap()),
        clock,
        reports: ReportMetrics::new(&registry),
        doors: DoorMetrics::new(&registry),
    }
}

/// A handover whose batches come out at the other end.
pub(crate) fn collector() -> (Handover, Receiver<Arc<Batch>>) {
    let (sender, receiver) = channel();
    (handover(move |batch| drop(sender.send(batch.clone()))), receiver)
}

/// Stands in for everything behind the topic: all is stored.
pub(crate) fn store(batch: &Arc<Batch>) {
    let receipt = batch.receipt();
    for (index, ..) in batch.reports() {
        receipt.iter().for_each(|receipt| receipt.set(index, Fate::Stored));
    }
    batch.take_share().unwrap().settle_rest(Fate::Stored);
}

/// What a client needs to trust `identity`.
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
