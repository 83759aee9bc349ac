//! The commands in the README, run as they stand except for the ports.

use std::os::unix::fs::PermissionsExt;
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

/// Returns the commands in the blocks of a section of the README.
fn section(title: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n## {title}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_that_secure_a_fresh_installation_work() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after): (Vec<_>, Vec<_>) =
        section("Secure it").into_iter().partition(|line| !line.contains("backup"));
    let (serve, before): (Vec<_>, Vec<_>) = before.into_iter().partition(|line| line.contains("vagn serve"));
    let run = |lines: &[String]| {
        let script =
            format!("set -e\nvagn() {{ {} \"$@\"; }}\n{}", env!("CARGO_BIN_EXE_vagn"), lines.join("\n"));
        let output = Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = run(&before);
    for file in ["bus-7.key", "drill.key"] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let (variable, serve) = serve[0].split_once(" vagn serve ").unwrap();
    let (name, value) = variable.split_once('=').unwrap();
    assert_eq!(name, "VAGN_AUTH_DEVICES");
    let flags: Vec<_> =
        serve.split(' ').map(|flag| if flag.starts_with("0.0.0.0:") { "0.0.0.0:0" } else { flag }).collect();
    let environment = vec![("VAGN_AUTH_DEVICES", value.to_owned())];
    let vagn = Vagn::start_with(environment, &dir.path().join("vagn-data"), &flags);
    let header = said.lines().rfind(|line| line.contains("Authorization: Bearer")).unwrap().trim();
    std::fs::write(dir.path().join("anna.header"), header).unwrap();
    let address = format!("localhost:{}", vagn.address("http").port());
    let readme = line(&["curl -k -H @anna.header"]);
    let curl =
        readme.split('`').find(|part| part.starts_with("curl")).unwrap().replace("localhost:9090", &address);
    assert_eq!(run(&[curl]).trim(), "[]");
    run(&after);
    assert!(dir.path().join("backups/first").is_dir());
}
