//! Refusals that come before the body was read: the client sees the answer, whatever it speaks and however much it sends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::vagn::{Vagn, settings};

/// Lengths of bodies: one that fits into a packet, one beyond a window of HTTP/2, and one that takes a while.
const BODIES: [usize; 3] = [12, 100_000, 3 << 20];

/// Tries with the two shorter bodies; enough to meet a race that the client loses every other time.
const TRIES: usize = 40;

/// A request that is refused, and the refusal's status.
struct Refusal {
    path: &'static str,
    args: &'static [&'static str],
    status: &'static str,
}

const BY_THE_API: [Refusal; 5] = [
    Refusal { path: "/api/v1/positions", args: &["-H", "Content-Type: text/plain"], status: "415" },
    Refusal { path: "/api/v1/nowhere", args: &[], status: "404" },
    Refusal { path: "/api/v1/vehicles", args: &[], status: "405" },
    Refusal { path: "/api/v1/positions?lat=1", args: &[], status: "400" },
    Refusal { path: "/api/v1/positions", args: &["-H", "Authorization: Basic none"], status: "401" },
];

const BY_OPS: [Refusal; 6] = [
    Refusal { path: "/nowhere", args: &[], status: "404" },
    Refusal { path: "/metrics", args: &[], status: "405" },
    Refusal { path: "/actors/web/fault?kind=panic", args: &[], status: "403" },
    Refusal { path: "/actors/web/fault", args: &["-X", "PUT"], status: "405" },
    Refusal { path: "/clock/accept", args: &["-H", "X-Vagn:"], status: "403" },
    Refusal { path: "/metrics", args: &["-H", "Host: evil.example"], status: "421" },
];

fn curl(args: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-skS", "-o", "/dev/null", "--max-time", "30"]).args(args);
    command.output().expect("`make test` installs curl")
}

fn body(dir: &Path, len: usize) -> PathBuf {
    let path = dir.join(format!("body-{len}"));
    std::fs::write(&path, vec![b'x'; len]).unwrap();
    path
}

/// Posts `body` to `base` and checks that the refusal arrives.
fn assert_refused(base: &str, version: &str, refusal: &Refusal, body: &Path) {
    let data = format!("@{}", body.display());
    let url = format!("{base}{}", refusal.path);
    let mut args = vec![version, "-w", "%{http_code}", "--data-binary", &data, &url];
    for header in ["Authorization: Bearer a right token of ours", "X-Vagn: 1"] {
        let (name, _) = header.split_once(' ').expect("it has a value");
        if !refusal.args.iter().any(|arg| arg.starts_with(name)) {
            args.extend(["-H", header]);
        }
    }
    args.extend(refusal.args);
    let said = curl(&args);
    let (code, why) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(
        (&*code, said.status.code()),
        (refusal.status, Some(0)),
        "{version} {url} {}: {why}",
        body.display()
    );
}

#[tokio::test]
async fn a_refusal_arrives_over_both_versions_of_http_however_long_the_body_is() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), "[http]\ntokens = [\"a right token of ours\"]\n");
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    let (api, ops) = (format!("https://{}", vagn.address("http")), format!("http://{}", vagn.address("ops")));
    let doors = [
        (&api, "--http1.1", &BY_THE_API[..]),
        (&api, "--http2", &BY_THE_API),
        (&ops, "--http1.1", &BY_OPS),
        (&ops, "--http2-prior-knowledge", &BY_OPS),
    ];
    for body in BODIES.map(|len| body(dir.path(), len)) {
        for (base, version, refusals) in doors {
            for refusal in refusals {
                assert_refused(base, version, refusal, &body);
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_over_http_2_arrives_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(&dir.path().join("data"), &[]);
    let base = format!("https://{}", vagn.address("http"));
    for body in [BODIES[0], BODIES[1]].map(|len| body(dir.path(), len)) {
        for _ in 0..TRIES {
            assert_refused(&base, "--http2", &BY_THE_API[0], &body);
        }
    }
}

#[tokio::test]
async fn a_connection_is_of_use_after_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(&dir.path().join("data"), &[]);
    let data = format!("@{}", body(dir.path(), BODIES[1]).display());
    let (refused, fine) = (vagn.url("/api/v1/nowhere"), vagn.url("/api/v1/vehicles?bbox=0,0,1,1"));
    let shown = ["-w", "%{http_code} %{num_connects}\n"];
    for version in ["--http1.1", "--http2"] {
        let mut args = vec![version, "--data-binary", &data, &refused];
        args.extend(shown);
        args.extend(["--next", "-skS", "-o", "/dev/null", version, &fine]);
        args.extend(shown);
        let said = curl(&args);
        assert_eq!(String::from_utf8_lossy(&said.stdout), "404 1\n200 0\n", "{version}");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_without_sending_its_body() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(&dir.path().join("data"), &[]);
    let data = format!("@{}", body(dir.path(), BODIES[2]).display());
    let url = vagn.url("/api/v1/nowhere");
    let asks = ["--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", "20"];
    let mut args = asks.to_vec();
    args.extend(["-w", "%{http_code} %{size_upload}", "--data-binary", &data, &url]);
    assert_eq!(String::from_utf8_lossy(&curl(&args).stdout), "404 0");
}
