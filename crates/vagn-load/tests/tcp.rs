//! The client against a TLS server that answers as it is told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use vagn_load::Fleet;
use vagn_load::fleet::{Extras, FleetSettings};
use vagn_load::pace::Rate;
use vagn_load::source::Tally;
use vagn_load::tcp::{self, Outcome, TcpError, TcpSettings};
use vagn_load::trust::Trust;
use vagn_load::udp::Watch;
use vagn_wire::ack::{self, Ack};
use vagn_wire::{Fate, decode, object_len};

/// Behaviour of the server.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    /// Answers everything; each tenth report is stale.
    Honest,
    /// Answers so many reports and closes the connection.
    HangsUpAfter(usize),
    /// Reads, and answers nothing.
    Silent,
    /// Answers with something else.
    Garbles,
}

struct Identity {
    acceptor: TlsAcceptor,
    pem: String,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["vagn.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    Identity { acceptor: TlsAcceptor::from(Arc::new(config)), pem: made.cert.pem() }
}

/// Takes one connection and serves it; gives the number of reports that it answered.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, server: Server) -> usize {
    let (stream, _) = listener.accept().await.unwrap();
    let Ok(mut stream) = acceptor.accept(stream).await else { return 0 };
    let (mut buffer, mut answered) = (Vec::new(), 0);
    while stream.read_buf(&mut buffer).await.unwrap_or(0) > 0 {
        let (mut read, mut answers) = (0, Vec::new());
        while let Some(len) = object_len(&buffer[read..]).unwrap() {
            let report = decode(&buffer[read..read + len]).unwrap();
            let fate = if answered % 10 == 9 { Fate::Stale } else { Fate::Stored };
            let seq = report.seq.unwrap();
            ack::encode(&Ack { vehicle_id: report.vehicle_id, seq, fate, incident: None }, &mut answers);
            (read, answered) = (read + len, answered + 1);
            if server == Server::HangsUpAfter(answered) {
                return hang_up(stream, &answers, answered).await;
            }
        }
        buffer.drain(..read);
        match server {
            Server::Silent => {}
            Server::Garbles => stream.write_all(b"\\n\\n").await.unwrap(),
            _ => stream.write_all(&answers).await.unwrap(),
        }
    }
    answered
}

/// Ends the stream, but reads on: a socket closed over unread data resets the connection, and the answers with it.
async fn hang_up(mut stream: TlsStream<TcpStream>, answers: &[u8], answered: usize) -> usize {
    stream.write_all(answers).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.is_ok_and(|len| len > 0) {}
    answered
}

fn fleet(count: u64) -> Fleet {
    Fleet::new(FleetSettings {
        vehicles: 10,
        rate: Rate::Max,
        count: Some(count),
        duration: None,
        emergency_ratio: 0.0,
        seed: 3,
        extras: Extras { seq_from: Some(1), ..Extras::default() },
    })
}

/// Outcome of one run, with the `Seq` of every answer in order.
struct Run {
    outcome: Result<Outcome, TcpError>,
    answered: Vec<u64>,
}

async fn run(count: u64, window: usize, server: Server, trust: impl FnOnce(&Identity) -> Trust) -> Run {
    let (identity, listener) = (identity(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let target = listener.local_addr().unwrap().to_string().parse().unwrap();
    // Long enough for a busy machine, unless it is silence that is waited for.
    let answer_within = Duration::from_millis(if server == Server::Silent { 100 } else { 30_000 });
    let settings = TcpSettings { trust: trust(&identity), window, answer_within };
    let (stop, mut answered) = (AtomicBool::new(false), Vec::new());
    let mut watch = Watch { stop: &stop, progress: &mut |_: &Tally| {} };
    let (mut source, mut on_ack) = (fleet(count), |ack: &Ack<'_>| answered.push(ack.seq));
    let client = tcp::send_all(&mut source, &target, &settings, &mut watch, &mut on_ack);
    let (outcome, _) = tokio::join!(client, serve(listener, identity.acceptor, server));
    Run { outcome, answered }
}

fn pem_file(pem: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cert.pem");
    std::fs::write(&path, pem).unwrap();
    (dir, path)
}

#[tokio::test]
async fn every_report_is_answered_with_every_window() {
    for window in [1, 7, 100_000] {
        let run = run(1000, window, Server::Honest, |_| Trust::Loopback).await;
        let outcome = run.outcome.unwrap();
        assert!(outcome.broken.is_none(), "{:?}", outcome.broken);
        assert_eq!((outcome.sent.tally.reports, outcome.unanswered), (1000, 0), "window {window}");
        assert_eq!((outcome.fates["stored"], outcome.fates["stale"]), (900, 100));
        assert_eq!(run.answered, (1..=1000).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_lost_connection_leaves_the_rest_unanswered() {
    let run = run(100_000, 500, Server::HangsUpAfter(123), |_| Trust::Loopback).await;
    let outcome = run.outcome.unwrap();
    assert!(matches!(outcome.broken, Some(TcpError::Lost(..))), "{:?}", outcome.broken);
    assert_eq!(run.answered, (1..=123).collect::<Vec<_>>());
    let open = outcome.sent.tally.reports - 123;
    assert_eq!(outcome.unanswered, open);
    assert!(open <= 500, "no more than the window is ever open, not {open}");
}

#[tokio::test]
async fn silence_and_noise_are_told_apart() {
    let silent = run(100, 500, Server::Silent, |_| Trust::Loopback).await.outcome.unwrap();
    assert!(matches!(silent.broken, Some(TcpError::Silent(_))), "{:?}", silent.broken);
    assert_eq!(silent.unanswered, 100);
    let noise = run(100, 500, Server::Garbles, |_| Trust::Loopback).await.outcome.unwrap();
    assert!(matches!(noise.broken, Some(TcpError::Garbled(..))), "{:?}", noise.broken);
}

#[tokio::test]
async fn believes_only_the_certificate_it_was_given() {
    let given = |identity: &Identity| {
        let (_dir, path) = pem_file(&identity.pem);
        Trust::from_file(&path).unwrap()
    };
    let pinned = run(10, 10, Server::Honest, given).await.outcome.unwrap();
    assert_eq!(pinned.unanswered, 0);
    let foreign = run(10, 10, Server::Honest, |_| given(&identity())).await.outcome;
    assert!(matches!(foreign, Err(TcpError::Handshake(..))), "{foreign:?}");
}

#[test]
fn believes_no_server_elsewhere_without_a_certificate() {
    let refused = Trust::Loopback.config("192.0.2.1:9091".parse().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("--ca"), "{refused}");
    for address in ["127.0.0.1:9091", "[::1]:9091", "[::ffff:127.0.0.1]:9091"] {
        assert!(Trust::Loopback.config(address.parse().unwrap()).is_ok(), "{address}");
    }
    assert!(Trust::Anyone.config("192.0.2.1:9091".parse().unwrap()).is_ok());
}

#[test]
fn a_file_without_a_certificate_is_named() {
    let (_dir, path) = pem_file("no certificate");
    let err = Trust::from_file(&path).unwrap_err();
    assert!(err.to_string().contains("cert.pem"), "{err}");
}
