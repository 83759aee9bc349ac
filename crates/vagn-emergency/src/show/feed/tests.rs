use futures_util::FutureExt;

use super::ring::BYTES_MAX;
use super::*;
use vagn_flow::clock::ManualClock;

const RUN: u64 = 1_790_000_000_000;

fn feed(kept: usize) -> Feed {
    Feed::new(Arc::new(ManualClock::at(RUN as i64)), kept)
}

fn publish(feed: &Feed, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        feed.publish("updated", &number);
    }
}

fn id(number: u64) -> EventId {
    EventId { run: RUN, number }
}

/// Returns what is ready for the follower: `3` for the third event, `gap(3, GapReason)` for a gap up to it.
fn ready(follower: &mut Follower) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(Some(item)) = follower.next().now_or_never() {
        found.push(match item {
            FeedItem::Event(event) => event.id.number.to_string(),
            FeedItem::Gap { id, reason } => format!("gap({}, {reason:?})", id.number),
        });
    }
    found
}

#[test]
fn an_event_tells_the_change_and_its_time() {
    let feed = feed(10);
    let mut follower = feed.since(None);
    feed.publish("opened", &["an incident"]);
    let data = r#"{"change":"opened","time":"2026-09-21T14:13:20.000Z","incident":["an incident"]}"#;
    let event = Arc::new(FeedEvent { id: id(1), data: data.into() });
    assert_eq!(follower.next().now_or_never(), Some(Some(FeedItem::Event(event))));
}

#[test]
fn followers_go_on_after_the_event_they_name_or_get_a_gap() {
    let feed = feed(3);
    publish(&feed, 1..=5);
    for (last, expected) in [
        (None, vec![]),
        (Some(id(5)), vec![]),
        (Some(id(4)), vec!["5"]),
        (Some(id(2)), vec!["3", "4", "5"]),
        (Some(id(1)), vec!["gap(5, MissedEvents)"]),
        (Some(id(0)), vec!["gap(5, MissedEvents)"]),
        (Some(id(6)), vec!["gap(5, UnknownEvent)"]),
        (Some(EventId { run: RUN - 1, number: 4 }), vec!["gap(5, UnknownEvent)"]),
    ] {
        assert_eq!(ready(&mut feed.since(last)), expected, "{last:?}");
    }
}

#[test]
fn a_slow_follower_hears_of_a_gap_and_then_of_what_comes_after_it() {
    let feed = feed(3);
    let mut follower = feed.since(None);
    publish(&feed, 1..=3);
    assert_eq!(ready(&mut follower), ["1", "2", "3"]);
    publish(&feed, 4..=7);
    assert_eq!(ready(&mut follower), ["gap(7, MissedEvents)"]);
    publish(&feed, 8..=9);
    assert_eq!(ready(&mut follower), ["8", "9"]);
}

#[test]
fn keeps_no_more_bytes_than_it_may() {
    let feed = feed(1_000);
    let large = "x".repeat(BYTES_MAX / 4);
    for _ in 0..10 {
        feed.publish("updated", &large);
    }
    let ring = feed.ring.lock();
    assert_eq!((ring.events.len(), ring.latest.number), (3, 10));
    assert_eq!(ring.bytes, ring.events.iter().map(|event| event.data.len()).sum::<usize>());
}

#[tokio::test]
async fn a_waiting_follower_is_woken_by_the_next_event_and_by_the_end() {
    let feed = feed(3);
    let mut follower = feed.since(None);
    let mut next = Box::pin(follower.next());
    assert_eq!((&mut next).now_or_never(), None);
    publish(&feed, 1..=1);
    assert!(matches!(next.await, Some(FeedItem::Event(event)) if event.id == id(1)));
    drop(feed);
    assert_eq!(follower.next().await, None);
}

#[test]
fn an_id_is_read_as_it_is_written() {
    assert_eq!("1790000000000-7".parse(), Ok(id(7)));
    assert_eq!(id(7).to_string(), "1790000000000-7");
    for text in ["", "-", "7", "1-", "-1", "1-2-3", "+1-2", "1-x", "99999999999999999999-1"] {
        assert_eq!(text.parse::<EventId>(), Err(BadEventId), "{text}");
    }
}
