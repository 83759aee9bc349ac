//! Topics: policies, waiting, owners that come and go.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_otp::Strategy::OneForOne;
use vagn_otp::testkit::{Alone, Probe, until};
use vagn_otp::{
    Actor, CallError, ChildSpec, Context, Failure, Handle, Owner, OwnerChange, Policy, Published, Queue,
    QueueSubscriber, RecipientSubscriber, Supervisor, Topic,
};

use crate::parts::{Journal, LONG};

const S: Duration = Duration::from_secs(1);

fn everything(queue: &Queue<u32>, policy: Policy) -> QueueSubscriber<u32, u32> {
    QueueSubscriber::new(queue, policy, |item| Some(*item))
}

fn publish_all(topic: &Topic<u32>, items: impl IntoIterator<Item = u32>) {
    for item in items {
        topic.publish(&item);
    }
}

fn content(queue: &Queue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.try_pop()).collect()
}

#[test]
fn each_policy_decides_which_item_goes_when_there_is_no_room() {
    let cases: [(Policy, &[u32], &[u32], Published); 3] = [
        (Policy::DropOldest, &[3, 4], &[1, 2], Published { taken: 4, dropped: 2, ..Published::default() }),
        (Policy::DropNewest, &[1, 2], &[3, 4], Published { taken: 2, full: 2, ..Published::default() }),
        (Policy::Wait, &[1, 2], &[3, 4], Published { taken: 2, full: 2, ..Published::default() }),
    ];
    for (policy, kept, gone, counts) in cases {
        let (topic, queue) = (Topic::new("numbers"), Queue::new(2));
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let noted = dropped.clone();
        let subscriber = everything(&queue, policy).on_drop(move |item| noted.lock().push(item));
        let subscription = topic.subscribe("all", subscriber);
        publish_all(&topic, 1..=4);
        let info = subscription.info();
        assert_eq!((info.counts, info.depth, info.capacity), (counts, 2, 2), "{policy:?}");
        assert_eq!((content(&queue).as_slice(), dropped.lock().as_slice()), (kept, gone), "{policy:?}");
    }
}

#[test]
fn a_full_subscriber_costs_the_others_nothing() {
    let topic = Topic::new("numbers");
    let (small, large) = (Queue::new(1), Queue::new(100));
    topic.subscribe("small", everything(&small, Policy::DropNewest));
    topic.subscribe("large", everything(&large, Policy::DropNewest));
    publish_all(&topic, 0..100);
    assert_eq!((small.len(), large.len()), (1, 100));
    assert_eq!(topic.published(), 100);
}

#[test]
fn a_subscriber_gets_the_items_it_selects_and_none_after_it_has_left() {
    let (topic, odd) = (Topic::new("numbers"), Queue::new(100));
    let select =
        QueueSubscriber::new(&odd, Policy::DropNewest, |item: &u32| (item % 2 == 1).then_some(item * 100));
    let subscription = topic.subscribe("odd", select);
    publish_all(&topic, 1..=5);
    assert_eq!(topic.list()[0].counts, Published { taken: 3, skipped: 2, ..Published::default() });
    subscription.unsubscribe();
    assert_eq!(topic.publish(&7), Published::default());
    assert_eq!(content(&odd), [100, 300, 500]);
    assert!(topic.list().is_empty());
}

