//! What is asked of brokers, without a node.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;
use vagn_cluster::{
    Delivered, Event, NodeId, PublishOutcome, RecordKey, RecordOutcome, ShardId, StreamId, StreamInfo,
    StreamOutcome, SubscriptionId, WriteOutcome,
};
use vagn_nats::{Brokers, Loss, NewMessage, Options, trail_bytes};

use crate::processes::Processes;
use crate::rig::{QUIET, brokers, until};

const STREAM: StreamId = StreamId { shard: ShardId(0), epoch: 1 };
const ROOM: u64 = 32 << 20;

fn message(text: impl AsRef<[u8]>, id: Option<u64>) -> NewMessage {
    let message_id = id.map(|id| format!("m-{id}"));
    NewMessage { stream: STREAM, message_id, expected_last: None, bytes: Arc::from(text.as_ref()) }
}

async fn info(brokers: &Brokers) -> StreamOutcome {
    brokers.read_stream(STREAM, Instant::now() + Duration::from_secs(1)).await
}

async fn made(brokers: &Brokers, room: u64) -> StreamInfo {
    match brokers.make_stream(STREAM, room).await {
        StreamOutcome::Is(info) => info,
        other => panic!("{other:?}"),
    }
}

/// Publishes until it is stored.
async fn store(brokers: &Brokers, number: u64) -> u64 {
    loop {
        let text = format!("{number}");
        if let PublishOutcome::Stored { sequence, .. } = brokers.publish(message(text, Some(number))).await {
            return sequence;
        }
    }
}

