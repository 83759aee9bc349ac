//! The certificate that the service has made for itself, damaged in the data directory.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::vagn::{Vagn, command};

fn serve(data: &Path) -> Output {
    let mut command = command();
    command.arg("serve").arg("--data-dir").arg(data);
    for flag in ["--udp", "--tcp", "--http", "--ops"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command.output().unwrap()
}

fn repair(data: &Path, args: &[&str]) -> String {
    let output = command().arg("repair").arg("--data-dir").arg(data).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Damages one of the two files, and checks the refusal and the remedy that it names.
fn check(file: &str, damage: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    Vagn::start(dir.path(), &[]).stop();
    let before = fs::read(dir.path().join("cert.pem")).unwrap();
    damage(&dir.path().join(file));
    let damaged = fs::read(dir.path().join(file)).ok();

    let refused = serve(dir.path());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(said.contains(file) && said.contains("vagn repair"), "{said}");

    let said = repair(dir.path(), &["--dry-run"]);
    assert!(said.contains("plan: certificate"), "{said}");
    assert_eq!(fs::read(dir.path().join(file)).ok(), damaged, "it is only said");

    let said = repair(dir.path(), &[]);
    let aside = dir.path().join(format!("{file}.damaged"));
    assert!(said.contains(&aside.display().to_string()), "{said}");
    assert_eq!(fs::read(&aside).ok(), damaged, "what was there is kept as it was");

    Vagn::start(dir.path(), &[]).stop();
    assert_ne!(fs::read(dir.path().join("cert.pem")).unwrap(), before);
    assert!(!repair(dir.path(), &[]).contains("certificate"), "there is nothing more to repair");
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn one_damaged_byte_of_it_is_named_and_repaired() {
    for file in ["cert.pem", "key.pem"] {
        check(file, |path| flip(path, fs::read(path).unwrap().len() / 2));
    }
}

#[test]
fn an_empty_file_and_a_directory_in_its_place_are_named_and_repaired() {
    for file in ["cert.pem", "key.pem"] {
        check(file, |path| fs::write(path, "").unwrap());
        check(file, |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        });
    }
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_named_and_repaired() {
    let other = tempfile::tempdir().unwrap();
    Vagn::start(other.path(), &[]).stop();
    check("key.pem", |path| {
        fs::copy(other.path().join("key.pem"), path).unwrap();
    });
}

#[tokio::test]
async fn the_file_of_the_certificate_is_what_a_client_trusts() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let url = format!("https://localhost:{}/api/v1/incidents", vagn.address("http").port());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--resolve"]);
    curl.arg(format!("localhost:{}:127.0.0.1", vagn.address("http").port()));
    let output = curl.arg("--cacert").arg(dir.path().join("cert.pem")).arg(url).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200", "{}", String::from_utf8_lossy(&output.stderr));
}
