//! Questions to the pool, and over many machines.

mod union;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use parking_lot::Mutex;
use tokio::time::Instant;
use vagn_cluster::{NodeId, ShardAnswer, ShardId};
use vagn_flow::metrics::MetricRegistry;
use vagn_nats::{Answered, Unavailable};
use vagn_otp::{Root, Strategy, Supervisor};
use vagn_shard::question::{answer, read_question, write_answer};
use vagn_shard::shard_of;
use vagn_store::{Age, BBox, Hit, Index, Key, Nearby, Plan, Sight, Sighting, Updates, VehicleIdBuf, Writer};
use vagn_wire::{Position, VehicleId};

use super::*;

async fn start() -> (Queries, Root) {
    let (queries, child) = pool(1, 8, 0, Duration::from_secs(10), Arc::new(Fleet::new(1)));
    let root = Supervisor::new("test", Strategy::OneForOne).child(child).start().await.unwrap();
    (queries, root)
}

#[tokio::test]
async fn a_question_whose_worker_crashes_is_asked_once_more_and_not_twice() {
    let (queries, _root) = start().await;
    for (crashes, expected) in [(1, Ok(7)), (2, Err(Unanswered::Pool(CallError::Crashed)))] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let answer = queries.find("test", move |_| {
            assert!(count.fetch_add(1, Ordering::Relaxed) >= crashes, "a crash for the test");
            Ok(7)
        });
        assert_eq!(answer.await, expected);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn a_fleet_with_a_gap_has_no_answer() {
    let (queries, _root) = start().await;
    let answer = queries.find("test", |fleet| fleet.len().map(drop)).await;
    assert_eq!(answer, Err(Unanswered::NotReady));
}

const SHARDS: usize = 8;

/// Number of vehicles in the tests over many machines.
const VEHICLES: u32 = 40;

/// What a shard does instead of answering.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Silent,
    Damaged,
    /// Answers another question.
    Mistaken,
    /// Answers, and never had all since its start.
    Ageless,
}

/// Shards on other machines, without machines.
#[derive(Default)]
struct FarShards {
    fleet: Option<Fleet>,
    faults: BTreeMap<u16, Fault>,
    is_busy: bool,
    /// The node stands still.
    hangs: bool,
    /// The node has not learnt yet how many shards there are.
    knows_nothing: bool,
    /// Rooms of answers that still come.
    coming: Mutex<Vec<Arc<Room>>>,
    /// Shards that were asked.
    asked: Mutex<Vec<Vec<u16>>>,
}

fn id(number: u32) -> VehicleIdBuf {
    VehicleId::new(&format!("bus {number}")).unwrap().into()
}

fn home(id: &VehicleIdBuf) -> u16 {
    shard_of(id.key(), SHARDS) as u16
}

