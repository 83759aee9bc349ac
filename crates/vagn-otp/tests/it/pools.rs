//! Pools: fair lanes, poison jobs, questions, changes of size, and stops. On the real clock, for workers are threads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use vagn_otp::Strategy::OneForOne;
use vagn_otp::testkit::until;
use vagn_otp::{Ask, CallError, ChildSpec, Exit, Fault, Pool, PushError, Queue, Root, Stats, Supervisor};

use crate::parts::LONG;

async fn root(spec: ChildSpec) -> Root {
    vagn_otp::quiet_panics();
    Supervisor::new("root", OneForOne).child(spec).start().await.expect("the pool starts")
}

/// Numbers done so far; a multiple of ten is poison.
#[derive(Clone, Default)]
struct Done(Arc<Mutex<Vec<u32>>>);

impl Done {
    fn worker(&self) -> impl FnMut(u32) + Send + use<> {
        let done = self.0.clone();
        move |job| {
            assert!(job % 10 != 0, "poison");
            done.lock().push(job);
        }
    }

    fn set(&self) -> BTreeSet<u32> {
        self.0.lock().iter().copied().collect()
    }
}

/// Sums a counter over all workers.
fn sum(pool: &Pool<u32>, count: fn(&Stats) -> u64) -> u64 {
    pool.workers().iter().map(|(_, stats)| count(stats)).sum()
}

#[tokio::test]
async fn poison_jobs_lose_only_themselves() {
    let done = Done::default();
    let jobs = Queue::new(1000);
    let made = done.clone();
    let pool = Pool::builder("pool").workers(3).lane("jobs", &jobs);
    let (pool, spec) = pool.backoff(Duration::ZERO, Duration::from_millis(5)).child(move |_| made.worker());
    let root = root(spec).await;
    for job in 1..=200 {
        jobs.push(job, LONG).await.unwrap();
    }
    let expected: BTreeSet<u32> = (1..=200).filter(|job| job % 10 != 0).collect();
    until(|| (done.set() == expected).then_some(())).await;
    assert_eq!(done.0.lock().len(), expected.len(), "none twice");
    until(|| ((sum(&pool, Stats::lost), sum(&pool, Stats::handled)) == (20, 180)).then_some(())).await;
    root.stop().await;
}

#[tokio::test]
async fn a_pool_with_an_intensity_gives_up_when_poison_comes_too_fast() {
    let done = Done::default();
    let pool = Pool::<u32>::builder("pool").intensity(2, LONG).child(move |_| done.worker());
    let root = root(pool.1).await;
    for _ in 0..3 * 4 {
        pool.0.try_push(10).unwrap();
    }
    let exit = tokio::time::timeout(LONG, root.ended()).await.unwrap();
    assert!(matches!(exit, Exit::GaveUp { child, .. } if child == "pool"));
    assert!(matches!(pool.0.try_push(1), Err(PushError::Closed(1))));
}

