//! Targets that answer one byte at a time, redirect, answer without end or have a bad certificate, in front of one that works. Each
//! attempt is bounded, the log names each target once, and the working target gets its notices in time.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::emergencies::Sink;
use crate::targets::BadTarget;
use crate::vagn::{Vagn, eventually, report, settings};

const GIGABYTE: u64 = 1 << 30;

/// Longest time for an attempt, and length of each target's turn: the shortest that can be set.
const SECOND: &str = "1s";

/// Time that an attempt may take in addition.
const SLACK_MS: u64 = 2_000;

/// Most memory that the bad answers may cost, in KiB.
const GROWTH_MAX: u64 = 64 << 10;

/// Begins an answer, and continues with one byte at a time.
fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nx: ")?;
    loop {
        stream.write_all(b"x")?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn redirect(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 307 There\r\nlocation: /calls\r\ncontent-length: 0\r\n\r\n")
}

/// Refuses with a body of a gigabyte, and counts the bytes that the other side took.
fn talk(stream: &mut TcpStream, said: &AtomicU64) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 503 Busy\r\ncontent-length: {GIGABYTE}\r\n\r\n")?;
    for _ in 0..GIGABYTE >> 16 {
        stream.write_all(&[b'x'; 1 << 16])?;
        said.fetch_add(1 << 16, Ordering::Relaxed);
    }
    Ok(())
}

/// A chain of bad targets, followed by a good one.
struct Chain {
    drips: BadTarget,
    redirects: BadTarget,
    talks: BadTarget,
    said: Arc<AtomicU64>,
    /// A target with a certificate that it signed itself.
    stranger: Vagn,
    good: Sink,
}

impl Chain {
    const BAD: [&'static str; 5] = ["primary", "redirects", "stranger", "plain", "talks"];

    fn start(stranger: Vagn) -> Self {
        let said = Arc::new(AtomicU64::new(0));
        let counted = said.clone();
        Self {
            drips: BadTarget::start(|_, stream| drip(stream)),
            redirects: BadTarget::start(|_, stream| redirect(stream)),
            talks: BadTarget::start(move |_, stream| talk(stream, &counted)),
            said,
            stranger,
            good: Sink::start(&[]),
        }
    }

    fn settings(&self) -> String {
        let mut text = format!(
            "[emergency]\nurl = \"{}\"\ntimeout = \"{SECOND}\"\nescalate_after = \"{SECOND}\"\n",
            self.drips.url
        );
        for (name, url) in [
            ("redirects", &self.redirects.url),
            ("stranger", &self.stranger.url("/calls")),
            ("plain", &self.good.url.replace("http:", "https:")),
            ("talks", &self.talks.url),
            ("good", &self.good.url),
        ] {
            text += &format!(
                "[[emergency.targets]]\nname = \"{name}\"\nurl = \"{url}\"\ntimeout = \"{SECOND}\"\n"
            );
        }
        text
    }
}

/// Returns the most memory that the process has used so far, in KiB.
fn peak_kib(vagn: &Vagn) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", vagn.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn wait_opened(good: &Sink, callers: &[String]) -> Duration {
    let began = Instant::now();
    eventually("the good target to hear of all", async || {
        let openings = good.openings();
        callers.iter().all(|caller| openings.contains_key(caller))
    })
    .await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_attempt_to_a_bad_target_is_bounded_and_the_next_target_gets_its_notice() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let chain = Chain::start(Vagn::start(other.path(), &[]));
    let config = settings(dir.path(), &chain.settings());
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    let before = peak_kib(&vagn);
    let callers: Vec<_> = (0..30).map(|number| format!("caller {number}")).collect();
    for caller in &callers {
        vagn.send(&report(caller, 59.33, 18.06, true));
    }
    let turns = Duration::from_secs(Chain::BAD.len() as u64);
    let took = wait_opened(&chain.good, &callers).await;
    assert!(took < 2 * turns, "{took:?} for {turns:?} of turns");
    // One more alarm, while all bad targets are known to be bad; the first target has its second turn meanwhile.
    let late = ["latecomer".to_owned()];
    vagn.send(&report(&late[0], 59.33, 18.06, true));
    let took = wait_opened(&chain.good, &late).await;
    assert!(took < 2 * turns, "{took:?} for {turns:?} of turns");

    let grown = peak_kib(&vagn) - before;
    assert!(grown < GROWTH_MAX, "grew by {grown} KiB");
    assert_taken(&vagn, &chain).await;
    assert_log(&vagn);
    for keys in chain.good.openings().values() {
        assert_eq!(keys.len(), 1, "{keys:?}");
    }
    assert_ledger(&vagn).await;
}

/// Checks that no redirect was followed, and that only a small part of the long answers was read.
async fn assert_taken(vagn: &Vagn, chain: &Chain) {
    let attempts = async |target: &str, outcome: &str| {
        let name = format!("vagn_emergency_attempts_total{{target=\"{target}\",outcome=\"{outcome}\"}}");
        vagn.metric(&name).await as u64
    };
    let redirected = chain.redirects.answered().len() as u64;
    let counted = attempts("redirects", "refused").await;
    assert!(redirected <= counted + 64, "{redirected} requests in {counted} attempts");
    assert!(
        counted >= 31 && attempts("stranger", "failed").await >= 1 && attempts("plain", "failed").await >= 1
    );
    let (said, talked) = (chain.said.load(Ordering::Relaxed), attempts("talks", "refused").await);
    assert!(talked > 0 && said / talked < GIGABYTE / 20, "{said} bytes went out in {talked} attempts");
}

fn assert_log(vagn: &Vagn) {
    let log = vagn.log();
    let said: Vec<_> = log.lines().filter(|line| line.contains("emergency calls are not accepted")).collect();
    for target in Chain::BAD {
        let of_it = said.iter().filter(|line| line.contains(&format!("{target} at "))).count();
        assert_eq!(of_it, 1, "of {target}: {said:#?}");
    }
    assert_eq!(said.len(), Chain::BAD.len(), "{said:#?}");
}

async fn assert_ledger(vagn: &Vagn) {
    let listed = vagn.json("/api/v1/incidents?limit=1000").await;
    for incident in listed["incidents"].as_array().unwrap() {
        assert_eq!(incident["state"], "notified", "{incident}");
        let found = vagn.json(&format!("/api/v1/incidents/{}", incident["id"].as_str().unwrap())).await;
        let ledger: &Vec<Value> = found["ledger"].as_array().unwrap();
        assert!(ledger.iter().all(|one| one["took_ms"].as_u64().unwrap() < 1_000 + SLACK_MS), "{ledger:?}");
        let tried: BTreeSet<_> = ledger.iter().map(|one| one["target"].as_str().unwrap()).collect();
        assert!(tried.contains("good"), "{tried:?}");
    }
}
