//! What a single machine had open when its data directory became that of a node.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use vagn_cluster::trail::{DeedTaken, DeskState, Duty, Taken};

use super::bench::{Bench, Handed, NOW_MS};
use crate::desk::RequestKind;
use crate::id::IncidentId;
use crate::record::attempt::{Attempt, Message};
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::progress::{Decision, State};
use crate::record::rest::parts_of;
use crate::record::store::{FILE, Store};
use crate::trail::{Event, EventKind, SubjectId};

fn id(number: u128) -> IncidentId {
    IncidentId::from_u128(number)
}

fn open(number: u128) -> Incident {
    Incident::example(id(number), &format!("bus {number}"))
}

/// One that the first target has accepted.
fn accepted(number: u128) -> Incident {
    let mut incident = open(number);
    incident.attempted(Attempt::example("county", NOW_MS));
    let told = incident.to_tell();
    incident.notices.delivery("county", NOW_MS).accepted(Message::Opened, told, NOW_MS);
    incident
}

fn by_anna() -> Decision {
    Decision { by: "Anna".into(), at_ms: NOW_MS, note: "".into() }
}

fn acknowledged(number: u128) -> Incident {
    let mut incident = accepted(number);
    incident.acknowledge(by_anna());
    incident
}

fn resolved(mut incident: Incident) -> Incident {
    incident.resolve(by_anna());
    incident
}

/// A draft of an incident with what has happened to it.
fn told(incident: Incident, action: EventKind, by: &str) -> Draft {
    let subject = SubjectId::Incident(incident.id);
    let event = Event { at_ms: NOW_MS, subject, action, by: by.into(), reason: "".into() };
    Draft { events: vec![event], ..Draft::of_record(incident) }
}

/// The directory of a single machine: 1 is accepted, 2 open, 3 acknowledged and 4 resolved; and in the journal alone 5, which was open, is resolved, 6
/// is open, and 2 has a comment.
fn machine() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let store = Store::open(dir.path(), 0, 100).unwrap();
    let opened = |incident: Incident| told(incident, EventKind::Opened, "vagn");
    let first = [accepted(1), open(2), acknowledged(3), resolved(open(4)), open(5)];
    store.save(&first.map(opened)).unwrap();
    drop(store);
    let early = fs::read(&path).unwrap();
    let store = Store::open(dir.path(), 0, 100).unwrap();
    store.save(&[told(open(2), EventKind::Commented, "Bo")]).unwrap();
    store.save(&[told(resolved(open(5)), EventKind::Resolved, "Bo"), opened(open(6))]).unwrap();
    drop(store);
    fs::write(&path, early).unwrap();
    dir
}

/// The bytes of all files in a directory.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files.map(|file| (file.display().to_string(), fs::read(file).unwrap())).collect()
}

/// Hands in all of the rest, and has it recorded and applied from `sequence` on. Returns the number of parts.
fn hand_in(node: &mut Bench, mut sequence: u64) -> usize {
    let (rest, is_end) = node.rest(100);
    assert!(is_end);
    for (deed, part) in &rest {
        assert_eq!(node.desk.deed(*deed, part), Ok(DeedTaken::Open));
    }
    while let Some(group) = node.record(sequence) {
        node.apply(&group, sequence);
        sequence += 1;
    }
    for (deed, part) in &rest {
        assert_eq!(node.desk.deed(*deed, part), Ok(DeedTaken::Recorded));
        node.drop_rest(*deed);
    }
    rest.len()
}

#[test]
fn what_a_single_machine_had_open_goes_on_at_the_desk_of_the_leader_under_its_id_and_once() {
    let before = machine();
    let was = content(before.path());
    let mut node = Bench::in_dir(tempfile::tempdir().unwrap(), Some(before.path()));
    // It is in the node's store: an end before a leader has it loses nothing, and brings nothing twice.
    node = Bench::in_dir(node.end_run(), Some(before.path()));
    node.lead(1);
    assert_eq!(hand_in(&mut node, 1), 4);
    let state = |number| node.stored(id(number)).map(|incident| incident.progress.state);
    assert_eq!([1, 2, 3].map(state), [State::Notified, State::Open, State::Acknowledged].map(Some));
    assert_eq!([4, 5, 6].map(state), [None, None, Some(State::Open)]);
    let trail = node.store().trail_of(id(2)).unwrap();
    let actions: Vec<_> = trail.iter().map(|entry| (entry.action, &*entry.by)).collect();
    let expected = [(EventKind::Opened, "vagn"), (EventKind::Commented, "Bo"), (EventKind::Restored, "vagn")];
    assert_eq!(actions, expected);
    // A target hears of one that it has accepted only what is new.
    let sent = node.send(Duty::Full);
    let mut openings: Vec<_> = sent
        .iter()
        .filter(|(.., message)| *message == "incident.opened")
        .map(|(_, key, _)| key.clone())
        .collect();
    openings.sort();
    assert_eq!(openings, [2, 6].map(|number| id(number).to_string()), "{sent:?}");
    assert_eq!(node.readiness.report().warnings.get("incidents of a single machine"), None);
    assert_eq!(content(before.path()), was, "the files stay as they are");

    // Later starts bring nothing, not even when the files look like others and an incident is over.
    node.act(id(2), RequestKind::Resolve).unwrap();
    let group = node.record(50).unwrap();
    node.apply(&group, 50);
    node = Bench::in_dir(node.end_run(), Some(before.path()));
    assert_eq!(node.rest(9), (Vec::new(), true));
    fs::write(before.path().join(FILE), &was[&before.path().join(FILE).display().to_string()]).unwrap();
    node = Bench::in_dir(node.end_run(), Some(before.path()));
    node.lead(2);
    for (deed, part) in node.rest(9).0 {
        assert_eq!(node.desk.deed(deed, &part), Ok(DeedTaken::Recorded), "nothing of it is new");
    }
    // Nor does another node whose store has not heard yet that it is over.
    let part = parts_of(&told(open(2), EventKind::Opened, "vagn"), None).remove(0);
    assert_eq!(node.desk.deed(vagn_cluster::trail::DeedId(77), &part), Ok(DeedTaken::Recorded));
    assert_eq!(node.take(&Handed::new(2, "bus 2", 1)), Taken::Over);
}