#[test]
fn a_subscriber_that_has_ended_is_counted_as_down() {
    let (topic, queue) = (Topic::new("numbers"), Queue::new(1));
    for policy in [Policy::DropOldest, Policy::DropNewest, Policy::Wait] {
        topic.subscribe("gone", everything(&queue, policy));
    }
    queue.close();
    assert_eq!(topic.publish(&1).down, 3);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_can_wait_waits_only_for_the_subscribers_that_want_it() {
    let topic = Topic::new("numbers");
    let (patient, hasty) = (Queue::new(1), Queue::new(1));
    topic.subscribe("hasty", everything(&hasty, Policy::DropOldest));
    topic.subscribe("patient", everything(&patient, Policy::Wait));
    assert_eq!(topic.publish_wait(&1, S).await.taken, 2);
    let refused = topic.publish_wait(&2, S).await;
    assert_eq!((refused.taken, refused.dropped, refused.full), (1, 1, 1), "no room within a second");
    let (accepted, ()) = tokio::join!(topic.publish_wait(&3, LONG), async {
        tokio::time::sleep(S).await;
        assert_eq!(hasty.try_pop(), Some(3), "the other had it at once");
        assert_eq!(patient.try_pop(), Some(1));
    });
    assert_eq!((accepted.taken, accepted.full), (2, 0));
    assert_eq!(content(&patient), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_can_first_serve_the_subscribers_that_are_not_waited_for() {
    let topic = Topic::new("numbers");
    let (patient, hasty) = (Queue::new(1), Queue::new(2));
    topic.subscribe("patient", everything(&patient, Policy::Wait));
    topic.subscribe("hasty", everything(&hasty, Policy::DropOldest));
    for item in 1..=2 {
        assert_eq!(topic.publish_eager(&item), Published { taken: 1, ..Published::default() });
    }
    assert_eq!((content(&hasty).as_slice(), patient.len()), (&[1, 2][..], 0));
    assert_eq!(topic.publish_patient(&1, S).await.taken, 1);
    let begun = tokio::time::Instant::now();
    assert_eq!(topic.publish_patient(&2, Duration::ZERO).await.full, 1);
    assert_eq!(begun.elapsed(), Duration::ZERO, "no time is no time");
    assert_eq!(topic.publish_patient(&2, S).await.full, 1);
    assert_eq!((content(&patient).as_slice(), content(&hasty).as_slice()), (&[1][..], &[][..]));
    assert_eq!(topic.published(), 2, "an item counts once, however it is handed out");
}

#[tokio::test]
async fn a_thread_can_publish_and_wait() {
    let (topic, queue) = (Topic::new("numbers"), Queue::new(1));
    topic.subscribe("all", everything(&queue, Policy::Wait));
    let door = topic.clone();
    let spec = ChildSpec::thread("door", move |ctx| {
        ctx.ready();
        for item in 0..100 {
            door.publish_blocking(&item, LONG);
        }
        Ok(())
    });
    let root = Supervisor::new("root", OneForOne).child(spec.transient()).start().await.unwrap();
    for item in 0..100 {
        assert_eq!(queue.pop().await, Some(item), "none lost, all in order");
    }
    root.stop().await;
}

/// Owns a topic, and lists its subscribers.
struct Dispatcher {
    owner: Owner<u32>,
}

impl Actor for Dispatcher {}

struct Subscribers;
struct Crash;

impl Handle<Subscribers> for Dispatcher {
    type Reply = Vec<String>;

    async fn handle(&mut self, _: Subscribers, _: &mut Context<Self>) -> Vec<String> {
        self.owner.topic().list().into_iter().map(|info| info.name).collect()
    }
}

impl Handle<Crash> for Dispatcher {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("dispatcher crashed");
    }
}

#[tokio::test(start_paused = true)]
async fn subscribers_survive_a_restart_of_the_owner_and_are_told_of_it() {
    vagn_otp::quiet_panics();
    let (topic, queue) = (Topic::new("numbers"), Queue::new(100));
    let changes = Arc::new(Mutex::new(Vec::new()));
    let heard = changes.clone();
    let subscriber =
        everything(&queue, Policy::DropNewest).on_owner_change(move |change| heard.lock().push(change));
    topic.subscribe("all", subscriber);
    let owned = topic.clone();
    let (addr, spec) = ChildSpec::actor("dispatcher", 8, move || Dispatcher { owner: owned.own() });
    let alone = Alone::child(spec.backoff(S, S)).await;
    topic.publish(&1);
    assert_eq!(addr.call(Crash, LONG).await, Err(CallError::Crashed));
    until(|| (!topic.is_owned()).then_some(())).await;
    topic.publish(&2);
    alone.restarted(1).await;
    assert_eq!(addr.call(Subscribers, LONG).await, Ok(vec!["all".to_owned()]));
    topic.publish(&3);
    assert_eq!(content(&queue), [1, 2, 3], "published all the while");
    assert_eq!(*changes.lock(), [OwnerChange::OwnerUp, OwnerChange::OwnerDown, OwnerChange::OwnerUp]);
}

/// Notes the numbers it is told; zero is poison.
struct Listener {
    journal: Journal,
}

impl Actor for Listener {
    async fn started(&mut self, _: &mut Context<Self>) -> Result<(), Failure> {
        self.journal.note("+");
        Ok(())
    }
}

impl Handle<u32> for Listener {
    type Reply = ();

    async fn handle(&mut self, item: u32, _: &mut Context<Self>) {
        assert!(item != 0, "poison");
        self.journal.note(item.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn an_actors_subscription_survives_its_own_restart() {
    vagn_otp::quiet_panics();
    let (topic, journal) = (Topic::new("numbers"), Journal::default());
    let noted = journal.clone();
    let (addr, _alone) = Alone::actor(move || Listener { journal: noted.clone() }).await;
    topic.subscribe("listener", RecipientSubscriber::new(addr.recipient(), |item: &u32| Some(*item)));
    for item in [1, 0, 2, 3] {
        topic.publish(&item);
    }
    journal.expect("+ 1 + 2 3").await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_can_subscribe() {
    let (topic, probe) = (Topic::new("numbers"), Probe::new());
    topic.subscribe(
        "probe",
        RecipientSubscriber::new(probe.recipient(), |item: &u32| (*item > 1).then_some(*item)),
    );
    publish_all(&topic, 1..=2);
    assert_eq!(probe.expect().await, 2);
    probe.expect_nothing(S).await;
}
