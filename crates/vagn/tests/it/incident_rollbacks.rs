//! `kill -9`, and then a flipped bit in the incident store, or no store at all: an acknowledged call is there and is made, or the
//! file is named. It is never gone without a word.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::audit::said;
use crate::emergencies::Sink;
use crate::vagn::{Vagn, command, eventually};

const FILES: [&str; 3] = ["incidents.redb", "incidents.journal.a", "incidents.journal.b"];

type Images = [Vec<u8>; 3];

/// Raises alarms of these vehicles one after the other, each answered as on disk; a person acknowledges the first. Then
/// the service is killed. Returns the files as they are then.
async fn killed(dir: &Path, vehicles: &[&str]) -> Images {
    let mut vagn = Vagn::start(dir, &[]);
    let mut incidents = Vec::new();
    for vehicle in vehicles {
        let alarm = json!([{"ID": vehicle, "Lat": 59.3, "Lon": 18.0, "Emergency": true}]);
        let (status, answer) = vagn.post("/api/v1/positions", alarm.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        incidents.push(answer["reports"][0]["incident_id"].as_str().unwrap().to_owned());
    }
    let (status, answer) = vagn
        .post(&format!("/api/v1/incidents/{}/acknowledge", incidents[0]), json!({"by": "Anna"}).to_string())
        .await;
    assert_eq!((status, &answer["recorded"]), (200, &Value::Bool(true)), "{answer}");
    vagn.kill();
    FILES.map(|name| fs::read(dir.join(name)).unwrap())
}

fn put(dir: &Path, images: &Images) {
    for (name, image) in FILES.iter().zip(images) {
        fs::write(dir.join(name), image).unwrap();
    }
}

/// Counts the first notices about a vehicle.
fn openings(sink: &Sink, vehicle: &str) -> usize {
    let heard = sink.heard();
    let of = heard.iter().filter(|notice| notice["call"]["vehicle_id"] == vehicle);
    of.filter(|notice| notice["type"] == "incident.opened").count()
}

async fn acknowledged(vagn: &Vagn) -> Option<String> {
    let page = vagn.json("/api/v1/incidents?state=acknowledged").await;
    Some(page["incidents"].as_array()?.first()?["vehicle_id"].as_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_call_is_made_whichever_bit_of_the_store_flips_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let images = killed(dir.path(), &["first", "last"]).await;
    let sink = Sink::start(&[]);
    // The bits that choose between the two latest commits, both commits' slots, and some pages.
    let in_slots = (0..16).map(|part| (64 + part * 16 + part % 5, part % 8));
    let places = (0..3).map(|bit| (9, bit)).chain(in_slots).chain((1..4).map(|page| (page * 4096 + 40, 3)));
    let (mut rolled_back, mut refused) = (0, 0);
    for (at, bit) in places {
        let mut flipped = images.clone();
        flipped[0][at] ^= 1 << bit;
        put(dir.path(), &flipped);
        let audit = command().args(["audit", "verify", "--data-dir", data]).output().unwrap();
        let audit = String::from_utf8_lossy(&audit.stdout).into_owned();
        let before = openings(&sink, "last");
        let vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
        eventually("the call to be made", async || openings(&sink, "last") > before).await;
        let ready = vagn.ops("/readyz").await.1;
        if ready.contains("incident store") {
            refused += 1;
            assert!(ready.contains("incidents.redb") && vagn.log().contains("incidents.redb"), "{ready}");
            assert!(!audit.starts_with("whole"), "byte {at}: {audit}");
        } else {
            assert_eq!(acknowledged(&vagn).await.as_deref(), Some("first"), "byte {at}");
        }
        if audit.contains("has rolled back") {
            rolled_back += 1;
            assert!(ready.contains("incidents restored"), "byte {at}: {ready}\n{}", vagn.log());
            assert!(vagn.log().contains("incident store had rolled back"), "{}", vagn.log());
            assert_eq!(vagn.stop().0.code(), Some(0));
            assert!(said(&["verify", "--data-dir", data], 0).contains("has again from its journal"));
        }
    }
    assert!(rolled_back > 0 && refused > 0, "{rolled_back} rolled back, {refused} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_is_named_its_calls_are_made_and_repair_makes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let (data, store) = (dir.path().to_str().unwrap(), dir.path().join("incidents.redb"));
    let images = killed(dir.path(), &["first", "last"]).await;
    let sink = Sink::start(&[]);
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 3] = [
        (|store| fs::remove_file(store).unwrap(), "is missing"),
        (|store| fs::write(store, b"").unwrap(), "is empty"),
        (
            |store| {
                fs::remove_file(store).unwrap();
                std::os::unix::fs::symlink("/nowhere/incidents.redb", store).unwrap();
            },
            "leads nowhere",
        ),
    ];
    for (harm, word) in harms {
        // A link is not to be written through.
        fs::remove_file(&store).ok();
        put(dir.path(), &images);
        harm(&store);
        let before = openings(&sink, "last");
        let vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
        eventually("the call to be made", async || openings(&sink, "last") > before).await;
        let ready = vagn.ops("/readyz").await.1;
        assert!(
            ready.contains("incidents.redb") && ready.contains(word) && ready.contains("vagn repair"),
            "{ready}"
        );
        assert_eq!(vagn.stop().0.code(), Some(0));
        let repaired = command().args(["repair", "--data-dir", data]).output().unwrap();
        let repaired = String::from_utf8_lossy(&repaired.stdout).into_owned();
        assert!(repaired.contains("made anew, with the 2 incidents"), "{repaired}");
        let vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
        assert_eq!(acknowledged(&vagn).await.as_deref(), Some("first"), "{word}");
        assert_eq!(vagn.stop().0.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_with_its_journal_is_missed_and_not_made_anew_but_by_repair() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path(), &["first"]).await;
    FILES.iter().for_each(|name| fs::remove_file(dir.path().join(name)).unwrap());
    let vagn = Vagn::start(dir.path(), &[]);
    eventually("the store to be missed", async || {
        let ready = vagn.ops("/readyz").await.1;
        ready.contains("incident store") && ready.contains("incidents.redb") && ready.contains("vagn repair")
    })
    .await;
    assert!(FILES.iter().all(|name| !dir.path().join(name).exists()));
    assert_eq!(vagn.stop().0.code(), Some(0));
    let repaired = command().args(["repair", "--data-dir", dir.path().to_str().unwrap()]).output().unwrap();
    assert!(repaired.status.success(), "{}", String::from_utf8_lossy(&repaired.stderr));
    let vagn = Vagn::start(dir.path(), &[]);
    let alarm = json!([{"ID": "next", "Lat": 59.3, "Lon": 18.0, "Emergency": true}]).to_string();
    let (status, answer) = vagn.post("/api/v1/positions", alarm).await;
    assert!(status == 200 && answer["reports"][0]["incident_id"].is_string(), "{answer}\n{}", vagn.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_lost_is_named_and_begun_anew_and_a_kill_in_a_save_raises_no_alarm() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path(), &["first", "last"]).await;
    for name in &FILES[1..] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let vagn = Vagn::start(dir.path(), &[]);
    let warned = async || vagn.ops("/readyz").await.1.contains("incident journal");
    eventually("the journal to be named", warned).await;
    let vagn = vagn.restart();
    assert_eq!(acknowledged(&vagn).await.as_deref(), Some("first"));
    let ready = vagn.ops("/readyz").await.1;
    assert!(!ready.contains("incident journal") && !ready.contains("incidents restored"), "{ready}");
}