#[test]
fn of_a_machine_that_worked_alone_again_only_what_is_new_comes_to_the_cluster() {
    let before = machine();
    // What its store had lost it notes once.
    drop(Store::open(before.path(), 0, 100).unwrap());
    let mut node = Bench::in_dir(tempfile::tempdir().unwrap(), Some(before.path()));
    node.lead(1);
    hand_in(&mut node, 1);
    node.act(id(2), RequestKind::Resolve).unwrap();
    let group = node.record(50).unwrap();
    node.apply(&group, 50);
    // Without brokers it goes on with what it had, and a person takes one of them on.
    let store = Store::open(before.path(), 0, 100).unwrap();
    let drafts = [(acknowledged(1), EventKind::Commented), (open(9), EventKind::Opened)];
    store.save(&drafts.map(|(incident, action)| told(incident, action, "Bo"))).unwrap();
    drop(store);
    node = Bench::in_dir(node.end_run(), Some(before.path()));
    node.lead(2);
    let (rest, _) = node.rest(100);
    let fates: Vec<_> = rest.iter().map(|(deed, part)| node.desk.deed(*deed, part).unwrap()).collect();
    let [open, recorded] = [DeedTaken::Open, DeedTaken::Recorded];
    assert_eq!(fates, [open, recorded, recorded, open], "1 and 9 are news; 3 and 6 are not, and 2 is over");
    let group = node.record(51).unwrap();
    node.apply(&group, 51);
    assert_eq!(node.stored(id(1)).unwrap().progress.state, State::Acknowledged);
    assert_eq!(node.stored(id(9)).unwrap().progress.state, State::Open);
    let trail = node.store().trail_of(id(1)).unwrap();
    let count = |action| trail.iter().filter(|entry| entry.action == action).count();
    assert_eq!([EventKind::Opened, EventKind::Commented].map(count), [1, 1], "{trail:?}");
}

#[test]
fn a_store_of_a_single_machine_that_cannot_be_read_is_told_and_what_its_journal_has_goes_on() {
    let before = machine();
    let path = before.path().join(FILE);
    let sound = fs::read(&path).unwrap();
    fs::write(&path, vec![7; 4_096]).unwrap();
    let mut node = Bench::in_dir(tempfile::tempdir().unwrap(), Some(before.path()));
    let warning = node.readiness.report().warnings["incidents of a single machine"].clone();
    let told = |words: &str| assert!(warning.contains(words), "{warning}");
    told(&path.display().to_string());
    told("has 4 open incidents");
    told("`vagn repair`");
    node.lead(1);
    assert_eq!(hand_in(&mut node, 1), 4);
    // It is told at each start until the file is mended; then what it had beside is taken over, and nothing twice.
    node = Bench::in_dir(node.end_run(), Some(before.path()));
    assert!(node.readiness.report().warnings.contains_key("incidents of a single machine"));
    node.lead(2);
    for (deed, part) in node.rest(9).0 {
        assert_eq!(node.desk.deed(deed, &part), Ok(DeedTaken::Recorded));
        node.drop_rest(deed);
    }
    fs::write(&path, sound).unwrap();
    node = Bench::in_dir(node.end_run(), Some(before.path()));
    assert_eq!(node.readiness.report().warnings.get("incidents of a single machine"), None);
    node.lead(3);
    // The journal has no trail of what was recorded long ago.
    assert_eq!(hand_in(&mut node, 60), 4);
    assert_eq!(node.store().live().unwrap().len(), 4);
    for number in [1, 2, 3, 6] {
        let trail = node.store().trail_of(id(number)).unwrap();
        let opened = trail.iter().filter(|entry| entry.action == EventKind::Opened).count();
        assert_eq!(opened, 1, "{trail:?}");
    }
    node = Bench::in_dir(node.end_run(), Some(before.path()));
    assert_eq!(node.rest(9), (Vec::new(), true));
}

#[test]
fn a_directory_without_a_store_of_a_single_machine_has_nothing_to_take_over() {
    let before = tempfile::tempdir().unwrap();
    let mut node = Bench::in_dir(tempfile::tempdir().unwrap(), Some(before.path()));
    assert_eq!(node.rest(9), (Vec::new(), true));
    assert_eq!(node.readiness.report().warnings.get("incidents of a single machine"), None);
    assert!(content(before.path()).is_empty());
}
