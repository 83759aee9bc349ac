//! Keys of a registry, as the doors have them after a start.

use vagn_flow::clock::ManualClock;
use vagn_flow::guard::{Content, GuardParts};
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::proof::DeviceMode;
use vagn_registry::{About, Appended, Arrived, Bucket, Put};
use vagn_seal::{Lane, NotOpened, SenderKey};

use super::*;

const NOW_MS: i64 = 1_795_860_000_000;

/// Returns what the doors make of an envelope under the newest epoch of this device.
fn open(loaded: &LoadedKeys, device: &Device) -> Result<bool, NotOpened> {
    let (epoch, secret) = device.newest().expect("it was made with one");
    let mut envelope = Vec::new();
    SenderKey::new(device.key_id, *epoch, secret).seal(1, b"\x80", Lane::Ordinary, &mut envelope);
    loaded.table.open(&envelope, &mut Vec::new()).map(|opened| opened.is_first_of_epoch)
}

#[test]
fn after_the_last_epoch_a_new_key_opens_beside_the_old_one_until_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    let first = registry.add_device(DeviceOf::Vehicle("bus 7".into()), NOW_MS).unwrap();
    let mut rotated = Vec::new();
    for _ in 0..15 {
        rotated.push(registry.rotate_device("bus 7", NOW_MS).unwrap().device);
    }
    let last = rotated.pop().unwrap();
    let loaded = LoadedKeys::read(&registry).unwrap();
    assert_eq!((open(&loaded, &first), open(&loaded, &last)), (Ok(false), Ok(true)));
    assert_eq!(open(&loaded, &rotated[13]), Err(NotOpened::UnknownKey), "it was never used");

    registry.end_epochs_before(last.key_id, Epoch::new(15).unwrap(), NOW_MS).unwrap();
    let new = registry.rotate_device("bus 7", NOW_MS).unwrap().device;
    let loaded = LoadedKeys::read(&registry).unwrap();
    assert_eq!((open(&loaded, &last), open(&loaded, &new)), (Ok(false), Ok(false)));
    assert_eq!(open(&loaded, &first), Err(NotOpened::UnknownKey));
    assert_eq!(loaded.replacing, [new.key_id], "its first envelope is waited for");

    registry.end_epochs_before(new.key_id, Epoch::FIRST, NOW_MS).unwrap();
    let loaded = LoadedKeys::read(&registry).unwrap();
    assert_eq!((open(&loaded, &last), open(&loaded, &new)), (Err(NotOpened::Revoked), Ok(false)));
}

/// A bucket that nobody writes to.
struct Away;

impl Bucket for Away {
    fn append(&self, _: u64, _: &[Put<'_>]) -> Appended {
        Appended::NoAnswer
    }
}

/// Objects of a cluster whose secrets are wrapped by the key with this mark.
fn of_cluster(wrapped_by: Option<String>) -> Vec<Arrived> {
    let (key, value) = Registry::about_json(&About::new(wrapped_by));
    vec![Arrived { sequence: 1, kind: Kind::Cluster, key: key.into(), value: Some(value) }]
}

#[test]
fn in_mixed_an_open_report_is_taken_at_a_node_that_has_the_keys_of_the_cluster_and_no_other() {
    let (own, other) = (Registry::key_mark(Some(&[1; 32])), Registry::key_mark(Some(&[2; 32])));
    for (here, there, is_taken) in [
        (None, None, true),
        (own.clone(), own.clone(), true),
        (own.clone(), None, true),
        (own, other.clone(), false),
        (None, other, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open_copy(dir.path(), None, Arc::new(Away)).unwrap();
        let guard = Guard::new(GuardParts {
            mode: DeviceMode::Mixed,
            keys: LoadedKeys::read(&registry).unwrap().table,
            reports: ReportMetrics::new(&MetricRegistry::new()),
            answers: None,
            clock: Arc::new(ManualClock::at(NOW_MS)),
        });
        tell_lacking(&guard, &registry, here.as_deref()).unwrap();
        assert!(!guard.takes_all(), "there is no copy yet");
        let mut copy = registry.begin_copy().unwrap();
        registry.take_anew(&mut copy, &of_cluster(there.clone())).unwrap();
        registry.finish_copy(&copy, 1, 1, NOW_MS).unwrap();
        registry.note_copy();
        tell_lacking(&guard, &registry, here.as_deref()).unwrap();
        assert_eq!(guard.takes_all(), is_taken, "{here:?} {there:?}");
    }
}

#[test]
fn a_thousand_keys_that_are_revoked_one_after_the_other_are_forgotten_in_few_rounds() {
    let mut revoked = RevokedKeys::default();
    let keys: Vec<_> = (0..1_000_u64).map(|number| KeyId(number.to_be_bytes())).collect();
    let mut rounds: Vec<Vec<KeyId>> = Vec::new();
    for (after_ms, key_id) in (0..).step_by(2).zip(&keys) {
        revoked.add(*key_id);
        revoked.forget_due(Duration::from_millis(after_ms), |round| {
            rounds.push(round.to_vec());
            true
        });
    }
    let mut late = Vec::new();
    for after_s in [9, 99] {
        revoked.forget_due(Duration::from_secs(after_s), |round| {
            late.push(round.to_vec());
            true
        });
    }
    rounds.append(&mut late);
    assert_eq!((rounds.len(), rounds.concat()), (3, keys));
}

#[test]
fn revoked_keys_whose_round_fails_wait_for_another_and_a_round_is_one_commit() {
    let mut revoked = RevokedKeys::default();
    let keys: Vec<_> = (0..2_000_u64).map(|number| KeyId(number.to_be_bytes())).collect();
    keys.iter().for_each(|key_id| revoked.add(*key_id));
    let mut rounds = Vec::new();
    for (after_s, is_done) in [(0, false), (29, true), (30, true), (31, false), (61, true), (62, true)] {
        revoked.forget_due(Duration::from_secs(after_s), |round| {
            rounds.push(round.len());
            is_done
        });
    }
    assert_eq!(rounds, [1_024, 1_024, 976, 976]);
}

#[test]
fn keys_that_were_revoked_while_no_service_ran_are_looked_for_once_the_calls_of_earlier_runs_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    let add = |name: &str| registry.add_device(DeviceOf::Vehicle(name.into()), NOW_MS).unwrap().key_id;
    let (open, gone, other) = (add("bus 7"), add("bus 8"), add("bus 9"));
    for name in ["bus 8", "bus 9"] {
        registry.revoke_device(name, NOW_MS).unwrap();
    }
    let table = LoadedKeys::read(&registry).unwrap().table;
    let mut revoked = RevokedKeys::default();
    let mut look_back = |keys: Option<Vec<KeyId>>| {
        revoked.look_back(keys.map(Vec::into_iter), &table);
        revoked.key_ids.iter().copied().collect::<Vec<_>>()
    };
    assert_eq!(look_back(None), []);
    assert_eq!(look_back(Some(vec![open, gone, KeyId([9; 8])])), [gone], "nobody has called under the other");
    assert_eq!(look_back(Some(vec![other])), [gone], "from here on the changes tell");
}

/// Rotates a key until another one is to replace it.
fn replace(registry: &Registry, name: &str) -> Device {
    loop {
        let rotated = registry.rotate_device(name, NOW_MS).unwrap();
        if rotated.is_new_key {
            return rotated.device;
        }
        let epoch = rotated.device.newest().unwrap().0;
        registry.end_epochs_before(rotated.device.key_id, epoch, NOW_MS).unwrap();
    }
}

#[test]
fn a_key_is_waited_for_as_long_as_it_and_the_one_that_it_replaces_are_open() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    for name in ["used", "waits", "revoked"] {
        registry.add_device(DeviceOf::Vehicle(name.into()), NOW_MS).unwrap();
    }
    let [used, waits, _] = ["used", "waits", "revoked"].map(|name| replace(&registry, name));
    registry.end_epochs_before(used.key_id, Epoch::FIRST, NOW_MS).unwrap();
    registry.revoke_device("revoked", NOW_MS).unwrap();
    assert_eq!(LoadedKeys::read(&registry).unwrap().replacing, [waits.key_id]);
}

