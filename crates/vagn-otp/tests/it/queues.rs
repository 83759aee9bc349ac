//! Queues: bounds, order, fairness, and above all no lost wake-up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vagn_otp::{PopError, PushError, Queue, QueueCounts};

use crate::parts::LONG;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_queue_keeps_order_and_its_bound() {
    let queue = Queue::new(2);
    assert_eq!(queue.try_push(1), Ok(()));
    assert_eq!(queue.try_push(2), Ok(()));
    assert_eq!(queue.try_push(3), Err(PushError::Full(3)));
    assert_eq!(queue.push_blocking(4, MS), Err(PushError::Full(4)));
    assert_eq!((queue.len(), queue.capacity()), (2, 2));
    assert_eq!((queue.try_pop(), queue.try_pop(), queue.try_pop()), (Some(1), Some(2), None));
    assert_eq!(queue.pop_blocking(MS), Err(PopError::Empty));
    let counts = QueueCounts { pushed: 2, popped: 2, evicted: 0, refused: 2 };
    assert_eq!(queue.counts(), counts);
}

#[test]
fn evicting_drops_the_oldest_and_gives_it_back() {
    let queue = Queue::new(2);
    let gone: Vec<_> = (1..=4).map(|item| queue.push_evicting(item).unwrap()).collect();
    assert_eq!(gone, [None, None, Some(1), Some(2)]);
    assert_eq!((queue.try_pop(), queue.try_pop()), (Some(3), Some(4)));
    assert_eq!(queue.counts().evicted, 2);
    queue.close();
    assert_eq!(queue.push_evicting(5), Err(PushError::Closed(5)));
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
    let queue = Queue::new(1);
    queue.try_push(1).unwrap();
    let (waited, ()) = tokio::join!(queue.push(2, LONG), async { queue.close() });
    assert_eq!(waited, Err(PushError::Closed(2)), "an item that waits for room comes back");
    assert_eq!(queue.try_push(3), Err(PushError::Closed(3)));
    assert_eq!((queue.pop().await, queue.pop().await), (Some(1), None));
    assert_eq!(queue.pop_blocking(MS), Err(PopError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_close_wakes_every_wait_for_an_item() {
    let queue = Queue::<u32>::new(1);
    let all = async { tokio::join!(queue.pop(), queue.pop(), queue.pop()) };
    let (popped, ()) = tokio::join!(all, async { queue.close() });
    assert_eq!(popped, (None, None, None));
}

#[tokio::test(start_paused = true)]
async fn items_that_wait_for_room_get_it_in_order_of_arrival() {
    let queue = Queue::new(1);
    queue.try_push(0).unwrap();
    let popped = async {
        tokio::task::yield_now().await;
        assert_eq!(queue.try_push(9), Err(PushError::Full(9)), "an item cannot pass those that wait");
        let mut popped = Vec::new();
        for _ in 0..4 {
            popped.extend(queue.pop().await);
        }
        popped
    };
    let pushes = async { tokio::join!(queue.push(1, LONG), queue.push(2, LONG), queue.push(3, LONG)) };
    let (pushed, popped) = tokio::join!(pushes, popped);
    assert_eq!((pushed, popped), ((Ok(()), Ok(()), Ok(())), vec![0, 1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn a_giver_that_stops_waiting_takes_its_item_along() {
    let queue = Queue::new(1);
    queue.try_push(1).unwrap();
    assert_eq!(queue.push(2, MS).await, Err(PushError::Full(2)));
    {
        let mut push = std::pin::pin!(queue.push(3, LONG));
        assert!(tokio::time::timeout(MS, &mut push).await.is_err());
    }
    assert_eq!((queue.try_pop(), queue.try_pop()), (Some(1), None), "neither 2 nor 3 slipped in");
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_for_a_taker_that_has_left_goes_to_the_next() {
    let queue = Queue::new(4);
    let mut leaver = Box::pin(queue.pop());
    let mut stayer = Box::pin(queue.pop());
    assert!(tokio::time::timeout(MS, &mut leaver).await.is_err());
    assert!(tokio::time::timeout(MS, &mut stayer).await.is_err());
    queue.try_push(1).unwrap();
    drop(leaver);
    assert_eq!(tokio::time::timeout(LONG, stayer).await, Ok(Some(1)));
}

/// Threads give and take in every way there is, through a queue much smaller than the number of items. A lost wake-up shows as
/// a stand-still, which the time limits of the waits turn into a failure.
#[test]
fn nothing_is_lost_doubled_or_left_asleep_among_many_threads() {
    let rounds = if std::env::var_os("VAGN_LONG").is_some() { 200 } else { 4 };
    for round in 0..rounds {
        let capacity = [1, 2, 7, 64][round % 4];
        stress(capacity, 3, 3, 4_000);
    }
}

fn stress(capacity: usize, givers: u64, takers: u64, each: u64) {
    let queue = Queue::new(capacity);
    let sum = AtomicU64::new(0);
    let count = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let taking: Vec<_> = (0..takers)
            .map(|taker| {
                let (queue, sum, count) = (&queue, &sum, &count);
                scope.spawn(move || {
                    let runtime = runtime();
                    while let Some(item) = runtime.block_on(take(queue, taker)) {
                        sum.fetch_add(item, Ordering::Relaxed);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let giving: Vec<_> = (0..givers)
            .map(|giver| {
                let queue = &queue;
                scope.spawn(move || {
                    let runtime = runtime();
                    for n in 0..each {
                        runtime.block_on(give(queue, giver, giver * each + n));
                    }
                })
            })
            .collect();
        for giver in giving {
            giver.join().expect("no giver panics");
        }
        queue.close();
        for taker in taking {
            taker.join().expect("no taker panics");
        }
    });
    let total = givers * each;
    assert_eq!((count.into_inner(), sum.into_inner()), (total, total * (total - 1) / 2));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a small runtime starts")
}

/// Gives in the giver's own way: it waits in a task, waits on its thread, or gives up now and then and tries again.
async fn give(queue: &Queue<u64>, giver: u64, item: u64) {
    let result = match giver % 3 {
        0 => queue.push(item, LONG).await,
        1 => queue.push_blocking(item, LONG),
        _ => give_up_and_try_again(queue, item).await,
    };
    assert_eq!(result, Ok(()), "room came in time");
}

async fn give_up_and_try_again(queue: &Queue<u64>, mut item: u64) -> Result<(), PushError<u64>> {
    for _ in 0..3 {
        match queue.push(item, Duration::from_micros(20)).await {
            Err(PushError::Full(back)) => item = back,
            result => return result,
        }
    }
    queue.push(item, LONG).await
}

/// Takes in the taker's own way: it waits in a task, waits on its thread, or begins to wait and leaves again.
async fn take(queue: &Queue<u64>, taker: u64) -> Option<u64> {
    match taker % 3 {
        0 => queue.pop().await,
        1 => match queue.pop_blocking(LONG) {
            Ok(item) => Some(item),
            Err(PopError::Closed) => None,
            Err(PopError::Empty) => panic!("an item came in time"),
        },
        _ => loop {
            if let Ok(item) = tokio::time::timeout(Duration::from_micros(20), queue.pop()).await {
                return item;
            }
        },
    }
}