/// A fleet of so many partitions; vehicle n is n degrees north.
fn fleet(partitions: usize, placing: fn(Key<'_>, usize) -> usize) -> Fleet {
    let place = |number| Position::new(f64::from(number) + 1.0, 2.0).unwrap();
    fleet_at(&(0..VEHICLES).map(place).collect::<Vec<_>>(), partitions, placing)
}

/// A fleet of so many partitions; vehicle n is at the n-th place.
fn fleet_at(places: &[Position], partitions: usize, placing: fn(Key<'_>, usize) -> usize) -> Fleet {
    let fleet = Fleet::placed(partitions, placing);
    for partition in 0..partitions {
        let mut updates = Updates::new();
        for (number, place) in places.iter().enumerate() {
            let id = id(number as u32);
            if fleet.home(id.key()) == partition {
                updates.push(id.key(), id.key().hash(), sighting(*place));
            }
        }
        let mut writer = Writer::new(Index::new(1_000));
        writer.write(&updates, &mut Plan::default());
        fleet.set(partition, Some(writer.reader()));
    }
    fleet
}

/// A sighting there, without anything else.
pub(crate) fn sighting(position: Position) -> Sighting {
    Sighting {
        position,
        event_time_ms: 5,
        receive_time_ms: 6,
        receive_seq: 7,
        seq: None,
        speed_mps: None,
        heading_deg: None,
        emergency: false,
        own_time: true,
        unsure: false,
    }
}

impl FarShards {
    fn new() -> Self {
        Self { fleet: Some(fleet(SHARDS, shard_of)), ..Self::default() }
    }

    fn with_faults(faults: impl IntoIterator<Item = (u16, Fault)>) -> Self {
        Self { faults: faults.into_iter().collect(), ..Self::new() }
    }

    /// Answers of those that do; shard n is n ms old.
    fn answers(&self, shards: &[ShardId], question: &[u8]) -> Answered {
        assert!(read_question(question).is_ok());
        let fleet = self.fleet.as_ref().unwrap();
        let mut answered = Answered { shards: Vec::new(), missing: Vec::new() };
        for shard in shards {
            let (mut bytes, mut age_ms) = (Vec::new(), shard.0.into());
            let mut ask = || answer(question, &fleet.reader(shard.0.into()).unwrap(), &mut bytes);
            match self.faults.get(&shard.0) {
                None => ask(),
                Some(Fault::Ageless) => {
                    ask();
                    age_ms = u64::MAX;
                }
                Some(Fault::Silent) => {
                    answered.missing.push(*shard);
                    continue;
                }
                Some(Fault::Damaged) => bytes.push(0xff),
                Some(Fault::Mistaken) => write_answer(&Answer::Count(7), &mut bytes),
            }
            answered.shards.push(ShardAnswer { shard: *shard, node: NodeId(1), age_ms, bytes });
        }
        answered
    }
}

impl Shards for FarShards {
    fn count(&self) -> Option<u16> {
        (!self.knows_nothing).then_some(SHARDS as u16)
    }

    fn ask(&self, shards: Vec<ShardId>, question: Vec<u8>, _: Duration, room: Arc<Room>) -> Asking<'_> {
        self.asked.lock().push(shards.iter().map(|shard| shard.0).collect());
        if self.hangs {
            self.coming.lock().push(room);
        }
        Box::pin(async move {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            if self.is_busy { Err(Unavailable.into()) } else { Ok(self.answers(&shards, &question)) }
        })
    }
}

async fn start_over(shards: FarShards) -> (Queries, Arc<FarShards>, Root) {
    start_counted(shards, &MetricRegistry::new()).await
}

async fn start_counted(shards: FarShards, registry: &MetricRegistry) -> (Queries, Arc<FarShards>, Root) {
    let (queries, root) = start().await;
    let shards = Arc::new(shards);
    (queries.over(shards.clone(), AnswerMetrics::new(registry)), shards, root)
}

fn nearest(k: usize) -> Question {
    let center = Position::new(0.0, 2.0).unwrap();
    let nearby = Nearby { center, k, max_m: f64::INFINITY, newer_than_ms: None };
    Question::Nearest { sight: Sight::Exact, nearby }
}

fn inside(limit: usize) -> Question {
    let bbox = BBox::new(1.0, 0.0, 3.0, 89.0).unwrap();
    Question::Inside { sight: Sight::Coarse, bbox, limit }
}

fn one(number: u32) -> Question {
    Question::One { sight: Sight::Exact, id: id(number) }
}

fn ids(hits: &[Hit]) -> Vec<VehicleIdBuf> {
    hits.iter().map(|hit| hit.vehicle.id).collect()
}

#[tokio::test]
async fn answers_of_shards_make_that_of_one_machine() {
    let (queries, shards, _root) = start_over(FarShards::new()).await;
    let here = fleet(1, |_, _| 0);
    for question in [nearest(10), nearest(100), inside(7), inside(100), Question::Count] {
        let answer = queries.ask(question).await.unwrap();
        assert_eq!(answer.value, question.ask(&here).unwrap(), "{question:?}");
        assert_eq!((answer.missing_shards, answer.age), (vec![], Age::Ms(7)));
    }
    // Of one vehicle only its own shard is asked.
    for number in 0..=VEHICLES {
        let answer = queries.ask(one(number)).await.unwrap();
        assert_eq!(answer.value, one(number).ask(&here).unwrap());
        let home = home(&id(number));
        assert_eq!((answer.missing_shards, answer.age), (vec![], Age::Ms(home.into())));
        assert_eq!(*shards.asked.lock().last().unwrap(), [home]);
    }
}

#[tokio::test]
async fn what_did_not_answer_is_named_and_the_rest_is_shown() {
    let faults = [(1, Fault::Silent), (6, Fault::Damaged), (7, Fault::Mistaken)];
    let (queries, _, _root) = start_over(FarShards::with_faults(faults)).await;
    let answer = queries.ask(nearest(100)).await.unwrap();
    assert_eq!((answer.missing_shards, answer.age), (vec![1, 6, 7], Age::Ms(5)));
    let rest: Vec<_> = (0..VEHICLES).map(id).filter(|id| ![1, 6, 7].contains(&home(id))).collect();
    assert_eq!(ids(&answer.value.hits().unwrap()), rest);
    for number in 0..VEHICLES {
        let answer = queries.ask(one(number)).await.unwrap();
        let home = home(&id(number));
        let is_missing = [1, 6, 7].contains(&home);
        assert_eq!(answer.missing_shards, if is_missing { vec![home] } else { vec![] });
        assert_eq!(answer.value.vehicle().unwrap().is_some(), !is_missing);
    }
}

#[tokio::test]
async fn answers_are_counted_by_question_and_by_whether_all_shards_answered() {
    let registry = MetricRegistry::new();
    let (queries, _, _root) = start_counted(FarShards::with_faults([(1, Fault::Silent)]), &registry).await;
    let lines = || -> Vec<String> {
        let page = registry.page();
        let of_answers = page.lines().filter(|line| line.starts_with("vagn_cluster_answers_total"));
        of_answers.map(str::to_owned).collect()
    };
    assert!(lines().len() == 8 && lines().iter().all(|line| line.ends_with(" 0")), "{:?}", lines());
    queries.ask(nearest(10)).await.unwrap();
    queries.ask(inside(10)).await.unwrap();
    queries.ask(Question::Count).await.unwrap();
    for number in 0..VEHICLES {
        queries.ask(one(number)).await.unwrap();
    }
    let missed = (0..VEHICLES).filter(|number| home(&id(*number)) == 1).count();
    let of = |question: &str, extent: &str, count: usize| {
        format!("vagn_cluster_answers_total{{question=\"{question}\",extent=\"{extent}\"}} {count}")
    };
    let mut expected = vec![of("one", "partial", missed), of("one", "whole", VEHICLES as usize - missed)];
    for question in ["nearest", "inside", "count"] {
        expected.extend([of(question, "partial", 1), of(question, "whole", 0)]);
    }
    let mut counted = lines();
    counted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(counted, expected);
}

#[tokio::test]
async fn an_owner_that_never_had_all_answers_and_the_age_is_not_known() {
    let faults = [(1, Fault::Silent), (3, Fault::Ageless)];
    let (queries, _, _root) = start_over(FarShards::with_faults(faults)).await;
    for question in [nearest(100), inside(100), Question::Count] {
        let answer = queries.ask(question).await.unwrap();
        assert_eq!((answer.missing_shards, answer.age), (vec![1], Age::Unknown), "{question:?}");
    }
    let number = (0..VEHICLES).find(|number| home(&id(*number)) == 3).unwrap();
    let answer = queries.ask(one(number)).await.unwrap();
    assert!(answer.value.vehicle().unwrap().is_some());
    assert_eq!((answer.missing_shards, answer.age), (vec![], Age::Unknown));
    // Of the other shards it is.
    let number = (0..VEHICLES).find(|number| home(&id(*number)) == 7).unwrap();
    assert_eq!(queries.ask(one(number)).await.unwrap().age, Age::Ms(7));
}

#[tokio::test]
async fn a_fleet_of_which_nothing_answers_has_no_answer() {
    let faults = (0..SHARDS as u16).map(|shard| (shard, Fault::Silent));
    let (queries, _, _root) = start_over(FarShards::with_faults(faults)).await;
    for question in [nearest(10), inside(10), Question::Count] {
        assert_eq!(queries.ask(question).await, Err(Unanswered::NotReady));
    }
    let answer = queries.ask(one(3)).await.unwrap();
    assert_eq!((answer.value, answer.missing_shards), (Answer::One(None), vec![home(&id(3))]));
}

#[tokio::test]
async fn a_node_that_takes_nothing_or_stands_still_gives_no_answer() {
    let (queries, _, _root) = start_over(FarShards { is_busy: true, ..FarShards::new() }).await;
    assert_eq!(queries.ask(nearest(10)).await, Err(Unanswered::Node(Unavailable)));
    let (queries, _, _root) = start_over(FarShards { hangs: true, ..FarShards::new() }).await;
    tokio::time::pause();
    let asked = Instant::now();
    assert_eq!(queries.ask(nearest(10)).await, Err(Unanswered::Pool(CallError::Timeout)));
    assert_eq!(asked.elapsed().as_secs(), DEADLINE.as_secs());
}

#[tokio::test]
async fn a_fleet_whose_shards_are_not_known_yet_has_no_answer_and_nobody_is_asked() {
    let (queries, shards, _root) = start_over(FarShards { knows_nothing: true, ..FarShards::new() }).await;
    for question in [one(3), nearest(10), inside(10), Question::Count] {
        assert_eq!(queries.ask(question).await, Err(Unanswered::NotReady));
    }
    assert!(shards.asked.lock().is_empty());
}

#[tokio::test]
async fn answers_of_shards_have_bounded_room_together_until_the_last_came() {
    let (queries, shards, _root) = start_over(FarShards { hangs: true, ..FarShards::new() }).await;
    let full = Err(Unanswered::Pool(CallError::Full));
    for limit in [60_000, 60_000, 100_000] {
        let wide = begin(queries.ask(inside(limit))).await;
        assert_eq!(queries.ask(inside(60_000)).await, full);
        // Nobody waits any more, and answers still come.
        drop(wide);
        assert_eq!(queries.ask(inside(60_000)).await, full);
        shards.coming.lock().clear();
    }
    let wide = begin(queries.ask(inside(60_000))).await;
    // One that would take more than there is room for goes alone.
    assert_eq!(queries.ask(inside(100_000)).await, full);
    // All came, and they are joined.
    shards.coming.lock().clear();
    assert_eq!(queries.ask(inside(60_000)).await, full);
    drop(wide);
    let _alone = begin(queries.ask(inside(100_000))).await;
}

/// Asks, and returns the question under way.
async fn begin<F: Future<Output = Result<Whole<Answer>, Unanswered>>>(asked: F) -> Pin<Box<F>> {
    let mut asked = Box::pin(asked);
    let polled = std::future::poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await;
    assert!(polled.is_pending(), "{polled:?}");
    asked
}
