//! Topics: subscribers and owners that come and go beside publishers, and what each item counts as.

use std::sync::{Arc, Mutex};

use shuttle::thread;
use vagn_schedules::{OwnerChange, Policy, Queue, QueueSubscriber, Topic};

use crate::{holds, joined};

fn subscriber(queue: &Queue<u32>, policy: Policy) -> QueueSubscriber<u32, u32> {
    QueueSubscriber::new(queue, policy, |item| Some(*item))
}

#[test]
fn subscribers_that_come_at_once_all_stay() {
    holds(two_subscribers_at_once);
}

pub(crate) fn two_subscribers_at_once() {
    let topic = Topic::new("t");
    let queues = [(); 2].map(|()| Queue::new(8));
    let joins = queues.clone().map(|queue| {
        let topic = topic.clone();
        thread::spawn(move || drop(topic.subscribe("s", subscriber(&queue, Policy::DropNewest))))
    });
    topic.publish(&1);
    joins.into_iter().for_each(joined);
    assert_eq!(topic.publish(&2).taken, 2);
    let items = queues.map(|queue| std::iter::from_fn(|| queue.try_pop()).collect::<Vec<_>>());
    assert!(items.iter().all(|items| *items == [2] || *items == [1, 2]), "{items:?}");
    let taken: u64 = topic.list().iter().map(|info| info.counts.taken).sum();
    assert_eq!(taken, items.concat().len() as u64);
}

#[test]
fn a_subscriber_that_leaves_is_served_at_most_by_what_is_under_way() {
    holds(a_subscriber_leaves);
}

fn a_subscriber_leaves() {
    let topic = Topic::new("t");
    let queue = Queue::new(8);
    let subscription = topic.subscribe("s", subscriber(&queue, Policy::DropNewest));
    let publisher = topic.clone();
    let publisher = thread::spawn(move || (0..2).map(|n| publisher.publish(&n).taken).sum::<u64>());
    subscription.unsubscribe();
    let before = queue.counts().pushed;
    let taken = joined(publisher);
    assert!((before..=before + 1).contains(&taken), "{before} before, {taken} in all");
    assert_eq!((topic.publish(&9).taken, queue.counts().pushed), (0, taken));
}

#[test]
fn each_item_counts_as_what_became_of_it_while_the_queue_is_closed() {
    holds(a_close_beside_publishers);
}

fn a_close_beside_publishers() {
    let topic = Topic::new("t");
    let queue = Queue::new(1);
    let subscription = topic.subscribe("s", subscriber(&queue, Policy::DropOldest));
    let publishers = [0, 1].map(|n| {
        let topic = topic.clone();
        thread::spawn(move || {
            topic.publish(&n);
        })
    });
    queue.close();
    publishers.into_iter().for_each(joined);
    let (counts, queue) = (subscription.info().counts, queue.counts());
    assert_eq!((counts.taken, counts.dropped), (queue.pushed, queue.evicted));
    assert_eq!(counts.taken + counts.down, 2);
}

#[test]
fn the_last_news_of_an_owner_is_true() {
    holds(owners_come_and_go);
}

fn owners_come_and_go() {
    let topic = Topic::<u32>::new("t");
    let news = Arc::new(Mutex::new(Vec::new()));
    let told = news.clone();
    let subscriber = subscriber(&Queue::new(1), Policy::DropNewest)
        .on_owner_change(move |change| told.lock().expect("no holder panics").push(change));
    drop(topic.subscribe("s", subscriber));
    let first = topic.own();
    let next = topic.clone();
    let next = thread::spawn(move || next.own());
    let last = || (topic.is_owned(), news.lock().expect("no holder panics").last().copied());
    drop(first);
    let next = joined(next);
    let owned = last();
    drop(next);
    assert_eq!([owned, last()], [(true, Some(OwnerChange::OwnerUp)), (false, Some(OwnerChange::OwnerDown))]);
}
