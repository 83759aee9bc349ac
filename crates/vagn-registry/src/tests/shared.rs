//! Several nodes with copies of one bucket: a model of it that delivers when it is told to, and answers badly when it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use redb::backends::InMemoryBackend;

use super::NOW;
use crate::shared::{Appended, Arrived, Bucket};
use crate::{DeviceOf, Kind, NewToken, Put, PutError, Registry, Role};

/// How the bucket answers the next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is done, and nobody hears of it.
    DoneWithoutAnswer,
    /// It is not done, and nobody hears of it.
    NotDone,
    /// Another node writes first.
    Overtaken,
}

/// A bucket: the last version of each object.
#[derive(Default)]
struct Model {
    state: Mutex<State>,
}

/// Sequence and content; `None`: it was removed.
type Version = (u64, Option<Vec<u8>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<(Kind, String), Version>,
    last: u64,
    faults: Vec<Fault>,
    nodes: Vec<Registry>,
    writes: usize,
}

/// The way of a node to the bucket.
struct To(Weak<Model>);

impl Bucket for To {
    fn append(&self, after: u64, objects: &[Put<'_>]) -> Appended {
        let model = self.0.upgrade().expect("the bucket is there");
        let answer = model.state.lock().append(after, objects);
        // A node hears of what is there at the latest when it is told that it was not first.
        model.deliver_all();
        answer
    }
}

impl State {
    fn append(&mut self, after: u64, objects: &[Put<'_>]) -> Appended {
        let fault = self.faults.pop();
        if fault == Some(Fault::Overtaken) {
            let value = format!("{{\"by\":{}}}", self.last).into_bytes();
            self.write(Kind::Session, "another", Some(value));
        }
        if fault == Some(Fault::NotDone) {
            return Appended::NoAnswer;
        }
        if after != self.last {
            return Appended::Elsewhere;
        }
        self.writes += 1;
        for put in objects {
            self.write(put.kind, put.key, put.value.map(<[u8]>::to_vec));
        }
        if fault == Some(Fault::DoneWithoutAnswer) { Appended::NoAnswer } else { Appended::At(self.last) }
    }

    fn write(&mut self, kind: Kind, key: &str, value: Option<Vec<u8>>) {
        self.last += 1;
        self.objects.insert((kind, key.to_owned()), (self.last, value));
    }

    fn after(&self, sequence: u64) -> Vec<Arrived> {
        let later = self.objects.iter().filter(|(_, (at, _))| *at > sequence);
        let mut later: Vec<_> = later
            .map(|((kind, key), (at, value))| Arrived {
                sequence: *at,
                kind: *kind,
                key: key.as_str().into(),
                value: value.clone(),
            })
            .collect();
        later.sort_by_key(|one| one.sequence);
        later
    }
}

impl Model {
    fn new(nodes: usize) -> Arc<Self> {
        let model = Arc::new(Self::default());
        for _ in 0..nodes {
            let registry = Registry::open_on(InMemoryBackend::new(), None).unwrap();
            let registry = registry.shared_by(Arc::new(To(Arc::downgrade(&model)))).unwrap();
            let copy = registry.begin_copy().unwrap();
            registry.finish_copy(&copy, 1, 0, NOW).unwrap();
            registry.note_copy();
            registry.set_closed(None);
            model.state.lock().nodes.push(registry);
        }
        model
    }

    fn node(&self, node: usize) -> Registry {
        self.state.lock().nodes[node].clone()
    }

    fn deliver(&self, node: usize) {
        let state = self.state.lock();
        let registry = &state.nodes[node];
        registry.take(&state.after(registry.copied().unwrap().sequence), state.last).unwrap();
    }

    fn deliver_all(&self) {
        let count = self.state.lock().nodes.len();
        (0..count).for_each(|node| self.deliver(node));
    }

    fn fail(&self, faults: &[Fault]) {
        self.state.lock().faults = faults.to_vec();
    }

