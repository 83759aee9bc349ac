//! The bucket of the registry, at real brokers.

use std::pin::pin;

use bytes::Bytes;
use futures_util::StreamExt;
use vagn_cluster::StreamOutcome;
use vagn_nats::{Appended, Brokers, BucketEvent, NewObject};

use crate::rig::{QUIET, brokers};

const ROOM: u64 = 16 << 20;

fn object(key: &str, value: Option<&str>) -> NewObject {
    NewObject { key: key.into(), value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())) }
}

/// Reads all that is there from a sequence on: key, sequence and content.
async fn read(brokers: &Brokers, from: u64) -> Vec<(String, u64, Option<String>)> {
    let mut events = pin!(brokers.follow_bucket(from));
    let Some(BucketEvent::Begun { newest, .. }) = events.next().await else { panic!("it begins") };
    let (mut all, mut last) = (Vec::new(), from - 1);
    while last < newest {
        let Some(BucketEvent::Object { key, sequence, value }) = events.next().await else {
            panic!("it broke off after {all:?}")
        };
        all.push((key, sequence, value.map(|value| String::from_utf8(value.to_vec()).unwrap())));
        last = sequence;
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bucket_keeps_the_last_version_and_takes_nothing_from_who_has_not_seen_all() {
    let brokers = brokers(&QUIET, "registry", 1).await;
    assert_eq!(brokers.read_bucket().await, StreamOutcome::Absent);
    assert_eq!(brokers.append(0, &[object("token.a", Some("1"))]).await, Appended::NoAnswer);
    assert!(matches!(brokers.make_bucket(ROOM).await, StreamOutcome::Is(_)));
    assert_eq!(brokers.append(0, &[object("token.a", Some("1"))]).await, Appended::At(1));
    assert_eq!(brokers.append(0, &[object("token.b", Some("1"))]).await, Appended::Elsewhere);
    assert_eq!(brokers.append(1, &[object("token.a", Some("2"))]).await, Appended::At(2));
    assert_eq!(brokers.append(2, &[object("token.b", Some("3"))]).await, Appended::At(3));
    assert_eq!(brokers.append(3, &[object("token.a", None)]).await, Appended::At(4));
    let kept = vec![("token.b".to_owned(), 3, Some("3".to_owned())), ("token.a".to_owned(), 4, None)];
    assert_eq!(read(&brokers, 1).await, kept);
    assert_eq!(read(&brokers, 4).await, kept[1..]);
    assert_eq!(read(&brokers, 5).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_objects_are_written_all_or_none() {
    let brokers = brokers(&QUIET, "registry-batch", 1).await;
    brokers.make_bucket(ROOM).await;
    let many: Vec<_> = (0..500).map(|number| object(&format!("device.{number}"), Some("x"))).collect();
    assert_eq!(brokers.append(7, &many).await, Appended::Elsewhere);
    assert_eq!(read(&brokers, 1).await, []);
    assert_eq!(brokers.append(0, &many).await, Appended::At(500));
    assert_eq!(brokers.append(499, &many).await, Appended::Elsewhere);
    let two = [object("device.0", None), object("device.1", Some("y"))];
    assert_eq!(brokers.append(500, &two).await, Appended::At(502));
    let all = read(&brokers, 1).await;
    let (removed, changed) =
        (("device.0".to_owned(), 501, None), ("device.1".to_owned(), 502, Some("y".to_owned())));
    assert_eq!((all.len(), &all[498..]), (500, &[removed, changed][..]));
}