/// Follows until `last`, and checks that nothing is missing or out of order.
async fn read(brokers: &Brokers, from: u64, last: u64) -> Vec<Delivered> {
    let mut messages = Box::pin(brokers.follow(SubscriptionId(from), STREAM, from));
    let mut read: Vec<Delivered> = Vec::new();
    while read.last().is_none_or(|message| message.sequence < last) {
        match messages.next().await {
            Some(Event::Delivered(message)) => {
                let before = read.last().map_or(from - 1, |before| before.sequence);
                assert_eq!(message.sequence, before + 1);
                read.push(message);
            }
            other => panic!("after {:?}: {other:?}", read.last().map(|message| message.sequence)),
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_whole_and_in_order_from_anywhere() {
    let brokers = brokers(&QUIET, "whole", 1).await;
    let begun = made(&brokers, ROOM).await;
    assert_eq!((begun.first, begun.last), (1, 0));
    let mut under_way: FuturesUnordered<_> = (0..32).map(|number| store(&brokers, number)).collect();
    let (mut next, mut sequences) = (32, Vec::new());
    while let Some(sequence) = under_way.next().await {
        sequences.push(sequence);
        if next < 2_000 {
            under_way.push(store(&brokers, next));
            next += 1;
        }
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=2_000).collect::<Vec<u64>>());
    let all = read(&brokers, 1, 2_000).await;
    assert!(all.iter().all(|message| message.incarnation == begun.incarnation));
    let mut numbers: Vec<u64> =
        all.iter().map(|message| std::str::from_utf8(&message.bytes).unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..2_000).collect::<Vec<u64>>());
    let rest = read(&brokers, 1_500, 2_000).await;
    assert_eq!(rest[0].bytes, all[1_499].bytes);
    brokers.purge(STREAM, 1_200).await;
    let StreamOutcome::Is(purged) = info(&brokers).await else { panic!("it is there") };
    assert_eq!((purged.first, purged.last, purged.incarnation), (1_201, 2_000, begun.incarnation));
    // The one that was asked for is gone: what comes first is told by its sequence.
    let mut early = Box::pin(brokers.follow(SubscriptionId(9), STREAM, 1_000));
    assert!(matches!(early.next().await, Some(Event::Delivered(message)) if message.sequence == 1_201));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_entries_come_through() {
    let brokers = brokers(&QUIET, "entries", 1).await;
    made(&brokers, ROOM).await;
    let long = vec![7; vagn_cluster::ENTRY_MAX];
    for sequence in 1..=20 {
        let stored = PublishOutcome::Stored { sequence, duplicate: false };
        assert_eq!(brokers.publish(message(&long, None)).await, stored);
    }
    let all = read(&brokers, 1, 20).await;
    assert!(all.iter().all(|message| message.bytes[..] == long));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_is_told_what_became_of_it() {
    let brokers = brokers(&QUIET, "outcomes", 1).await;
    assert_eq!(brokers.publish(message("a", None)).await, PublishOutcome::Absent);
    assert_eq!(info(&brokers).await, StreamOutcome::Absent);
    made(&brokers, 100_000).await;
    let stored = |sequence, duplicate| PublishOutcome::Stored { sequence, duplicate };
    assert_eq!(brokers.publish(message("a", Some(1))).await, stored(1, false));
    assert_eq!(brokers.publish(message("a", Some(1))).await, stored(1, true));
    for (expected_last, expected) in [
        (7, PublishOutcome::WrongLast { last: 1 }),
        (1, stored(2, false)),
        (1, PublishOutcome::WrongLast { last: 2 }),
    ] {
        let message = NewMessage { expected_last: Some(expected_last), ..message("b", None) };
        assert_eq!(brokers.publish(message).await, expected);
    }
    assert_eq!(brokers.publish(message([0; 60_000], None)).await, stored(3, false));
    assert_eq!(brokers.publish(message([0; 60_000], None)).await, PublishOutcome::Full);
    let StreamOutcome::Is(full) = info(&brokers).await else { panic!("it is there") };
    assert_eq!((full.first, full.last), (1, 3), "nothing was discarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_ends_its_subscription_and_is_another_when_made_anew() {
    let brokers = brokers(&QUIET, "deleted", 1).await;
    let begun = made(&brokers, ROOM).await;
    store(&brokers, 1).await;
    let mut messages = Box::pin(brokers.follow(SubscriptionId(1), STREAM, 1));
    assert!(matches!(messages.next().await, Some(Event::Delivered(_))));
    brokers.drop_stream(STREAM).await;
    assert!(matches!(messages.next().await, Some(Event::SubscriptionEnded(SubscriptionId(1)))));
    assert!(messages.next().await.is_none());
    assert_eq!(info(&brokers).await, StreamOutcome::Absent);
    assert_ne!(made(&brokers, ROOM).await.incarnation, begun.incarnation);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_a_stream_that_is_not_there_ends() {
    let brokers = brokers(&QUIET, "absent", 1).await;
    let mut messages = Box::pin(brokers.follow(SubscriptionId(1), STREAM, 1));
    assert!(matches!(messages.next().await, Some(Event::SubscriptionEnded(_))));
    assert_eq!(brokers.counts().of(Loss::Broken), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_change_a_record_at_once_one_wins() {
    const KEY: RecordKey = RecordKey::Assignment;
    let (one, two) = (brokers(&QUIET, "record", 1).await, brokers(&QUIET, "record", 2).await);
    assert_eq!(one.read_record(KEY).await, RecordOutcome::Absent);
    let (mut expected, mut decided) = (None, 0);
    for round in 0..60_u8 {
        let writers = (0..8_u8).map(|writer| {
            let brokers = if writer.is_multiple_of(2) { &one } else { &two };
            async move { (writer, brokers.write_record(KEY, expected, vec![round, writer]).await) }
        });
        let outcomes: Vec<(u8, WriteOutcome)> = writers.collect::<FuturesUnordered<_>>().collect().await;
        let won: Vec<(u8, u64)> = outcomes
            .iter()
            .filter_map(|(writer, outcome)| match outcome {
                WriteOutcome::Written { revision } => Some((*writer, *revision)),
                WriteOutcome::Refused | WriteOutcome::NoAnswer => None,
            })
            .collect();
        match won[..] {
            [(winner, revision)] => {
                assert!(expected < Some(revision));
                let bytes = vec![round, winner];
                assert_eq!(two.read_record(KEY).await, RecordOutcome::Is { revision, bytes });
                (expected, decided) = (Some(revision), decided + 1);
            }
            // Brokers on a busy machine may be late, above all with the first record: one may be there all the same.
            [] => match two.read_record(KEY).await {
                RecordOutcome::Is { revision, .. } => expected = Some(revision),
                RecordOutcome::Absent | RecordOutcome::NoAnswer => {}
            },
            _ => panic!("round {round}: {outcomes:?}"),
        }
        if decided == 20 {
            return;
        }
    }
    panic!("only {decided} rounds were decided");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_of_all_streams_fits_into_that_of_the_brokers() {
    let processes = Processes::start(&["--room", "2G"]);
    let brokers = brokers(&processes, "room", 1).await;
    let by = || Instant::now() + Duration::from_secs(20);
    let bytes = brokers.stream_bytes(8, by()).await.unwrap();
    // Three quarters of what is there, found to within a few per cent.
    assert!((160_000_000..=188_000_000).contains(&bytes), "{bytes}");
    for shard in 0..8 {
        let stream = StreamId { shard: ShardId(shard), epoch: 1 };
        let made = brokers.make_stream(stream, bytes).await;
        assert!(matches!(made, StreamOutcome::Is(_)), "{shard}: {made:?}");
    }
    // The trail and the registry fit in too, with all the room that they are meant to have.
    let trail = trail_bytes(bytes, 8);
    assert!(matches!(brokers.make_stream(StreamId::trail(1), trail).await, StreamOutcome::Is(_)));
    assert!(matches!(brokers.make_bucket(bytes / 2).await, StreamOutcome::Is(_)));
    assert_eq!(brokers.stream_bytes(8, by()).await, Some(bytes), "what stands, counts");
    let streams = streams(&processes, "room").await;
    let reserved: u64 = streams.iter().map(|(_, max_bytes)| max_bytes).sum();
    assert_eq!((streams.len(), reserved), (10, 8 * bytes + trail + bytes / 2));
    assert!(reserved < 1_900_000_000, "records have room beside them: {reserved}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_made_with_less_where_brokers_have_not_so_much() {
    let processes = Processes::start(&["--room", "1G"]);
    let brokers = brokers(&processes, "less", 1).await;
    let wanted = 4 << 30;
    assert_eq!(brokers.make_stream(STREAM, wanted).await, StreamOutcome::NoAnswer, "a shard's is not");
    let made = brokers.make_stream(StreamId::trail(1), wanted).await;
    assert!(matches!(made, StreamOutcome::Is(info) if info.last == 0), "{made:?}");
    assert_eq!(brokers.make_stream(StreamId::trail(1), wanted).await, made, "it stands");
    let streams = streams(&processes, "less").await;
    assert!(
        matches!(&streams[..], [(name, 1..=1_000_000_000)] if name == "vagn-less-trail-1"),
        "{streams:?}"
    );
}

/// Streams of a data set, with their room.
async fn streams(processes: &Processes, set: &str) -> Vec<(String, u64)> {
    let options = Options::new(&processes.addresses, set, NodeId(1), 1).unwrap();
    let streams = options.visit(0).await.unwrap().streams().await.unwrap();
    assert!(streams.silent.is_empty(), "{streams:?}");
    streams.seen.into_iter().map(|stream| (stream.name, stream.max_bytes)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connections_go_to_different_brokers() {
    let brokers = brokers(&QUIET, "two", 3).await;
    until("both stand", 10, async || {
        let [one, two] = brokers.addresses();
        assert!(one.is_none() || one != two, "{one:?}");
        one.is_some() && two.is_some()
    })
    .await;
}
