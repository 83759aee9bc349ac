//! SIGHUP: what can be reloaded is, what cannot is named, and a bad file changes nothing.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::vagn::{Vagn, command, eventually, report, settings};

/// Returns the certificate that the API shows, in DER.
async fn shown(vagn: &Vagn) -> Vec<u8> {
    let pem = std::process::Command::new("python3")
        .args(["-c", "import ssl, sys; print(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2]))))"])
        .args([vagn.address("http").ip().to_string(), vagn.address("http").port().to_string()])
        .output()
        .unwrap();
    assert!(pem.status.success(), "{}", String::from_utf8_lossy(&pem.stderr));
    pem.stdout
}

fn copy_pair(from: &Path, to: &Path) {
    for name in ["cert.pem", "key.pem"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_serves_the_new_certificate_and_names_what_needs_a_restart() {
    let outer = tempfile::tempdir().unwrap();
    let [one, other, pair, data] = ["one", "other", "pair", "data"].map(|name| {
        let dir = outer.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        dir
    });
    for dir in [&one, &other] {
        Vagn::start(dir, &[]).stop();
    }
    copy_pair(&one, &pair);
    let text = |level: &str, keep: &str| {
        format!(
            "[http]\ncert = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n[log]\nlevel = \"{level}\"\n[history]\nkeep = \"{keep}\"\n",
            pair.display()
        )
    };
    let file = settings(outer.path(), &text("info", "24h"));
    let vagn = Vagn::start_heeding(&data, &["--config", &file]);
    let before = shown(&vagn).await;

    copy_pair(&other, &pair);
    settings(outer.path(), &text("debug", "48h"));
    vagn.signal("HUP");
    eventually("another certificate", async || shown(&vagn).await != before).await;
    eventually("a word on each setting", async || vagn.log().contains("apply only after a restart")).await;
    let log = vagn.log();
    assert!(log.contains("history.keep") && log.contains("log.level"), "{log}");
    vagn.send(&report("bus-7", 59.33, 18.06, false));
    eventually("a log of the new level", async || vagn.log().contains("DEBUG")).await;

    let after = shown(&vagn).await;
    std::fs::write(&file, "[log]\nlevel = \"loud\"\n").unwrap();
    vagn.signal("HUP");
    eventually("a refusal", async || vagn.log().contains("the settings are not reloaded")).await;
    std::fs::write(&file, text("debug", "48h")).unwrap();
    std::fs::write(pair.join("cert.pem"), "no certificate").unwrap();
    vagn.signal("HUP");
    eventually("another refusal", async || vagn.log().contains("the certificate is not reloaded")).await;
    assert_eq!(shown(&vagn).await, after, "what was served is served on");
    assert_eq!(vagn.stop().0.code(), Some(0));
}

#[tokio::test]
async fn without_tls_the_api_answers_on_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &["--http-plain"]);
    let answer = crate::vagn::client().get(format!("http://{}/api/v1/incidents", vagn.address("http")));
    assert_eq!(answer.send().await.unwrap().status(), 200);
    let refused = command()
        .args(["serve", "--http-plain", "--http", "0.0.0.0:0", "--insecure-open", "--data-dir"])
        .arg(dir.path().join("other"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(64) && said.contains("http.plain"), "{said}");
}

#[tokio::test]
async fn the_certificate_carries_the_name_of_the_public_address() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &["--public-url", "https://fleet.example"]);
    rustls::crypto::ring::default_provider().install_default().ok();
    let pem = std::fs::read(dir.path().join("cert.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject;
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    for (name, fits) in
        [("fleet.example", true), ("localhost", true), ("127.0.0.1", true), ("other.example", false)]
    {
        let socket = TcpStream::connect(vagn.address("http")).await.unwrap();
        let connected = connector.connect(ServerName::try_from(name).unwrap(), socket).await;
        assert_eq!(connected.is_ok(), fits, "{name}");
    }
}
