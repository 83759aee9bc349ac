//! The commands in the README, run as they stand except for the ports.

use std::process::{Command, Output};

use crate::vagn::{Vagn, eventually};

/// Returns the first line of the README that has all of these words, with the lines that continue it.
fn line(words: &[&str]) -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let commands = readme.replace("|\n  ", "| ");
    let found = commands.lines().find(|line| words.iter().all(|word| line.contains(word)));
    found.unwrap_or_else(|| panic!("the README has no line with {words:?}")).to_owned()
}

fn shell(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().unwrap()
}

#[tokio::test]
async fn netcat_sends_a_position_and_curl_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let (udp, http) = (vagn.address("udp"), vagn.address("http"));
    let send =
        line(&["base64 -d", "nc -u"]).replace("localhost 9092", &format!("{} {}", udp.ip(), udp.port()));
    let sent = shell(&send);
    assert!(sent.status.success(), "{send}\n{}", String::from_utf8_lossy(&sent.stderr));
    eventually("the position to be stored", async || vagn.fate("stored").await == 1).await;
    let ask = line(&["curl -k", "lon=-77.32"]).replace("localhost:9090", &http.to_string());
    let answer = String::from_utf8(shell(&ask).stdout).unwrap();
    assert!(answer.starts_with(r#"[{"ID":"4e091396-62ae-4f3b-8715-7b4fc9c64d14","Lat":-36.47"#), "{answer}");
    let unquoted = shell(&ask.replace('\'', ""));
    let answer = String::from_utf8(unquoted.stdout).unwrap();
    assert!(answer.contains("quote"), "{answer}");
}
