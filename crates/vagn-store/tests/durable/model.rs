//! Any sequence of what can happen to a partition, beside a map that says what it must hold.

use crate::support::*;
use proptest::prelude::*;
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::{OrderNumber, Partition};

#[derive(Debug, Clone)]
enum Step {
    /// Reports of these vehicles, in one batch.
    Write(Vec<u32>),
    Delete(u32),
    Housekeep,
    Sync,
    /// Close and open.
    Restart,
    /// The process dies and is started again.
    Kill,
    /// The power goes and comes back, with this seed for what is left.
    PowerCut(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(0..40_u32, 1..12).prop_map(Step::Write),
        3 => (0..40_u32).prop_map(Step::Delete),
        5 => Just(Step::Housekeep),
        2 => Just(Step::Sync),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerCut),
    ]
}

/// The partition under test and what is known of it.
struct Subject {
    disk: FaultyDisk,
    partition: Option<Partition>,
    truth: Truth,
    durable: OrderNumber,
    /// The highest number ever given, also to what was lost.
    highest: OrderNumber,
    n: u64,
}

impl Subject {
    fn new() -> Subject {
        let disk = FaultyDisk::new();
        let partition = Some(open(&disk, small()).unwrap().0);
        Subject {
            disk,
            partition,
            truth: Truth::new(),
            durable: OrderNumber(0),
            highest: OrderNumber(0),
            n: 0,
        }
    }

    fn partition(&mut self) -> &mut Partition {
        self.partition.as_mut().expect("it is open between steps")
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Write(vehicles) => self.write(vehicles),
            Step::Delete(vehicle) => {
                let Subject { partition, truth, .. } = self;
                let before = truth.model.len();
                delete(partition.as_mut().unwrap(), truth, *vehicle).unwrap();
                if truth.model.len() < before {
                    let end = self.partition().syncer().written();
                    self.given(end, 1);
                }
            }
            Step::Housekeep => drop(self.partition().housekeep(0).unwrap()),
            Step::Sync => self.durable = self.partition().syncer().sync().unwrap(),
            Step::Restart => {
                self.durable = self.partition.take().unwrap().close().unwrap();
                self.reopen(Loss::Unsynced);
            }
            Step::Kill => {
                let all = self.partition().syncer().written();
                self.reopen(Loss::Nothing);
                assert_eq!(self.partition().syncer().written(), all, "a process that dies loses nothing");
            }
            Step::PowerCut(seed) => self.reopen(Loss::Some(*seed)),
        }
    }

    fn write(&mut self, vehicles: &[u32]) {
        let sightings: Vec<_> = vehicles.iter().copied().zip(self.n..).collect();
        self.n += sightings.len() as u64;
        let Subject { partition, truth, .. } = self;
        let written = write(partition.as_mut().unwrap(), truth, &sightings).unwrap();
        self.given(written.end, sightings.len() as u64);
    }

    /// So many numbers before `end` were given, none of them before.
    fn given(&mut self, end: OrderNumber, count: u64) {
        assert!(end.0 - count > self.highest.0, "{end:?} of {count}, after {:?}", self.highest);
        self.highest = OrderNumber(end.0 - 1);
    }

    fn reopen(&mut self, loss: Loss) {
        let disk = self.disk.restart(loss);
        drop(self.partition.take());
        let (partition, recovery) = open(&disk, small()).unwrap();
        assert!(recovery.end >= self.durable && recovery.orphans == 0, "{recovery:?} {:?}", self.durable);
        self.truth.check(&partition, recovery.end.0);
        let model = self.truth.at(recovery.end.0).clone();
        self.truth.story.split_off(&recovery.end.0);
        self.truth.story.insert(recovery.end.0, model.clone());
        self.truth.model = model;
        (self.disk, self.partition) = (disk, Some(partition));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("VAGN_LONG").is_some() { 20_000 } else { 250 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn whatever_happens_it_holds_what_it_must(steps in prop::collection::vec(step(), 1..120)) {
        let mut subject = Subject::new();
        for step in &steps {
            subject.take(step);
            let model = subject.truth.model.clone();
            check_content(subject.partition(), &model);
        }
    }
}
