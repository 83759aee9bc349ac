//! Backlogs: the age of messages, and the difference between a stuck process and a busy one.

use std::time::Duration;

use vagn_otp::Strategy::OneForOne;
use vagn_otp::testkit::{Alone, until};
use vagn_otp::{
    Addr, Backlog, ChildSpec, Policy, Pool, ProcessInfo, Queue, QueueSubscriber, Supervisor, Topic,
};

use crate::parts::{Crash, Journal, LONG, Note, Part, Work, part};

const S: Duration = Duration::from_secs(1);

async fn alone() -> (Addr<Part>, Alone) {
    let (addr, spec, _) = part("a", &Journal::default());
    (addr, Alone::child(spec).await)
}

fn shown(info: &ProcessInfo) -> (usize, Duration, Duration, u64) {
    (info.mailbox_depth, info.mailbox_oldest, info.mailbox_stalled, info.handled)
}

fn handled_and_wakeups(alone: &Alone) -> (u64, u64) {
    let info = alone.info().expect("the actor is listed");
    (info.handled, info.wakeups)
}

fn ages<T>(queue: &Queue<T>) -> (Duration, Duration) {
    let Backlog { oldest, stalled, .. } = queue.backlog();
    (oldest, stalled)
}

#[tokio::test(start_paused = true)]
async fn a_stuck_actor_and_a_busy_one_are_told_apart_by_the_time_since_the_last_take() {
    let (stuck, stuck_alone) = alone().await;
    let (busy, busy_alone) = alone().await;
    stuck.try_tell(Work(LONG)).unwrap();
    for _ in 0..30 {
        busy.try_tell(Work(S)).unwrap();
    }
    tokio::time::sleep(2 * S).await;
    stuck.try_tell(Note(1)).unwrap();
    tokio::time::sleep(S * 21 / 2).await;
    assert_eq!(shown(&stuck_alone.info().unwrap()), (1, S * 21 / 2, S * 21 / 2, 0));
    assert_eq!(shown(&busy_alone.info().unwrap()), (17, S * 25 / 2, S / 2, 12));
}

#[tokio::test(start_paused = true)]
async fn an_actor_with_nothing_waiting_is_neither_stuck_nor_busy() {
    let (addr, alone) = alone().await;
    tokio::time::sleep(LONG).await;
    assert_eq!(shown(&alone.info().unwrap()), (0, Duration::ZERO, Duration::ZERO, 0));
    addr.call(Work(10 * S), LONG).await.unwrap();
    tokio::time::sleep(LONG).await;
    addr.try_tell(Work(10 * S)).unwrap();
    tokio::time::sleep(9 * S).await;
    assert_eq!(shown(&alone.info().unwrap()), (0, Duration::ZERO, Duration::ZERO, 1), "none waits behind it");
}

