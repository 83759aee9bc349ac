//! Variables of the environment that begin like settings.

use std::collections::BTreeSet;

use crate::source::workspace;
use crate::vagn::{Vagn, command};

#[tokio::test]
async fn a_foreign_variable_is_a_warning_in_the_log_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("VAGN_VERSION", "1.2.3"), ("VAGN_FSINC", "1s")];
    let vagn = Vagn::start_in(dir.path(), &[], &variables);
    let (status, log) = vagn.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("VAGN_VERSION, which is no setting and is ignored"), "{log}");
    assert!(log.contains("VAGN_FSINC, which is no setting; did you mean VAGN_FSYNC?"), "{log}");
}

#[test]
fn a_foreign_variable_is_a_warning_on_standard_error_of_the_command_that_prints_the_settings() {
    let output = command().arg("config").env("VAGN_VERSION", "1.2.3").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warning: the environment has VAGN_VERSION"), "{said}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("VERSION"));
}

#[test]
fn a_setting_that_cannot_be_read_stays_an_error_wherever_it_comes_from() {
    let output = command().arg("config").env("VAGN_MAX_VEHICLES", "many").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("VAGN_MAX_VEHICLES"));

    let dir = tempfile::tempdir().unwrap();
    let file = crate::vagn::settings(dir.path(), "version = \"1.2.3\"\n");
    let output = command().args(["config", "--config", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("version"));
}

#[test]
fn variables_that_deploy_gives_to_the_service_are_settings() {
    let read = |file: &str| std::fs::read_to_string(workspace().join("deploy").join(file)).unwrap();
    let compose = read("compose/compose.yaml");
    let chart = read("helm/vagn/templates/nodes.yaml");
    // In the one they are keys, in the other values of `name`.
    let keys = compose.lines().filter_map(|line| line.trim_start().split_once(": ").map(|(key, _)| key));
    let names = chart.lines().filter_map(|line| line.trim_start().strip_prefix("- name: "));
    let variables: BTreeSet<&str> = keys.chain(names).filter(|name| name.starts_with("VAGN_")).collect();
    assert!(
        variables.contains("VAGN_CLUSTER_ZONE") && variables.contains("VAGN_INSECURE_OPEN"),
        "{variables:?}"
    );
    for name in variables {
        let output = command().arg("config").env(name, "").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("is no setting"), "{name}: {said}");
    }
}