#[tokio::test]
async fn a_flood_in_one_lane_does_not_starve_the_other() {
    let (flood, calm) = (Queue::new(1000), Queue::new(1000));
    for _ in 0..100 {
        flood.try_push("flood").unwrap();
    }
    for _ in 0..10 {
        calm.try_push("calm").unwrap();
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = order.clone();
    let pool = Pool::builder("pool").lane("flood", &flood).lane("calm", &calm);
    let (_pool, spec) = pool.child(move |_| {
        let seen = seen.clone();
        move |job| seen.lock().push(job)
    });
    let root = root(spec).await;
    until(|| (order.lock().len() == 110).then_some(())).await;
    let first: Vec<_> = order.lock()[..20].to_vec();
    assert_eq!(first.iter().filter(|job| **job == "calm").count(), 10, "in turn");
    root.stop().await;
}

enum Question {
    Double,
    Crash,
}

fn answer(ask: Ask<(Question, u32), u32>) {
    ask.answer(|(question, n)| match question {
        Question::Double => n * 2,
        Question::Crash => panic!("poison"),
    });
}

#[tokio::test]
async fn a_question_is_answered_and_a_crash_answers_too() {
    let (pool, spec) = Pool::<Ask<(Question, u32), u32>>::builder("pool").workers(2).child(|_| answer);
    let root = root(spec).await;
    assert_eq!(pool.call((Question::Double, 21), LONG).await, Ok(42));
    assert_eq!(pool.call((Question::Crash, 0), LONG).await, Err(CallError::Crashed));
    for n in 0..100 {
        assert_eq!(pool.call((Question::Double, n), LONG).await, Ok(n * 2), "as if nothing had happened");
    }
    root.processes().inject("pool-0", Fault::Panic);
    root.processes().inject("pool-1", Fault::Panic);
    assert_eq!(pool.call((Question::Double, 1), LONG).await, Err(CallError::Crashed));
    root.stop().await;
    assert_eq!(pool.call((Question::Double, 1), LONG).await, Err(CallError::Down));
}

#[tokio::test]
async fn a_full_pool_refuses_a_question_at_once_and_leaves_out_one_without_a_caller() {
    let lane = Queue::new(1);
    let worked = Arc::new(AtomicUsize::new(0));
    let counted = worked.clone();
    let (pool, spec) = Pool::builder("pool").lane("only", &lane).child(move |_| {
        let worked = counted.clone();
        move |ask: Ask<(), ()>| {
            ask.answer(|()| {
                worked.fetch_add(1, Ordering::SeqCst);
            })
        }
    });
    // The pool does not run yet.
    assert_eq!(pool.call::<(), ()>((), Duration::from_millis(1)).await, Err(CallError::Timeout));
    assert_eq!(pool.call::<(), ()>((), LONG).await, Err(CallError::Full));
    let root = root(spec).await;
    until(|| lane.is_empty().then_some(())).await;
    assert_eq!(pool.call::<(), ()>((), LONG).await, Ok(()));
    assert_eq!(worked.load(Ordering::SeqCst), 1);
    root.stop().await;
}

#[tokio::test]
async fn the_process_list_shows_the_jobs_in_all_lanes_of_a_pool() {
    let (one, other) = (Queue::new(4), Queue::new(8));
    let (gate, opened) = std::sync::mpsc::channel::<()>();
    let opened = Arc::new(Mutex::new(opened));
    let builder = Pool::builder("pool").workers(1).lane("one", &one).lane("other", &other);
    let (_, spec) = builder.child(move |_| {
        let opened = opened.clone();
        move |_: u32| opened.lock().recv().unwrap_or_default()
    });
    let root = root(spec).await;
    one.try_push(1).unwrap();
    until(|| one.is_empty().then_some(())).await;
    for (lane, job) in [(&one, 2), (&one, 3), (&other, 4)] {
        lane.try_push(job).unwrap();
    }
    let info = root.processes().get("pool").unwrap();
    assert_eq!((info.mailbox_depth, info.mailbox_capacity), (3, 12));
    drop(gate);
    root.stop().await;
}

#[tokio::test]
async fn a_graceful_stop_does_every_job_in_the_lanes() {
    let done = Done::default();
    let jobs = Queue::new(10_000);
    let made = done.clone();
    let (_pool, spec) = Pool::builder("pool").workers(4).lane("jobs", &jobs).child(move |_| made.worker());
    let root = root(spec).await;
    let all: BTreeSet<u32> = (0..5000).filter(|job| job % 10 != 0).collect();
    for job in &all {
        jobs.try_push(*job).unwrap();
    }
    root.stop().await;
    assert_eq!(done.set(), all);
    assert!(matches!(jobs.try_push(1), Err(PushError::Closed(1))));
}

#[tokio::test]
async fn a_pool_grows_and_shrinks_while_it_works() {
    let jobs = Queue::new(1000);
    let done = Done::default();
    let made = done.clone();
    let (pool, spec) = Pool::builder("pool").workers(2).lane("jobs", &jobs).child(move |_| made.worker());
    let root = root(spec).await;
    for (round, (size, expected)) in
        [(4, "pool-0 pool-1 pool-2 pool-3"), (1, "pool-0"), (0, "pool-0"), (2, "pool-0 pool-1")]
            .into_iter()
            .enumerate()
    {
        pool.resize(size).await.unwrap();
        let names: Vec<_> = pool.workers().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.join(" "), expected);
        assert_eq!(root.processes().list().len(), 2 + pool.size());
        let job = 10 * round as u32 + 1;
        jobs.push(job, LONG).await.unwrap();
        until(|| done.set().contains(&job).then_some(())).await;
    }
    root.stop().await;
}

#[tokio::test]
async fn a_broadcast_reaches_every_worker() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let made = seen.clone();
    let (pool, spec) = Pool::<&'static str>::builder("pool").workers(3).child(move |worker| {
        let seen = made.clone();
        move |job| {
            seen.lock().insert((worker, job));
        }
    });
    let root = root(spec).await;
    assert_eq!(pool.broadcast(&"refresh"), 3);
    let expected: BTreeSet<_> = (0..3).map(|worker| (worker, "refresh")).collect();
    until(|| (*seen.lock() == expected).then_some(())).await;
    root.stop().await;
}

#[tokio::test]
async fn a_worker_that_hangs_is_replaced_and_its_caller_told() {
    let (pool, spec) = Pool::<Ask<(Question, u32), u32>>::builder("pool")
        .watchdog(Duration::from_millis(200))
        .child(|_| answer);
    let root = root(spec).await;
    root.processes().inject("pool-0", Fault::Hang);
    let answers =
        tokio::join!(pool.call((Question::Double, 1), LONG), pool.call((Question::Double, 2), LONG));
    assert_eq!(answers.1, Ok(4), "the next one is served by the new worker");
    assert!(answers.0.is_ok() || answers.0 == Err(CallError::Crashed));
    assert_eq!(root.processes().get("pool-0").unwrap().restarts, 1);
    root.stop().await;
}

#[tokio::test]
async fn jobs_left_when_a_pool_is_removed_are_done_first() {
    let jobs = Queue::new(100);
    let done = Done::default();
    let made = done.clone();
    let (_pool, spec) = Pool::builder("pool").lane("jobs", &jobs).child(move |_| made.worker());
    let supervisor = Supervisor::new("root", OneForOne);
    let handle = supervisor.handle();
    let root = supervisor.start().await.unwrap();
    for job in 1..=9 {
        jobs.try_push(job).unwrap();
    }
    handle.add(spec).await.unwrap();
    assert!(handle.remove("pool").await);
    assert_eq!(done.set().len(), 9);
    assert!(jobs.is_closed());
    root.stop().await;
}