    /// Every node has what the bucket has, under the same revisions.
    fn check(&self) {
        self.deliver_all();
        let state = self.state.lock();
        for kind in Kind::ALL {
            let there = state.objects.iter().filter(|((of, _), _)| *of == kind);
            let expected: Vec<_> = there
                .filter_map(|((_, key), (at, value))| Some((key.clone(), *at, value.clone()?)))
                .collect();
            for node in &state.nodes {
                let listed = node.list(kind).unwrap().into_iter();
                let found: Vec<_> =
                    listed.map(|(key, object)| (key.into_string(), object.revision, object.value)).collect();
                assert_eq!((found.len() as u64, &found), (node.count(kind).unwrap(), &expected));
            }
        }
    }
}

fn vehicle(name: &str) -> DeviceOf {
    DeviceOf::Vehicle(name.into())
}

fn token(name: &str) -> NewToken {
    NewToken { name: name.into(), role: Role::Read, is_person: false, is_on_behalf: false, expires_ms: None }
}

#[test]
fn a_name_has_one_key_over_all_nodes() {
    let model = Model::new(3);
    model.node(0).add_device(vehicle("TAXI1"), NOW).unwrap();
    for node in 1..3 {
        let taken = model.node(node).add_device(vehicle("TAXI1"), NOW);
        assert!(matches!(taken, Err(PutError::NameTaken { .. })), "{taken:?}");
    }
    let won = thread::scope(|scope| {
        let add = |node: usize| {
            let registry = model.node(node % 3);
            scope.spawn(move || registry.add_device(vehicle("TAXI2"), NOW).is_ok())
        };
        let all: Vec<_> = (0..6).map(add).collect();
        all.into_iter().map(|one| one.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
    model.check();
}

#[test]
fn a_revision_that_another_node_changed_is_a_conflict() {
    let model = Model::new(2);
    let at = model.node(0).put_if(Kind::Token, "a", 0, Some(b"{}")).unwrap();
    let second = model.node(1).put_if(Kind::Token, "a", at, Some(b"{\"x\":1}")).unwrap();
    let late = model.node(0).put_if(Kind::Token, "a", at, Some(b"{\"x\":2}"));
    assert!(matches!(late, Err(PutError::Conflict(found)) if found == second), "{late:?}");
    model.check();
}

#[test]
fn a_write_without_an_answer_is_done_once() {
    use Fault::{DoneWithoutAnswer, NotDone, Overtaken};
    for faults in [
        &[DoneWithoutAnswer][..],
        &[NotDone],
        &[NotDone, NotDone],
        &[Overtaken],
        &[Overtaken, NotDone],
        &[DoneWithoutAnswer, NotDone],
    ] {
        let model = Model::new(2);
        model.fail(faults);
        let (made, _) = model.node(0).add_token(token("anna"), NOW).unwrap();
        assert_eq!(model.node(1).tokens().unwrap(), [made], "{faults:?}");
        assert_eq!(model.state.lock().writes, 1, "{faults:?}");
        model.check();
    }
}

fn session(key: &str) -> Put<'_> {
    Put { kind: Kind::Session, key, revision: 0, value: Some(b"{}") }
}

#[test]
fn two_objects_without_an_answer_are_written_once() {
    use Fault::{DoneWithoutAnswer, NotDone, Overtaken};
    for faults in [&[DoneWithoutAnswer][..], &[NotDone], &[Overtaken, NotDone], &[NotDone, Overtaken]] {
        let model = Model::new(2);
        model.fail(faults);
        model.node(0).put_all(&[session("a"), session("b")]).unwrap();
        assert_eq!(model.state.lock().writes, 1, "{faults:?}");
        model.check();
    }
}

/// Answers as it is told to, and delivers nothing by itself.
struct Told {
    answers: Mutex<Vec<Appended>>,
    asked: mpsc::SyncSender<()>,
}

impl Bucket for Told {
    fn append(&self, _: u64, _: &[Put<'_>]) -> Appended {
        let answer = self.answers.lock().pop().unwrap();
        if answer != Appended::NoAnswer {
            self.asked.send(()).unwrap();
        }
        answer
    }
}

/// A node whose bucket gives these answers, the last one first, and what tells when it has given one.
fn told(answers: &[Appended]) -> (Registry, mpsc::Receiver<()>) {
    let (asked, has_answered) = mpsc::sync_channel(1);
    let registry = Registry::open_on(InMemoryBackend::new(), None).unwrap();
    let bucket = Told { answers: Mutex::new(answers.to_vec()), asked };
    let registry = registry.shared_by(Arc::new(bucket)).unwrap();
    let copy = registry.begin_copy().unwrap();
    registry.finish_copy(&copy, 1, 0, NOW).unwrap();
    registry.note_copy();
    registry.set_closed(None);
    (registry, has_answered)
}

fn arrived(sequence: u64, put: Put<'_>) -> [Arrived; 1] {
    [Arrived { sequence, kind: put.kind, key: put.key.into(), value: put.value.map(<[u8]>::to_vec) }]
}

#[test]
fn a_write_without_an_answer_whose_halves_come_one_after_the_other_is_no_conflict() {
    let (node, has_answered) = told(&[Appended::Elsewhere, Appended::NoAnswer]);
    let written = thread::scope(|scope| {
        let written = scope.spawn(|| node.put_all(&[session("a"), session("b")]));
        has_answered.recv().unwrap();
        node.take(&arrived(1, session("a")), 1).unwrap();
        // Whoever looks for the second half now does not find it.
        thread::sleep(Duration::from_millis(50));
        node.take(&arrived(2, session("b")), 2).unwrap();
        written.join().unwrap()
    });
    assert_eq!(written.unwrap(), 2);
}

#[test]
fn what_is_not_seen_to_be_written_is_in_doubt() {
    let check = |answers: &[Appended], says: &str| {
        let (node, _has_answered) = told(answers);
        let written = node.put_all(&[session("a"), session("b")]).unwrap_err();
        assert!(matches!(&written, PutError::Doubtful(why) if why.contains(says)), "{written:?}");
        assert_eq!(node.writes_refused(), 1);
    };
    thread::scope(|scope| {
        // The brokers have it, and it does not come.
        scope.spawn(|| check(&[Appended::At(2)], "does not count here until then"));
        scope.spawn(|| check(&[Appended::Elsewhere, Appended::NoAnswer], "look before you try again"));
        scope.spawn(|| check(&vec![Appended::NoAnswer; 100], "look before you try again"));
    });
}

#[test]
fn what_was_changed_again_before_it_came_is_in_doubt() {
    let (node, has_answered) = told(&[Appended::Elsewhere, Appended::NoAnswer]);
    let written = thread::scope(|scope| {
        let written = scope.spawn(|| node.put_all(&[session("a")]));
        has_answered.recv().unwrap();
        node.take(&arrived(2, Put { value: Some(b"[]"), ..session("a") }), 2).unwrap();
        written.join().unwrap()
    });
    assert!(matches!(written, Err(PutError::Doubtful(_))), "{written:?}");
}

#[test]
fn nothing_is_written_while_brokers_are_away_and_all_is_read() {
    let model = Model::new(1);
    let node = model.node(0);
    node.add_token(token("anna"), NOW).unwrap();
    node.set_closed(Some("the brokers do not answer".into()));
    let refused = node.revoke_token("anna", NOW).unwrap_err();
    assert!(matches!(&refused, PutError::Unavailable(why) if why.contains("do not answer")), "{refused}");
    assert_eq!((node.tokens().unwrap()[0].revoked_ms, node.writes_refused()), (None, 1));
}

#[test]
fn a_node_with_another_key_makes_no_keys_and_revokes_those_that_it_can_read() {
    let model = Model::new(2);
    let (node, other) = (model.node(0), model.node(1));
    node.add_device(vehicle("TAXI1"), NOW).unwrap();
    node.set_other_key(true);
    assert!(matches!(node.add_device(vehicle("TAXI2"), NOW), Err(PutError::Unavailable(_))));
    assert!(matches!(node.rotate_device("TAXI1", NOW), Err(PutError::Unavailable(_))));
    node.revoke_device("TAXI1", NOW).unwrap();
    assert_eq!(other.devices_in_force().unwrap(), 0);
    model.check();
}

#[test]
fn a_copy_anew_is_never_less_than_it_was_and_forgets_what_is_gone() {
    let model = Model::new(1);
    let node = model.node(0);
    let kept = node.add_device(vehicle("TAXI1"), NOW).unwrap();
    node.put_if(Kind::Session, "gone", 0, Some(b"{}")).unwrap();
    // In another bucket the same key has another sequence, and one of the sessions is not there.
    let mut there = model.state.lock().after(0);
    there.retain(|one| one.kind == Kind::Device);
    there[0].sequence = 9;
    let mut copy = node.begin_copy().unwrap();
    assert!(node.copied().unwrap().is_copying);
    assert_eq!((node.devices().unwrap().len(), node.count(Kind::Session).unwrap()), (1, 1));
    node.take_anew(&mut copy, &there).unwrap();
    assert_eq!((node.devices().unwrap().len(), node.count(Kind::Session).unwrap()), (1, 1));
    node.finish_copy(&copy, 2, 12, NOW).unwrap();
    assert_eq!((node.devices().unwrap(), node.count(Kind::Session).unwrap()), (vec![kept], 0));
    let copied = node.copied().unwrap();
    assert_eq!((copied.incarnation, copied.sequence, copied.is_copying), (2, 12, false));
    assert!(node.key_of(Kind::Device, "TAXI1").unwrap().is_some());
}

#[test]
fn nobody_is_known_until_there_was_a_whole_copy() {
    let model = Arc::new(Model::default());
    let registry = Registry::open_on(InMemoryBackend::new(), None).unwrap();
    let registry = registry.shared_by(Arc::new(To(Arc::downgrade(&model)))).unwrap();
    assert!(registry.awaits_copy() && registry.is_closed().unwrap());
    let copy = registry.begin_copy().unwrap();
    registry.finish_copy(&copy, 1, 0, NOW).unwrap();
    assert!(registry.is_closed().unwrap(), "those who watch may not have it yet");
    registry.note_copy();
    assert!(!registry.awaits_copy() && !registry.is_closed().unwrap());
}

#[test]
fn nodes_take_numbers_of_their_own_and_keep_them() {
    let model = Model::new(3);
    let numbers: Vec<_> = ["a", "b", "c"]
        .iter()
        .zip(0..)
        .map(|(name, at)| model.node(at).enter_node(name, None).unwrap())
        .collect();
    assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[0] != numbers[2], "{numbers:?}");
    // By chance: the entry of a node that has one may be lost, and the least that is free may be its number.
    assert!(numbers.iter().any(|number| *number > 3), "{numbers:?}");
    assert_eq!(model.node(1).enter_node("b", Some("key")).unwrap(), numbers[1]);
    assert_eq!(model.node(1).node_number("b").unwrap(), Some(numbers[1]));
    // One of the same name on another disk is another node.
    assert!(!numbers.contains(&model.node(2).enter_node("b", None).unwrap()));
    assert_eq!(model.node(0).node_number("b").unwrap(), None);
    model.check();
}

#[derive(Debug, Clone)]
struct Step {
    node: usize,
    key: u8,
    name: u8,
    removes: bool,
    delivers: Option<usize>,
    fault: Option<Fault>,
}

fn step() -> impl Strategy<Value = Step> {
    use Fault::{DoneWithoutAnswer, NotDone, Overtaken};
    let fault = prop_oneof![Just(DoneWithoutAnswer), Just(NotDone), Just(Overtaken)];
    let fault = prop::option::weighted(0.1, fault);
    (0..3_usize, 0..5_u8, 0..4_u8, prop::bool::weighted(0.2), prop::option::of(0..3_usize), fault).prop_map(
        |(node, key, name, removes, delivers, fault)| Step { node, key, name, removes, delivers, fault },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_nodes_have_the_same_whatever_they_write(steps in prop::collection::vec(step(), 1..40)) {
        let model = Model::new(3);
        for step in &steps {
            model.fail(step.fault.as_slice());
            if let Some(node) = step.delivers {
                model.deliver(node);
            }
            let node = model.node(step.node);
            let key = step.key.to_string();
            let revision = node.get(Kind::Device, &key).unwrap().map_or(0, |object| object.revision);
            let json = format!("{{\"vehicle_id\":\"v{}\",\"revoked_ms\":null}}", step.name);
            let value = (!step.removes).then_some(json.as_bytes());
            let written = node.put_if(Kind::Device, &key, revision, value);
            let is_expected = matches!(written, Ok(_) | Err(PutError::Conflict(_) | PutError::NameTaken { .. }));
            prop_assert!(is_expected, "{:?}", written);
        }
        model.check();
        // No name is held twice.
        let node = model.node(0);
        let names = node.list(Kind::Device).unwrap();
        let mut values: Vec<_> = names.iter().map(|(_, object)| &object.value).collect();
        let count = values.len();
        values.sort();
        values.dedup();
        prop_assert_eq!((values.len(), node.devices_in_force().unwrap()), (count, count as u64));
    }
}
