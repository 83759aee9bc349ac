//! Queues: bounds, order, counts, closes, and no wake-up that gets lost.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use shuttle::future::spawn;
use shuttle::thread;
use vagn_schedules::{PushError, Queue};

use crate::{holds, joined, waited};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn every_item_is_taken_once_and_those_of_a_giver_in_order() {
    holds(givers_and_takers);
}

fn givers_and_takers() {
    let queue = Queue::new(1);
    let givers = [0, 1].map(|giver| {
        let queue = queue.clone();
        // Those that wait too long for room are refused.
        thread::spawn(move || {
            (0..2)
                .map(|n| (giver, n))
                .filter(|item| queue.push_blocking(*item, LONG).is_ok())
                .collect::<Vec<_>>()
        })
    });
    let takers = [(); 2].map(|()| {
        let queue = queue.clone();
        spawn(async move {
            let mut taken = Vec::new();
            while let Some(item) = queue.pop().await {
                taken.push(item);
            }
            taken
        })
    });
    let given: BTreeSet<_> = givers.into_iter().flat_map(joined).collect();
    queue.close();
    let taken = takers.map(waited);
    for items in &taken {
        assert!(
            [0, 1].iter().all(|giver| items.iter().filter(|item| item.0 == *giver).is_sorted()),
            "{items:?}"
        );
    }
    let all: Vec<_> = taken.concat();
    assert_eq!((all.len(), all.into_iter().collect()), (given.len(), given));
}

#[test]
fn a_wake_up_for_a_taker_that_leaves_goes_to_the_next() {
    holds(a_taker_leaves);
}

pub(crate) fn a_taker_leaves() {
    let queue = Queue::new(4);
    let leaver = until_woken(queue.clone());
    let stayer = queue.clone();
    let stayer = async move { stayer.pop().await };
    let leaver = spawn(and_close(queue.clone(), leaver));
    let stayer = spawn(and_close(queue.clone(), stayer));
    queue.try_push(7).expect("there is room");
    let taken = [leaver, stayer].map(waited);
    assert_eq!(taken.iter().flatten().count(), 1, "one of the two has it");
}

/// Closes the queue after the item was taken, for the other taker waits for no more.
async fn and_close(queue: Queue<u32>, taker: impl Future<Output = Option<u32>>) -> Option<u32> {
    let taken = taker.await;
    if taken.is_some() {
        queue.close();
    }
    taken
}

/// Waits for an item, and leaves when it is woken.
async fn until_woken(queue: Queue<u32>) -> Option<u32> {
    let mut pop = queue.pop();
    let mut waits = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waits, true) {
            return Poll::Ready(None);
        }
        Pin::new(&mut pop).poll(cx)
    })
    .await
}

#[test]
fn a_queue_never_holds_more_than_it_may() {
    holds(more_givers_than_room);
}

pub(crate) fn more_givers_than_room() {
    let queue = Queue::new(2);
    let givers = [0, 1, 2].map(|n| {
        let queue = queue.clone();
        thread::spawn(move || {
            queue.try_push(n).ok();
            assert!(queue.len() <= 2, "{} items", queue.len());
        })
    });
    givers.into_iter().for_each(joined);
    let counts = queue.counts();
    assert_eq!((queue.len(), counts.pushed, counts.refused), (2, 2, 1));
}

#[test]
fn every_item_that_goes_for_a_newer_one_is_counted_and_given_back() {
    holds(evictions);
}

pub(crate) fn evictions() {
    let queue = Queue::new(1);
    let givers = [0, 10].map(|first| {
        let queue = queue.clone();
        thread::spawn(move || {
            (first..first + 2).filter_map(|n| queue.push_evicting(n).expect("it is open")).count()
        })
    });
    let taken = usize::from(queue.try_pop().is_some());
    let gone: usize = givers.into_iter().map(joined).sum();
    assert_eq!(taken + gone + queue.len(), 4);
    assert_eq!(queue.counts().evicted, gone as u64);
}

#[test]
fn a_close_ends_every_wait_and_gives_back_what_did_not_get_in() {
    holds(a_close_among_waits);
}

fn a_close_among_waits() {
    let queue = Queue::new(1);
    let givers = [0, 1].map(|n| {
        let queue = queue.clone();
        spawn(async move { queue.push(n, LONG).await })
    });
    let taker = queue.clone();
    let taker = thread::spawn(move || taker.pop_blocking(LONG).is_ok());
    queue.close();
    let outcomes = givers.map(waited);
    let got_in = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    for (n, outcome) in outcomes.into_iter().enumerate() {
        assert!(outcome.map_err(PushError::into_inner) == Ok(()) || got_in < 2, "giver {n}");
    }
    let taken = usize::from(joined(taker));
    assert_eq!(taken + queue.len(), got_in);
    assert_eq!(queue.counts().pushed, got_in as u64);
}

#[test]
fn nothing_gets_into_a_queue_that_was_closed_and_emptied() {
    holds(a_close_beside_a_giver);
}

pub(crate) fn a_close_beside_a_giver() {
    let queue = Queue::new(4);
    let giver = queue.clone();
    let giver = thread::spawn(move || (0..2).filter(|n| giver.try_push(*n).is_ok()).count());
    queue.close();
    let left = std::iter::from_fn(|| queue.try_pop()).count();
    assert_eq!(joined(giver), left);
    assert!(queue.is_empty());
}

#[test]
fn a_giver_whose_time_is_up_takes_its_item_along_or_has_got_in() {
    holds(a_short_wait_for_room);
}

fn a_short_wait_for_room() {
    let queue = Queue::new(1);
    queue.try_push(0).expect("there is room");
    let giver = queue.clone();
    let giver = spawn(async move { giver.push(1, Duration::from_millis(1)).await });
    let first = queue.try_pop();
    let outcome = waited(giver);
    let rest: Vec<_> = std::iter::from_fn(|| queue.try_pop()).collect();
    assert_eq!(first, Some(0));
    assert_eq!(rest, if outcome.is_ok() { vec![1] } else { vec![] });
    assert_eq!(queue.counts().refused, u64::from(outcome.is_err()));
}