#[tokio::test]
async fn an_end_that_cannot_be_written_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    let first = registry.add_device(DeviceOf::Vehicle("bus 7".into()), NOW_MS).unwrap();
    let rotated = registry.rotate_device("bus 7", NOW_MS).unwrap().device;
    let guard = Guard::new(GuardParts {
        mode: DeviceMode::Open,
        keys: LoadedKeys::read(&registry).unwrap().table,
        reports: ReportMetrics::new(&MetricRegistry::new()),
        answers: None,
        clock: Arc::new(ManualClock::at(NOW_MS)),
    });
    let (epoch, secret) = rotated.newest().unwrap();
    let mut envelope = Vec::new();
    SenderKey::new(rotated.key_id, *epoch, secret).seal(1, b"\x80", Lane::Ordinary, &mut envelope);
    guard.open(&envelope, || None, &mut Content::default()).unwrap();
    let begun = async || timeout(Duration::ZERO, guard.noted().next_begun()).await.ok();

    let noted = begun().await.unwrap();
    assert_eq!(noted, (first.key_id, *epoch));
    end_before(guard.noted(), noted, |_, _| Err(RegistryError::KeyMissing.into()));
    assert_eq!(begun().await, None, "not at once");
    guard.noted().try_again();

    let end = |key_id, epoch| registry.end_epochs_before(key_id, epoch, NOW_MS);
    end_before(guard.noted(), begun().await.unwrap(), end);
    assert_eq!(registry.device(first.key_id).unwrap().unwrap().epochs.len(), 1);
    guard.noted().try_again();
    assert_eq!(begun().await, None);
    // Of a key that is not there nothing can be ended, ever.
    end_before(guard.noted(), (KeyId([0; 8]), Epoch::FIRST), end);
    guard.noted().try_again();
    assert_eq!(begun().await, None);
}

#[test]
fn answers_have_the_number_of_the_node_for_as_long_as_it_is_in_the_registry() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    let answers = AnswerSequence::open(dir.path(), 0, NOW_MS).unwrap();
    let mut before = None;
    for _ in 0..2 {
        number(&answers, &registry, "north-1").unwrap();
        assert_eq!((answers.has_node(), answers.take()), (false, None), "after {before:?}");
        let node = registry.enter_node("north-1", None).unwrap();
        number(&answers, &registry, "north-1").unwrap();
        assert_eq!(answers.take().map(|taken| taken >> 48), Some(node.into()));
        // The entry is lost, and the number may be given to another node.
        let key = format!("node-{node}");
        let entry = registry.get(Kind::Cluster, &key).unwrap().unwrap();
        registry.put_if(Kind::Cluster, &key, entry.revision, None).unwrap();
        before = Some(node);
    }
}
