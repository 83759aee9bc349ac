//! Calls for help with the rights that `deploy/nats` gives to nodes, over TLS.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use vagn_cluster::NodeId;
use vagn_cluster::trail::DeedOutcome;
use vagn_nats::{Brokers, Options};

use crate::desk::Meaning::Opening;
use crate::office::Target;
use crate::processes::Processes;
use crate::service::{Service, kept};

/// Writes an authority and a certificate for each broker, and returns what believes them.
fn certify(to: &Path) -> ClientConfig {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = authority.self_signed(&key).unwrap();
    std::fs::write(to.join("ca.pem"), own.pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    for broker in ["n1", "n2", "n3"] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(to.join(format!("{broker}.pem")), params.signed_by(&key, &issuer).unwrap().pem())
            .unwrap();
        std::fs::write(to.join(format!("{broker}.key")), key.serialize_pem()).unwrap();
    }
    let mut roots = RootCertStore::empty();
    roots.add(own.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth()
}

/// Copies the settings that are for operators, with a password.
fn copy_settings(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nats");
    for file in ["broker.conf", "account.conf"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let passwords = std::fs::read_to_string(from.join("passwords.conf.example")).unwrap();
    std::fs::write(to.join("passwords.conf"), passwords.replace("CHANGE-ME-1", "hush")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_deploy_nats_are_enough_for_calls_for_help() {
    let (settings, certs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    copy_settings(settings.path());
    let tls = certify(certs.path());
    let paths = [certs.path(), settings.path()].map(|path| path.to_str().unwrap());
    let processes = Processes::start(&["--certs", paths[0], "--settings", paths[1]]);
    let addresses: Vec<String> =
        processes.addresses.iter().map(|address| address.replace("tls://", "tls://vagn:hush@")).collect();
    let connect = |id| {
        let options = Options::new(&addresses, "fleet", NodeId(id), fastrand::u64(..)).unwrap();
        kept(Brokers::connect(options.tls(tls.clone())))
    };
    let target = Arc::new(Target::default());
    let service = Service::over("fleet", connect, target).await;
    let alarms: Vec<_> = (1..).zip(&service.nodes).map(|(vehicle, node)| node.raise(vehicle)).collect();
    service.answered(&alarms.into_iter().enumerate().collect::<Vec<_>>(), 30).await;
    service.called((1..=3).map(Opening), 30).await;
    for (vehicle, node) in (1..).zip(&service.nodes) {
        assert_eq!(node.resolve(vehicle).await.unwrap(), DeedOutcome::Done);
    }
    for broker in 1..=3 {
        let log = processes.log(broker);
        assert!(!log.contains("Violation"), "{log}");
    }
}
