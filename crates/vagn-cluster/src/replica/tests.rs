use super::*;
use crate::content::Beginning;
use crate::ids::ShardId;
use crate::testing::{Log, NOW, Places};

const AT: Moment = Moment { elapsed_ms: 5_000, wall_ms: NOW };

fn settings(faults: Faults) -> Settings {
    Settings { faults, snapshot_entries: 100, ..Settings::new(NodeId(1), 1) }
}

fn begun() -> Content<Places> {
    Content::begin(Beginning {
        shard: ShardId(0),
        epoch: 1,
        data_set: 4,
        base: 0,
        time_ms: NOW,
        settings: b"",
    })
}

fn replica(faults: Faults) -> Replica<Places> {
    Replica::new(begun(), &settings(faults))
}

fn take(replica: &mut Replica<Places>, log: &Log) -> Vec<Command> {
    log.behind(replica.received()).for_each(|record| replica.take(record.clone()));
    let mut out = Vec::new();
    assert!(replica.flush(AT, &mut out).applied.is_empty());
    out
}

fn written(out: &[Command]) -> Vec<u64> {
    let records = out.iter().filter_map(|command| match command {
        Command::WriteLog { records, .. } => Some(records.iter().map(|record| record.sequence)),
        _ => None,
    });
    records.flatten().collect()
}

fn syncs(out: &[Command]) -> usize {
    out.iter().filter(|command| matches!(command, Command::SyncLog(_))).count()
}