#[tokio::test(start_paused = true)]
async fn messages_keep_their_age_over_a_crash() {
    vagn_otp::quiet_panics();
    let (addr, spec, _) = part("a", &Journal::default());
    let alone = Alone::child(spec.backoff(5 * S, 5 * S)).await;
    addr.try_tell(Crash).unwrap();
    addr.try_tell(Note(1)).unwrap();
    tokio::time::sleep(4 * S).await;
    assert_eq!(shown(&alone.info().unwrap()), (1, 4 * S, 4 * S, 0));
    tokio::time::sleep(2 * S).await;
    assert_eq!(shown(&alone.info().unwrap()), (0, Duration::ZERO, Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn an_actor_counts_one_wake_up_for_the_messages_that_it_finds_at_once() {
    let (addr, alone) = alone().await;
    for n in 0..3 {
        addr.try_tell(Note(n)).unwrap();
    }
    until(|| (addr.stats().handled() == 3).then_some(())).await;
    assert_eq!(handled_and_wakeups(&alone), (3, 1), "three messages in one wake-up");
    addr.call(Note(3), S).await.unwrap();
    addr.call(Note(4), S).await.unwrap();
    assert_eq!(handled_and_wakeups(&alone), (5, 3), "one message each time");
}

#[tokio::test(start_paused = true)]
async fn an_age_is_too_high_by_at_most_the_time_between_two_takes() {
    let queue = Queue::new(8);
    queue.try_push(1).unwrap();
    tokio::time::sleep(6 * S).await;
    queue.try_push(2).unwrap();
    tokio::time::sleep(4 * S).await;
    queue.try_pop().unwrap();
    tokio::time::sleep(S).await;
    queue.try_push(3).unwrap();
    // In truth 5 s: when it came, the last look at the clock was 6 s ago.
    assert_eq!(ages(&queue), (11 * S, S));
    queue.try_pop().unwrap();
    assert_eq!(ages(&queue), (S, Duration::ZERO), "it came 1 s after the last take");
    queue.try_pop().unwrap();
    assert_eq!(queue.backlog(), Backlog { capacity: 8, ..Backlog::default() });
    tokio::time::sleep(LONG).await;
    queue.try_push(4).unwrap();
    tokio::time::sleep(S).await;
    assert_eq!(ages(&queue), (S, S), "exact in an empty queue");
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_backlog_makes_the_ages_after_it_more_exact() {
    let queue = Queue::new(8);
    queue.try_push(1).unwrap();
    tokio::time::sleep(10 * S).await;
    assert_eq!(ages(&queue), (10 * S, 10 * S));
    queue.try_push(2).unwrap();
    tokio::time::sleep(S).await;
    queue.try_pop().unwrap();
    assert_eq!(ages(&queue), (S, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_only_drops_its_oldest_has_stalled() {
    for capacity in [1, 2] {
        let queue = Queue::new(capacity);
        for n in 0..10 {
            queue.push_evicting(n).unwrap();
            tokio::time::sleep(S).await;
        }
        assert_eq!((queue.backlog().stalled, queue.len()), (10 * S, capacity));
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_waited_for_room_ages_from_when_it_got_in() {
    let queue = Queue::new(1);
    queue.try_push(1).unwrap();
    let take = async {
        tokio::time::sleep(10 * S).await;
        queue.try_pop()
    };
    assert_eq!(tokio::join!(queue.push(2, LONG), take), (Ok(()), Some(1)));
    tokio::time::sleep(S).await;
    assert_eq!(ages(&queue), (S, S));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_shows_how_long_its_items_wait() {
    let (topic, queue) = (Topic::new("numbers"), Queue::new(8));
    let subscriber = QueueSubscriber::new(&queue, Policy::DropOldest, |item: &u32| Some(*item));
    let subscription = topic.subscribe("all", subscriber);
    for item in 0..3 {
        topic.publish(&item);
    }
    tokio::time::sleep(5 * S).await;
    queue.try_pop().unwrap();
    tokio::time::sleep(S).await;
    let info = subscription.info();
    assert_eq!((info.depth, info.oldest, info.stalled), (2, 6 * S, S));
}

#[tokio::test]
async fn a_pool_shows_how_long_its_jobs_wait_and_its_workers_how_often_they_woke() {
    let (one, other) = (Queue::new(4), Queue::new(8));
    let (gate, opened) = std::sync::mpsc::sync_channel::<()>(0);
    let opened = std::sync::Arc::new(parking_lot::Mutex::new(opened));
    let builder = Pool::builder("pool").lane("one", &one).lane("other", &other);
    let (_pool, spec): (_, ChildSpec) = builder.child(move |_| {
        let opened = opened.clone();
        move |_: u32| opened.lock().recv().unwrap_or_default()
    });
    let root = Supervisor::new("root", OneForOne).child(spec).start().await.unwrap();
    let processes = root.processes();
    let worker = || processes.get("pool-0").unwrap();
    let pool = || processes.get("pool").unwrap();
    one.try_push(1).unwrap();
    until(|| one.is_empty().then_some(())).await;
    one.try_push(2).unwrap();
    other.try_push(3).unwrap();
    // Both grow for as long as the worker is stuck.
    until(|| (pool().mailbox_oldest.min(pool().mailbox_stalled) > S / 20).then_some(())).await;
    drop(gate);
    until(|| (worker().handled == 3).then_some(())).await;
    assert_eq!((pool().mailbox_oldest, pool().mailbox_stalled), (Duration::ZERO, Duration::ZERO));
    // A job that comes before the worker has begun to wait wakes nothing, so it takes as many as it takes.
    until(|| {
        one.try_push(4).ok();
        (worker().wakeups > 0).then_some(())
    })
    .await;
    root.stop().await;
}
