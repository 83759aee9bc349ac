//! What the service keeps is for its own user alone, and what others can read is named.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::vagn::{Vagn, command, report, settings};

/// The directory and all that is in it.
fn all(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all(&path)) } else { found.push(path) }
    }
    found
}

/// Checks that nobody else has a right to any of it.
fn check_private(data: &Path) {
    for path in all(data) {
        let Ok(metadata) = fs::metadata(&path) else { continue }; // It was being written, and has its name now.
        let private = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, private, "{}", path.display());
    }
}

fn doctor(data: &Path) -> String {
    let output = command().args(["doctor", "--ops", "127.0.0.1:1", "--data-dir"]).arg(data).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_data_directory_is_private_and_an_open_one_is_made_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let vagn = Vagn::start(&data, &[]);
    vagn.send(&report("bus", 1.0, 2.0, true));
    vagn.wait_settled(1).await;
    check_private(&data);
    let (_, log) = vagn.stop();
    assert!(!log.contains("other users could read"), "{log}");
    check_private(&data);
    let files = all(&data).len();
    for name in ["manifest", "clock", "lock", "cert.pem", "key.pem", "incidents.redb", "incidents.journal.a"]
    {
        assert!(data.join(name).exists(), "{name}");
    }

    for path in all(&data) {
        fs::set_permissions(&path, Permissions::from_mode(if path.is_dir() { 0o755 } else { 0o644 }))
            .unwrap();
    }
    let said = doctor(&data);
    assert!(said.contains(&format!("other users can read it ({files} files")), "{said}");
    let vagn = Vagn::start(&data, &[]);
    let (_, log) = vagn.stop();
    assert!(log.contains("other users could read the data directory; it is private now"), "{log}");
    check_private(&data);
    assert!(doctor(&data).contains(": private\n"));
}

#[tokio::test]
async fn a_secret_that_others_can_read_and_a_target_in_the_open_are_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        "[http]\ntokens = [\"nobody guesses this\"]\n[emergency]\nurl = \"http://target.invalid/calls\"\n";
    let config = settings(dir.path(), text);
    fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    let (_, log) = vagn.stop();
    let output = command().args(["doctor", "--ops", "127.0.0.1:1", "--config", &config]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for warning in [
        format!("{config} can be read by every user of this machine"),
        "`emergency.url` is plain http".to_owned(),
        "notices to `emergency.url` are not signed".to_owned(),
    ] {
        assert!(log.contains(&warning), "{warning} is not in the log:\n{log}");
        assert!(
            said.contains(&format!("warn  {warning}")) || said.contains(&warning),
            "{warning} is not in\n{said}"
        );
    }
    fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    assert!(!vagn.stop().1.contains("can be read by every user"));
}

#[test]
fn no_secret_is_shown_by_the_settings_or_their_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let hush = "hush-hush-hush-hush";
    let text =
        format!("[http]\ntokens = [\"{hush}\"]\n[emergency]\nurl = \"https://me:{hush}@target.invalid/\"\n");
    let output = command().args(["config", "--config", &settings(dir.path(), &text)]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !said.contains("hush"), "{said}");
    assert!(
        said.contains("# http.tokens is set; not shown\n# emergency.url has a user or password; not shown\n"),
        "{said}"
    );

    let broken = settings(dir.path(), &format!("[http]\ntokens = [\"{hush}\n"));
    let output = command().args(["config", "--config", &broken]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("line 2") && !said.contains("hush"), "{said}");
}
