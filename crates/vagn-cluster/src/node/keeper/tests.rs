use super::*;
use crate::event::StreamInfo;
use crate::testing::NOW;

struct Rig {
    keeper: Keeper,
    numbers: Numbers,
    settings: Settings,
    now: Moment,
    heard_version: u64,
    anybody_holds: bool,
    out: Vec<Command>,
}

impl Rig {
    fn new() -> Self {
        Self {
            keeper: Keeper::new(),
            numbers: Numbers::default(),
            settings: Settings { shards: 2, ..Settings::new(NodeId(1), 1) },
            now: Moment { elapsed_ms: 0, wall_ms: NOW },
            heard_version: 0,
            anybody_holds: false,
            out: Vec::new(),
        }
    }

    fn knowing(version: u64) -> Self {
        let mut rig = Self::new();
        rig.keeper.restore(&record(version).write());
        rig
    }

    fn context<T>(&mut self, deed: impl FnOnce(&mut Keeper, Context<'_>, &mut Vec<Command>) -> T) -> T {
        let context = Context {
            settings: &self.settings,
            now: self.now,
            numbers: &mut self.numbers,
            heard_version: self.heard_version,
            anybody_holds: self.anybody_holds,
        };
        deed(&mut self.keeper, context, &mut self.out)
    }

    fn read(&mut self, after_ms: u64, outcome: RecordOutcome) -> bool {
        self.now.elapsed_ms += after_ms;
        self.context(|keeper, context, out| keeper.read(outcome, context, out))
    }

    fn read_for(&mut self, ms: u64, outcome: &RecordOutcome) {
        (0..ms / READ_MS).for_each(|_| {
            self.read(READ_MS, outcome.clone());
        });
    }

    /// Answers all streams that are to be made.
    fn make(&mut self, last: u64) {
        let made: Vec<ReadId> = self.out.iter().filter_map(made).collect();
        for read in made {
            let info = StreamInfo { incarnation: Incarnation(read.0), first: 1, last, bytes: 0 };
            self.context(|keeper, context, out| keeper.made(read, StreamOutcome::Is(info), context, out));
        }
    }

    fn written(&self) -> Option<(Option<u64>, Assignment)> {
        self.out.iter().find_map(|command| match command {
            Command::WriteRecord { expected, bytes, .. } => {
                Some((*expected, Assignment::read(bytes).unwrap()))
            }
            _ => None,
        })
    }
}

fn made(command: &Command) -> Option<ReadId> {
    match command {
        Command::MakeStream { read, .. } => Some(*read),
        _ => None,
    }
}

fn record(version: u64) -> Assignment {
    let settings = Settings::new(NodeId(9), 1);
    let now = Moment { elapsed_ms: 0, wall_ms: NOW };
    Assignment { version, ..founded(vec![Incarnation(1); 2], 8, &settings, now) }
}

fn is(revision: u64, version: u64) -> RecordOutcome {
    RecordOutcome::Is { revision, bytes: record(version).write() }
}

#[test]
fn a_data_set_is_begun_when_nothing_is_known_of_one() {
    let mut rig = Rig::new();
    rig.read(0, RecordOutcome::Absent);
    assert!(rig.out.is_empty());
    rig.read_for(FOUND_MS, &RecordOutcome::Absent);
    rig.make(0);
    let (expected, record) = rig.written().unwrap();
    assert_eq!((expected, record.len(), record.version), (None, 2, 1));
    assert!(record.shards.iter().all(|shard| shard.full().eq([NodeId(1)])));
    assert_eq!(rig.keeper.known(), None);
    let now = rig.now;
    assert!(rig.keeper.written(WriteOutcome::Written { revision: 3 }, now, &mut rig.out));
    assert!(rig.keeper.known().is_some() && rig.keeper.may_change());
    assert!(rig.out.iter().any(|command| matches!(command, Command::WriteNote(_))));
}

#[test]
fn none_is_begun_over_one_that_was_lost() {
    let mut streams = Rig::new();
    streams.read_for(2 * FOUND_MS, &RecordOutcome::Absent);
    streams.make(1);
    assert_eq!(streams.written(), None, "a stream holds something");

    let mut others = Rig { anybody_holds: true, ..Rig::new() };
    others.read_for(60_000, &RecordOutcome::Absent);
    assert!(others.out.is_empty(), "another node has something");

    let mut unsure = Rig::new();
    unsure.read_for(60_000, &RecordOutcome::NoAnswer);
    assert!(unsure.out.is_empty(), "nobody says that there is none");

    let mut late = Rig::new();
    late.read_for(2 * FOUND_MS, &RecordOutcome::Absent);
    late.anybody_holds = true;
    late.make(0);
    assert_eq!(late.written(), None, "another node was heard meanwhile");
}

#[test]
fn a_lost_record_is_written_again_by_who_knows_the_latest() {
    let mut rig = Rig::knowing(7);
    rig.read(0, RecordOutcome::Absent);
    rig.read_for(LOST_MS - READ_MS, &RecordOutcome::Absent);
    assert_eq!(rig.written(), None, "a read can be old");
    rig.read_for(READ_MS, &RecordOutcome::Absent);
    let (expected, record) = rig.written().unwrap();
    assert_eq!((expected, record.version), (None, 8));

    let mut older = Rig { heard_version: 8, ..Rig::knowing(7) };
    older.read_for(60_000, &RecordOutcome::Absent);
    assert_eq!(older.written(), None);
}

#[test]
fn an_older_record_is_a_stale_read_or_lost_changes() {
    let mut rig = Rig::knowing(7);
    assert!(!rig.read(0, is(3, 6)) && !rig.keeper.may_change());
    assert_eq!(rig.keeper.version(), 7);
    rig.read(READ_MS, is(4, 7));
    assert!(rig.keeper.may_change() && rig.written().is_none());
    rig.read_for(LOST_MS + READ_MS, &is(3, 6));
    assert_eq!(rig.written().map(|(expected, record)| (expected, record.version)), Some((Some(3), 8)));
}

#[test]
fn a_record_of_another_data_set_is_taken_whatever_its_version() {
    let mut rig = Rig::knowing(7);
    let other = Assignment { data_set: 9, ..record(1) };
    assert!(rig.read(0, RecordOutcome::Is { revision: 1, bytes: other.write() }));
    assert_eq!(rig.keeper.known(), Some(&other));
}

#[test]
fn nothing_is_changed_before_what_the_brokers_have_is_known() {
    let mut rig = Rig::knowing(7);
    let plan = Plan { record: record(8), told: Vec::new() };
    rig.keeper.change(plan.clone(), &mut rig.out);
    assert_eq!(rig.written(), None);
    assert!(!rig.read(0, is(4, 7)), "it is as it was");
    rig.keeper.change(plan.clone(), &mut rig.out);
    assert_eq!(rig.written(), Some((Some(4), record(8))));
    let now = rig.now;
    assert!(!rig.keeper.written(WriteOutcome::NoAnswer, now, &mut rig.out));
    assert!(!rig.keeper.may_change());
    assert!(rig.read(SOON_MS, is(5, 8)), "it was written all the same");
    assert!(rig.keeper.may_change());
}

#[test]
fn an_epoch_begins_above_all_numbers_before() {
    let known = record(7);
    let plan = repaired(&known, ShardId(1), NodeId(2), Incarnation(5), 1_000).unwrap();
    let (before, after) = (&known.shards[1], &plan.record.shards[1]);
    assert_eq!(
        (after.epoch, after.founder, after.full().collect::<Vec<_>>()),
        (2, NodeId(2), vec![NodeId(2)])
    );
    assert!(after.base > crate::order_number(before.base, 1_000_000, 4_095));
    assert_eq!((plan.record.version, &plan.record.shards[0]), (8, &known.shards[0]));
}
