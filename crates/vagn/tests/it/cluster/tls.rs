//! Nodes speak TLS to brokers: real ones, with certificates of an authority of our own. Who is not believed is refused, and the log says why.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use vagn_wire::Fate;

use crate::brokers::Brokers;
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, eventually, settings};

use super::nodes::{Cluster, status};

/// Signs certificates.
pub(super) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate and a key for this machine's loopback.
    pub(super) fn sign(&self, dir: &Path, name: &str) {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// Writes its own certificate.
    pub(super) fn write(&self, dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, &self.pem).unwrap();
        path
    }
}

fn start(certs: &Path, args: &[&str]) -> Brokers {
    Brokers::start_with(&[&["--certs", certs.to_str().unwrap()], args].concat())
}

const VEHICLES: usize = 30;

/// Sends reports through each node, and looks that all nodes answer for all of them.
pub(super) async fn store_and_answer(cluster: &Cluster) {
    for (seq, (_, node)) in (1..).zip(cluster.running()) {
        let mut vehicles = TcpVehicle::connect(node.address("tcp")).await.unwrap();
        (0..VEHICLES).for_each(|number| vehicles.report(&format!("bus-{number}"), 1.0, seq as f64, seq));
        vehicles.flush().await.unwrap();
        for _ in 0..VEHICLES {
            assert_eq!(vehicles.ack().await.unwrap().2, Fate::Stored, "{}", node.log());
        }
    }
    for (_, node) in cluster.running() {
        eventually("all vehicles where they were last", async || {
            let answer = node.json("/api/v1/vehicles?bbox=2.5,0,3.5,2").await;
            assert!(answer.get("partial").is_none(), "{answer}");
            answer["features"].as_array().unwrap().len() == VEHICLES
        })
        .await;
        let connected = node.metric("vagn_cluster_brokers_connected").await;
        assert_eq!(connected, 2.0, "{}", node.log());
    }
}

/// Starts a node that does not come to the brokers, and waits until its log says why. It may say nothing of what is secret.
async fn check_refused(brokers: &str, cluster: &str, sentence: &str) {
    let dir = TempDir::new().unwrap();
    let config = settings(dir.path(), &format!("[cluster]\n{cluster}"));
    let node = Vagn::launch(
        &dir.path().join("data"),
        &["--config", &config, "--nats", brokers, "--node", "refused", "--role", "ingest"],
    );
    eventually(sentence, async || node.log().contains(sentence)).await;
    assert_eq!(node.metric("vagn_cluster_brokers_connected").await, 0.0);
    assert!(!node.log().contains("hush"), "{}", node.log());
    let (_, ready) = node.ops("/readyz").await;
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert!(ready["missing"]["cluster"].to_string().contains("cluster.nats"), "{ready}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_store_and_answer_over_tls_with_a_password_and_refuse_a_broker_of_another_authority() {
    let certs = TempDir::new().unwrap();
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    own.sign(certs.path(), "n1");
    own.sign(certs.path(), "n2");
    other.sign(certs.path(), "n3");
    let ca = format!("ca = {:?}\n", own.write(certs.path(), "ca.pem"));
    let brokers = start(certs.path(), &["--user", "vagn:hush@/%:1"]);
    let addresses = brokers.addresses().to_vec();
    let with = |user: &str| {
        let all = addresses.iter().map(|address| address.replace("//", &format!("//{user}")));
        all.collect::<Vec<_>>()
    };
    let known = with("vagn:hush%40%2F%25%3A1@");

    // Two brokers are enough.
    let cluster = Cluster::start_over(brokers, &known.join(","), &ca).await;
    store_and_answer(&cluster).await;
    let refusal = "the broker is refused: its certificate is not signed by one that this node believes; set `cluster.ca`";
    let logs: String = cluster.running().map(|(_, node)| node.log()).collect();
    assert!(logs.contains(refusal) && !logs.contains("hush"), "{logs}");
    for node in 0..3 {
        let shown = status(&cluster.dir(node));
        let brokers = shown["brokers"].as_array().unwrap();
        assert!(brokers.len() == 2 && !brokers.contains(&brokers_third(&known)), "{shown}");
        assert!(!shown.to_string().contains("hush"), "{shown}");
    }

    check_refused(&known[2], &ca, refusal).await;
    // What this machine believes has nothing to do with them.
    check_refused(&known[0], "", "the broker is refused: its certificate").await;
    let password = "the broker refuses this node: it wants a user and a password";
    check_refused(&with("vagn:hushhush@")[0], &ca, password).await;
    check_refused(&with("")[0], &ca, password).await;
}

/// The third broker as the status would show it.
fn brokers_third(known: &[String]) -> Value {
    let (_, host) = known[2].rsplit_once('@').unwrap();
    Value::String(format!("tls://{host}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_store_and_answer_over_tls_with_a_certificate_of_their_own() {
    let certs = TempDir::new().unwrap();
    let (own, nodes_own) = (Authority::new("own"), Authority::new("nodes"));
    ["n1", "n2", "n3"].into_iter().for_each(|broker| own.sign(certs.path(), broker));
    nodes_own.write(certs.path(), "clients.pem");
    nodes_own.sign(certs.path(), "node");
    own.sign(certs.path(), "stranger");
    let ca = format!("ca = {:?}\n", own.write(certs.path(), "ca.pem"));
    let with = |name: &str| {
        let file = |ending: &str| certs.path().join(format!("{name}.{ending}"));
        format!("{ca}cert = {:?}\nkey = {:?}\n", file("pem"), file("key"))
    };
    let brokers = start(certs.path(), &[]);
    let list = brokers.list();
    let cluster = Cluster::start_over(brokers, &list, &with("node")).await;
    store_and_answer(&cluster).await;
    let wanted = "the broker refuses this node: it wants a certificate that it believes";
    check_refused(&cluster.brokers.addresses()[0], &ca, wanted).await;
    check_refused(&cluster.brokers.addresses()[0], &with("stranger"), wanted).await;
}
