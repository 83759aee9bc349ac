//! The recorded traces that ship with the project, played from the first row to the last.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use vagn_load::replay::{Replay, ReplaySettings};
use vagn_load::source::{Next, Source};
use vagn_load::timeline::Speed;
use vagn_wire::decode;

const NOW_MS: i64 = 1_790_000_000_000;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name)
}

fn settings(speed: Speed, now_ms: Option<i64>) -> ReplaySettings {
    ReplaySettings { speed, now_ms, gap_max: Duration::from_secs(300), ask_acks: true }
}

/// Counts of a played trace.
#[derive(Debug, Default, PartialEq)]
struct Played {
    rows: u64,
    vehicles: usize,
    /// Rows that are duplicates to a server: same `Ts` and position as the vehicle's row before.
    duplicates: usize,
    at_zero: usize,
    without_speed: usize,
    took: Duration,
    last_ms: i64,
}

fn play(name: &str, settings: ReplaySettings) -> Played {
    let mut replay = Replay::open(&file(name), settings).unwrap();
    let (mut played, mut bytes) = (Played::default(), Vec::new());
    let (mut latest, mut seqs) = (HashMap::new(), HashSet::new());
    loop {
        bytes.clear();
        match replay.next(played.took, &mut bytes).unwrap() {
            Next::Wait(wait) => played.took += wait,
            Next::End => break,
            Next::Report { emergency } => {
                assert!(!emergency);
                let report = decode(&bytes).unwrap();
                let position = report.position.unwrap();
                let (id, time_ms) = (report.vehicle_id.to_string(), report.event_time_ms.unwrap());
                let row = (time_ms, position.lat().to_bits(), position.lon().to_bits());
                assert!(seqs.insert(report.seq.unwrap()), "two rows with one Seq");
                assert!(report.speed_mps.is_none_or(|speed_mps| speed_mps < 80.0));
                played.rows += 1;
                played.duplicates += usize::from(latest.insert(id, row) == Some(row));
                played.at_zero += usize::from((position.lat(), position.lon()) == (0.0, 0.0));
                played.without_speed += usize::from(report.speed_mps.is_none());
                played.last_ms = played.last_ms.max(time_ms);
            }
        }
    }
    assert_eq!(replay.unusable().rows, 0);
    played.vehicles = latest.len();
    played
}

#[test]
fn every_row_of_every_trace_is_sent_with_its_faults() {
    let check = |name, rows, vehicles, duplicates, at_zero, without_speed| {
        let played = play(name, settings(Speed::Max, None));
        let got = (played.rows, played.vehicles, played.duplicates, played.at_zero, played.without_speed);
        assert_eq!(got, (rows, vehicles, duplicates, at_zero, without_speed), "{name}");
        assert_eq!(played.took, Duration::ZERO);
    };
    check("capmetro-austin-30min-small.csv", 5_241, 300, 0, 3, 2);
    check("capmetro-austin-3weekdays.csv.zst", 125_957, 401, 1, 27, 61);
    check("ais-us-2022-01-03-sample.csv.zst", 99_999, 10_631, 0, 0, 177);
    check("hurdat2-antimeridian-storms.csv", 1_159, 20, 0, 0, 1_159);
}

#[test]
fn a_backlog_stamped_now_ends_now_and_keeps_its_duplicates() {
    let played = play("capmetro-austin-3weekdays.csv.zst", settings(Speed::Max, Some(NOW_MS)));
    assert_eq!((played.rows, played.duplicates, played.last_ms), (125_957, 1, NOW_MS));
}

#[test]
fn half_an_hour_takes_half_a_minute_at_sixty_times_the_speed() {
    let played = play("capmetro-austin-30min-small.csv", settings(Speed::Times(60.0), Some(NOW_MS)));
    // The (0, 0) rows are hours older than the rest: their silence is cut to 5 minutes, 5 s at this speed.
    assert!((30.0..50.0).contains(&played.took.as_secs_f64()), "{:?}", played.took);
    assert_eq!(played.last_ms, NOW_MS + played.took.as_millis() as i64);
}

#[test]
fn a_damaged_file_is_told_from_one_that_ended() {
    let whole = std::fs::read(file("ais-us-2022-01-03-sample.csv.zst")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.csv.zst");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let mut replay = Replay::open(&cut, settings(Speed::Max, None)).unwrap();
    let mut bytes = Vec::new();
    let end = loop {
        bytes.clear();
        match replay.next(Duration::ZERO, &mut bytes) {
            Ok(Next::Report { .. }) => {}
            end => break end,
        }
    };
    assert!(end.is_err(), "{end:?}");
}

#[test]
fn a_missing_file_is_named() {
    let Err(err) = Replay::open(&file("nowhere.csv"), settings(Speed::Max, None)) else {
        panic!("it is not there")
    };
    assert!(err.to_string().contains("nowhere.csv"), "{err}");
}
