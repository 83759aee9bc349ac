//! Places under crowds, on a clock that a test moves.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::clock::ManualClock;

const REMEDY: &str = "raise `http.max_connections`";

/// Last number of the address of a proxy that the operator has named.
const SHARED: u8 = 200;

struct Scene {
    places: Arc<Places>,
    registry: Arc<MetricRegistry>,
    readiness: Arc<Readiness>,
    clock: Arc<ManualClock>,
}

fn scene(most: usize) -> Scene {
    let (registry, readiness) = (MetricRegistry::new(), Arc::new(Readiness::default()));
    let clock = Arc::new(ManualClock::at(0));
    let parts = PlaceParts {
        metrics: PlaceMetrics::new(&registry),
        readiness: readiness.clone(),
        clock: clock.clone(),
        seed: 7,
    };
    let shared = SharedAddresses::new([address(SHARED)]);
    Scene { places: Places::new("http", REMEDY, most, shared, &parts), registry, readiness, clock }
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

impl Scene {
    fn take(&self, last: u8) -> Result<Place, Refusal> {
        self.places.take(address(last))
    }

    /// Fills places from these addresses in turn, each a little later than the one before.
    fn fill(&self, sources: &[u8]) -> Vec<Place> {
        let take = |last: &u8| {
            self.clock.advance(Duration::from_millis(1));
            self.take(*last).unwrap()
        };
        sources.iter().map(take).collect()
    }

    fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// Returns the places that newcomers got, by number, and the reason.
fn displaced(places: &[Place]) -> Vec<(usize, Displaced)> {
    let told = places.iter().map(|place| place.displaced().now_or_never());
    told.enumerate().filter_map(|(at, told)| Some((at, told?))).collect()
}

#[test]
fn one_source_leaves_places_for_all_others() {
    let scene = scene(10);
    let crowd: Vec<Place> = scene.fill(&[1; 5]);
    assert_eq!(scene.take(1).unwrap_err(), Refusal::SourceFull);
    let others = scene.fill(&[2, 3, 4, 5, 6]);
    let asked: Vec<Asked> = crowd.iter().chain(&others).map(Place::ask).collect();
    assert_eq!(scene.take(9).unwrap_err(), Refusal::Full);
    drop((crowd, asked));
    assert!(scene.take(1).is_ok());
    drop(others);
    assert_eq!(scene.places.open.lock().holders.count(), 0);
    assert_eq!(scene.places.open.lock().holders.of(address(1).into()).all, 0, "it is forgotten");
}

#[test]
fn a_proxy_that_is_named_may_have_all_places_and_keeps_only_those_that_it_uses() {
    let scene = scene(10);
    let proxied = scene.fill(&[SHARED; 10]);
    let asked: Vec<Asked> = proxied[1..].iter().map(Place::ask).collect();
    assert_eq!(scene.take(SHARED).unwrap_err(), Refusal::Full, "it pushes out none of its own connections");
    scene.wait(2);
    let newcomer = scene.take(9).unwrap();
    assert_eq!(displaced(&proxied), [(0, Displaced::Unasked)], "in choosing it is a source as any other");
    drop((asked, newcomer));
}

#[test]
fn a_full_port_is_warned_of_until_a_tenth_is_free() {
    let scene = scene(20);
    let mut all: Vec<Place> = scene.fill(&(0..20).collect::<Vec<_>>());
    let asked: Vec<Asked> = all.iter().map(Place::ask).collect();
    let warnings = || scene.readiness.report().warnings;
    assert!(warnings().is_empty(), "full, but without a refusal");
    scene.take(99).unwrap_err();
    assert!(warnings()["http connections"].ends_with(REMEDY), "{:?}", warnings());
    all.pop();
    assert_eq!(warnings().len(), 1);
    all.pop();
    assert!(warnings().is_empty());
    let page = scene.registry.page();
    assert!(page.contains("vagn_port_connections{port=\"http\"} 18"), "{page}");
    assert!(page.contains("vagn_port_connections_max{port=\"http\"} 20"), "{page}");
    drop(asked);
}

#[test]
fn a_newcomer_gets_the_oldest_silent_place_of_the_source_that_has_most() {
    let scene = scene(8);
    let mut all = scene.fill(&[1, 2]);
    scene.wait(1);
    all.extend(scene.fill(&[3, 2, 3, 3]));
    let asked = all[4].ask();
    scene.wait(2);
    // These are too young to be blamed.
    all.extend(scene.fill(&[4, 4]));
    let newcomer = scene.take(9).unwrap();
    // Of 2 and of 3 two are silent, and the first of 2 is older than those of 3.
    assert_eq!(displaced(&all), [(1, Displaced::Unasked)]);
    drop((newcomer, asked));
}

#[test]
fn a_source_of_the_crowd_gets_no_place_of_one_that_has_about_as_few() {
    let scene = scene(8);
    let all = scene.fill(&[1, 1, 2, 2, 2, 3, 4, 4]);
    scene.wait(60);
    // A third one for the first would take from those who have as few: only the one with three has more than it, and not by two.
    assert_eq!(scene.take(1).unwrap_err(), Refusal::Full);
    assert!(scene.take(3).is_ok(), "a second one of the source that has one");
    assert_eq!(displaced(&all), [(2, Displaced::Unasked)]);
}

#[test]
fn places_that_are_used_do_not_count_against_a_source() {
    let scene = scene(8);
    let all = scene.fill(&[1, 1, 1, 2, 3, 4, 5, 6]);
    let asked: Vec<Asked> = all[..3].iter().map(Place::ask).collect();
    scene.wait(2);
    let newcomer = scene.take(1).unwrap();
    assert_eq!(displaced(&all), [(3, Displaced::Unasked)]);
    drop((asked, newcomer));
}

#[test]
fn a_lone_client_keeps_its_place_while_a_source_of_the_crowd_has_more() {
    let scene = scene(8);
    let mut crowd = scene.fill(&[1, 1, 2, 2, 3, 3, 4]);
    let honest = scene.take(9).unwrap();
    let mut came = Vec::new();
    for round in 0..60 {
        scene.wait(2);
        let newcomer = scene.take(1 + round % 6);
        let told = displaced(&crowd);
        told.iter().for_each(|(at, _)| drop(crowd.remove(*at)));
        came.extend(newcomer.is_ok().then_some(round));
        crowd.extend(newcomer);
    }
    assert_eq!(came, [4, 5], "only those two that had no place; then nothing moves any more");
    assert_eq!(honest.displaced().now_or_never(), None);
}

#[test]
fn more_sources_than_places_have_the_oldest_go_first() {
    let scene = scene(8);
    let all = scene.fill(&[1, 2, 3, 4, 5, 6, 7, 8]);
    let newcomer = scene.take(9).unwrap();
    assert_eq!(displaced(&all), [(0, Displaced::Unasked)]);
    drop(newcomer);
    assert_eq!(scene.take(2).unwrap_err(), Refusal::Full, "it has a place that is as young as the others");
}

#[test]
fn idle_connections_come_after_silent_ones_and_busy_ones_never() {
    let scene = scene(8);
    let mut all = scene.fill(&[1, 2, 3, 4, 5, 6, 7]);
    let reads_a_stream = all[0].ask();
    all[1..].iter().for_each(|place| drop(place.ask()));
    scene.wait(13);
    all.extend(scene.fill(&[8]));
    // Asks every second, and so do all after it.
    scene.wait(2);
    all[2..7].iter().for_each(|place| drop(place.ask()));
    let silent = scene.take(9).unwrap();
    assert_eq!(displaced(&all), [(7, Displaced::Unasked)], "the silent one first");
    all.pop();
    drop(silent.ask());
    let idle = scene.take(10).unwrap();
    assert_eq!(displaced(&all), [(1, Displaced::Idle)]);
    drop(idle.ask());
    all.remove(1);
    assert_eq!(scene.take(11).unwrap_err(), Refusal::Full, "all others are in use");
    drop((reads_a_stream, silent));
}

#[test]
fn half_a_request_keeps_its_place_no_longer_than_none() {
    let scene = scene(16);
    let all = scene.fill(&(1..=16).collect::<Vec<_>>());
    let whole: Vec<Asked> = all[2..].iter().map(Place::ask).collect();
    // One has never asked anything as a whole, and one has.
    drop(all[1].ask());
    scene.wait(1);
    all[..2].iter().for_each(Place::await_body);
    scene.wait(1);
    assert_eq!(scene.take(2).unwrap_err(), Refusal::Full, "both have had a second for their bodies");
    scene.wait(1);
    // Another half of a request gains no time.
    all[..2].iter().for_each(Place::await_body);
    let first = scene.take(20).unwrap();
    let second = scene.take(21).unwrap();
    assert_eq!(displaced(&all), [(0, Displaced::Unasked), (1, Displaced::Idle)]);
    drop((first, second, whole));
}

#[test]
fn a_body_that_has_come_whole_keeps_its_place() {
    let scene = scene(8);
    let all = scene.fill(&[1, 2, 3, 4, 5, 6, 7, 8]);
    all.iter().for_each(Place::await_body);
    scene.wait(1);
    let whole: Vec<Asked> = all.iter().map(Place::ask).collect();
    scene.wait(60);
    assert_eq!(scene.take(9).unwrap_err(), Refusal::Full, "all are being answered");
    drop(whole);
    scene.wait(14);
    assert_eq!(scene.take(9).unwrap_err(), Refusal::Full, "all were answered just now");
    scene.wait(1);
    assert!(scene.take(9).is_ok());
}

#[test]
fn what_is_asked_before_the_end_is_told_keeps_its_place() {
    let scene = scene(8);
    let all = scene.fill(&[1, 2, 3, 4, 5, 6, 7, 8]);
    let held: Vec<Asked> = all[1..].iter().map(Place::ask).collect();
    scene.wait(2);
    let newcomer = scene.take(9).unwrap();
    let asked = all[0].ask();
    assert_eq!(displaced(&all), []);
    drop((asked, newcomer));
    scene.wait(15);
    // It can be displaced as any other one.
    assert!(scene.take(10).is_ok());
    assert_eq!(displaced(&all), [(0, Displaced::Idle)]);
    drop(held);
}

#[test]
fn few_are_about_to_leave_at_a_time() {
    let scene = scene(16);
    let mut all = scene.fill(&(1..=16).collect::<Vec<_>>());
    scene.wait(2);
    let newcomers = scene.fill(&[20, 21]);
    assert_eq!(scene.take(22).unwrap_err(), Refusal::Full, "two more than there are places");
    let told = displaced(&all);
    assert_eq!(told.len(), 2);
    all.swap_remove(told[0].0);
    assert!(scene.take(22).is_ok(), "one has left");
    drop(newcomers);
}

#[test]
fn a_large_crowd_is_looked_at_by_a_sample() {
    let scene = scene(1_000);
    let of = |number: usize| IpAddr::from([10, 0, (number / 256) as u8, number as u8]);
    let crowd: Vec<Place> = (0..1_000).map(|number| scene.places.take(of(number)).unwrap()).collect();
    scene.wait(2);
    let newcomers: Vec<Place> = (2_000..2_064).map(|number| scene.places.take(of(number)).unwrap()).collect();
    let told = displaced(&crowd);
    assert_eq!(told.len(), newcomers.len(), "each newcomer gets another one's place");
    assert!(told.iter().any(|(at, _)| (100..900).contains(at)), "always the same ones: {told:?}");
    assert!(scene.places.take(of(3_000)).is_err());
    drop(crowd);
    assert_eq!(scene.places.open.lock().holders.count(), newcomers.len());
}