#[test]
fn an_entry_counts_when_it_is_synced() {
    let mut log = Log::new(1);
    let mut replica = replica(Faults::default());
    let out = take(&mut replica, log.batch(1, &["a"]).batch(2, &["b"]));
    assert_eq!((written(&out), syncs(&out)), (vec![1, 2], 1));
    assert_eq!((replica.received(), replica.synced(), replica.content.sequence), (2, 0, 0));
    // What comes while a sync is under way waits for the next.
    let out = take(&mut replica, log.batch(3, &["c"]));
    assert_eq!((written(&out), syncs(&out)), (vec![3], 0));
    let mut out = Vec::new();
    let outcome = replica.log_synced(2, AT, &mut out);
    assert_eq!(outcome.applied.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((replica.synced(), replica.content.sequence, replica.content.state.len()), (2, 2, 2));
    assert_eq!((written(&out), syncs(&out)), (vec![], 1));
    assert_eq!(replica.log_synced(3, AT, &mut out).applied.len(), 1);
    assert_eq!((syncs(&out), replica.pending.len(), replica.pending_bytes), (1, 0, 0));
}

#[test]
fn the_planted_faults_count_earlier() {
    let mut log = Log::new(1);
    log.batch(1, &["a"]);
    let mut early = replica(Faults { ack_before_sync: true, ..Faults::default() });
    early.take(log.at(1).clone());
    assert_eq!(early.flush(AT, &mut Vec::new()).applied.len(), 1);
    assert!(early.log_synced(1, AT, &mut Vec::new()).applied.is_empty());
    let mut early = replica(Faults { purge_before_sync: true, ..Faults::default() });
    take(&mut early, &log);
    assert_eq!(early.synced(), 1);
}

#[test]
fn a_full_disk_stops_at_an_entry_and_goes_on_from_it() {
    let mut log = Log::new(1);
    let mut replica = replica(Faults::default());
    take(&mut replica, log.batch(1, &["a"]).batch(2, &["b"]).batch(3, &["c"]));
    replica.log_failed(2, DiskFault::Full, AT);
    assert!(replica.is_full() && !replica.has_room());
    assert_eq!(replica.due_ms(), Some(AT.elapsed_ms + RETRY_MS));
    let mut out = Vec::new();
    replica.flush(AT, &mut out);
    assert!(out.is_empty(), "not before the pause is over");
    let later = Moment { elapsed_ms: AT.elapsed_ms + RETRY_MS, ..AT };
    replica.flush(later, &mut out);
    assert_eq!((written(&out), syncs(&out)), (vec![2, 3], 1));
    let outcome = replica.log_synced(3, later, &mut out);
    assert!(outcome.went_on && outcome.applied.len() == 3 && !replica.is_full());
}

#[test]
fn a_broken_disk_is_not_written_again() {
    let mut log = Log::new(1);
    let mut replica = replica(Faults::default());
    take(&mut replica, log.batch(1, &["a"]));
    replica.log_failed(1, DiskFault::Broken, AT);
    let mut out = Vec::new();
    replica.flush(Moment { elapsed_ms: 1 << 40, ..AT }, &mut out);
    assert!(out.is_empty() && replica.due_ms().is_none() && replica.content.sequence == 0);
}

#[test]
fn a_restart_has_what_the_log_has_and_counts_it_when_synced() {
    let mut log = Log::new(1);
    log.batch(1, &["a"]).batch(2, &["b"]).batch(3, &["c"]);
    let mut replica = replica(Faults::default());
    for record in &log.records[..2] {
        replica.restore(record, AT).unwrap();
    }
    assert_eq!(replica.restore(&log.records[0], AT), Ok(()), "a record before the snapshot is none");
    let mut out = Vec::new();
    replica.restored(&mut out);
    assert_eq!((replica.content.sequence, replica.synced(), syncs(&out)), (2, 0, 1));
    assert!(replica.log_synced(2, AT, &mut out).applied.is_empty(), "nobody waits for their fates");
    assert_eq!(replica.synced(), 2);
    log.batch(4, &["d"]);
    assert_eq!(replica.restore(log.at(4), AT), Err(Damaged), "a gap");
}

#[test]
fn ticks_of_a_replica_that_has_something_else_stop_this_one() {
    let mut log = Log::new(1);
    log.batch(1, &["a"]).tick(NOW + 1_000, NOW + 1_000);
    let mut other = replica(Faults::default());
    take(&mut other, &log);
    other.log_synced(2, AT, &mut Vec::new());
    let honest = other.tick(NodeId(2), NOW + 2_000);
    assert_eq!((honest.sequence, honest.tick_sequence), (2, 2));
    let lies = [
        (honest, None),
        (Tick { running_hash: 1, ..honest }, Some(Stop::HashDiffers)),
        (Tick { content_hash: 1, ..honest }, Some(Stop::ContentDiffers)),
        (Tick { sequence: 9, running_hash: 1, tick_sequence: 9, ..honest }, None),
    ];
    for (tick, stop) in lies {
        let mut replica = replica(Faults::default());
        let mut log = log.clone();
        take(&mut replica, log.push(tick.write(1), NOW + 2_000));
        let outcome = replica.log_synced(3, AT, &mut Vec::new());
        let applied = if stop.is_some() { 2 } else { 3 };
        assert_eq!((outcome.stop, replica.content.sequence), (stop, applied));
        // Nothing behind it is applied, not after a restart either.
        take(&mut replica, log.batch(9, &["z"]));
        replica.log_synced(4, AT, &mut Vec::new());
        let mut again = Replica::new(begun(), &settings(Faults::default()));
        log.records.iter().for_each(|record| again.restore(record, AT).unwrap());
        for replica in [replica, again] {
            assert_eq!(replica.content.sequence, if stop.is_some() { 2 } else { 4 });
        }
    }
}

#[test]
fn snapshots_are_saved_and_the_log_keeps_what_others_lack() {
    let mut log = Log::new(1);
    (1..=250).for_each(|number| {
        log.batch(number, &["a"]);
    });
    let mut replica = replica(Faults::default());
    take(&mut replica, &log);
    let mut out = Vec::new();
    replica.log_synced(250, AT, &mut out);
    out.clear();
    replica.save(&mut out);
    replica.save(&mut out);
    let [Command::SaveSnapshot { sequence: 250, bytes, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(Content::<Places>::read(ShardId(0), bytes).unwrap().sequence, 250);
    replica.trim(250, &mut out);
    assert_eq!(out.len(), 1, "the snapshot is not on disk yet");
    replica.snapshot_saved(250, Ok(()));
    replica.trim(70, &mut out);
    replica.trim(71, &mut out);
    assert!(matches!(out[1..], [Command::TrimLog { through: 70, .. }]));
}

#[test]
fn the_log_keeps_entries_under_whose_sequence_another_owner_has_others() {
    let (mine, other) = (NodeId(1), NodeId(2));
    let mut replicas = ["a", "b"].map(|vehicle| {
        let mut log = Log::new(1);
        (1..=250).for_each(|number| {
            log.batch(number, &[if number > 100 { vehicle } else { "a" }]);
        });
        let mut replica = replica(Faults::default());
        take(&mut replica, &log);
        replica
    });
    let mut trims = Vec::new();
    for through in [90, 250] {
        let [own, theirs] = &mut replicas;
        let mut out = Vec::new();
        theirs.log_synced(through, AT, &mut out);
        own.log_synced(through, AT, &mut out);
        own.snapshot_saved(through, Ok(()));
        let running_hash = theirs.running_hash();
        let owners = [(mine, 0), (other, running_hash)].map(|(node, running_hash)| Progress {
            node,
            is_full: true,
            synced: Some(through),
            running_hash,
        });
        own.agree(&owners, mine);
        own.trim(through, &mut trims);
    }
    assert!(matches!(trims[..], [Command::TrimLog { through: 90, .. }]), "{trims:?}");
}
