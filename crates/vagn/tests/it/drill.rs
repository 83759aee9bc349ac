//! `vagn drill`: a drill goes through the whole service, to the drill target and to no other.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::json;

use crate::emergencies::Sink;
use crate::vagn::{Vagn, command, eventually, settings};

/// Runs a drill against `vagn`, checks its exit code, and returns its output.
async fn drill(vagn: &Vagn, args: &[&str], code: i32) -> String {
    let mut command = command();
    command.args(["drill", "--target", &vagn.address("tcp").to_string(), "--api", &vagn.url("")]).args(args);
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(code), "vagn drill {args:?}: {said}\n{}", vagn.log());
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_goes_the_whole_way_and_to_the_drill_target_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (real, drills) = (Sink::start(&[]), Sink::start(&[]));
    let vagn = Vagn::start(dir.path(), &["--emergency-url", &real.url, "--drill-url", &drills.url]);
    for round in 1..=2 {
        let said = drill(&vagn, &[], 0).await;
        for step in ["stored after", "called drill target after", "accepted by drill target after", "passed:"]
        {
            assert!(said.contains(step), "{said}");
        }
        assert_eq!(drills.accepted()["drill"].len(), round, "every drill is an incident of its own");
    }
    drill(&vagn, &["bus 7", "--lat", "59.33", "--lon", "18.06"], 0).await;
    let heard = drills.heard();
    assert!(heard.iter().all(|call| call["test"] == true), "{heard:#?}");
    assert!(heard[0]["call"]["lat"].is_null(), "{heard:#?}");
    assert!(heard.iter().any(|call| call["call"]["lat"] == 59.33), "{heard:#?}");
    assert!(real.heard().is_empty(), "{:#?}", real.heard());
    assert_eq!(
        vagn.get("/api/v1/vehicles/drill").await.0,
        404,
        "a drill without a position moves no vehicle"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_and_a_real_alarm_of_one_vehicle_are_two_incidents() {
    let dir = tempfile::tempdir().unwrap();
    let (real, drills) = (Sink::start(&[]), Sink::start(&[]));
    let vagn = Vagn::start(dir.path(), &["--emergency-url", &real.url, "--drill-url", &drills.url]);
    let drilled = json!({"ID": "bus 7", "Lat": 59.33, "Lon": 18.06, "Emergency": true, "Kind": "test"});
    let meant = json!({"ID": "bus 7", "Lat": 59.33, "Lon": 18.06, "Emergency": true});
    // Both in one body, and again after both incidents are open.
    for _ in 0..3 {
        let (status, answer) =
            vagn.post("/api/v1/positions", json!([drilled, meant, drilled]).to_string()).await;
        assert_eq!(status, 200, "{answer}");
        let of = |at: usize| answer["reports"][at]["incident_id"].as_str().unwrap().to_owned();
        assert!(of(0) == of(2) && of(0) != of(1), "{answer}");
        let notified = |sink: &Sink, at| sink.openings().get("bus 7") == Some(&BTreeSet::from([of(at)]));
        eventually("both notices", async || notified(&drills, 0) && notified(&real, 1)).await;
    }
    assert!(real.heard().iter().all(|call| call["test"] == false), "{:#?}", real.heard());
    assert!(drills.heard().iter().all(|call| call["test"] == true), "{:#?}", drills.heard());
    assert_eq!(vagn.json("/api/v1/incidents").await["incidents"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_drill_target_the_drill_fails_and_says_how_to_set_one() {
    let dir = tempfile::tempdir().unwrap();
    let real = Sink::start(&[]);
    let vagn = Vagn::start(dir.path(), &["--emergency-url", &real.url]);
    let said = drill(&vagn, &[], 1).await;
    assert!(said.contains("stored after"), "{said}");
    assert!(said.contains("FAILED: the service has no drill target"), "{said}");
    assert!(said.contains("[emergency.drill]") && said.contains("--drill-url"), "{said}");
    assert!(real.heard().is_empty(), "{:#?}", real.heard());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_drill_says_how_far_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let gone = Sink::start(&["--fail", "1", "--status", "410"]);
    let vagn = Vagn::start(dir.path(), &["--drill-url", &gone.url]);
    let said = drill(&vagn, &[], 1).await;
    assert!(said.contains("refuses it for good: it answered with status 410"), "{said}");

    let busy = Sink::start(&["--fail", "1", "--status", "503"]);
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &["--drill-url", &busy.url]);
    let said = drill(&vagn, &["--within", "2s"], 1).await;
    assert!(said.contains("has not accepted it within 2s: it answered with status 503"), "{said}");
    drop(vagn);

    let nowhere = command().args(["drill", "--target", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    let nowhere = command().args(["drill", "--lat", "91", "--lon", "0"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_the_token_that_the_api_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let drills = Sink::start(&[]);
    let config = dir.path().join("vagn.toml");
    std::fs::write(&config, "[http]\ntokens = [\"open sesame, please\"]\n").unwrap();
    let config = config.to_str().unwrap();
    let vagn = Vagn::start(dir.path(), &["--config", config, "--drill-url", &drills.url]);
    assert!(drill(&vagn, &[], 1).await.contains("--token"));
    let said = drill(&vagn, &["--token", "open barley, please"], 1).await;
    assert!(said.contains("refuses the token that was given") && !said.contains("barley"), "{said}");
    drill(&vagn, &["--token", "open sesame, please"], 0).await;
    let file = dir.path().join("token");
    std::fs::write(&file, "Authorization: Bearer open sesame, please\n").unwrap();
    drill(&vagn, &["--token-file", file.to_str().unwrap()], 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_asks_for_seals_is_drilled_with_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let drills = Sink::start(&[]);
    let config = settings(dir.path(), "[auth]\ndevices = \"required\"\n");
    let data = dir.path().join("data");
    let vagn = Vagn::start(&data, &["--config", &config, "--drill-url", &drills.url]);
    let said = drill(&vagn, &[], 1).await;
    assert!(said.contains("asks for a seal") && said.contains("--key-file"), "{said}");

    let made =
        command().args(["device", "add", "drill", "--json", "--data-dir"]).arg(&data).output().unwrap();
    let file = dir.path().join("drill.key");
    std::fs::write(&file, made.stdout).unwrap();
    let key_file = ["--key-file", file.to_str().unwrap()];
    // A key is in force once the doors have heard of it.
    eventually("a drill under the key", async || {
        let mut drill = command();
        drill
            .args([
                "drill",
                "--within",
                "2s",
                "--target",
                &vagn.address("tcp").to_string(),
                "--api",
                &vagn.url(""),
            ])
            .args(key_file);
        tokio::task::spawn_blocking(move || drill.output().unwrap()).await.unwrap().status.success()
    })
    .await;
    assert!(drill(&vagn, &key_file, 0).await.contains("passed:"));

    let revoked = command().args(["device", "revoke", "drill", "--data-dir"]).arg(&data).status().unwrap();
    assert!(revoked.success());
    eventually("a refusal of the seal", async || {
        let mut drill = command();
        drill.args(["drill", "--within", "1s", "--target", &vagn.address("tcp").to_string()]);
        drill.args(["--api", &vagn.url("")]).args(key_file);
        let output = tokio::task::spawn_blocking(move || drill.output().unwrap()).await.unwrap();
        String::from_utf8_lossy(&output.stdout).contains("may refuse the seal")
    })
    .await;
}
