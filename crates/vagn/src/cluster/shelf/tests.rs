use std::sync::atomic::{AtomicU64, Ordering};

use super::super::link::tests::{node_of, note};
use super::*;
use crate::query::tests::sighting;
use vagn_cluster::{Command, DiskPart, Event, Moment, NodeId, Settings};
use vagn_flow::clock::Clock;
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::readiness::{Readiness, ReadyReport};
use vagn_otp::testkit::until;
use vagn_otp::{Queue, Root, Strategy, Supervisor};
use vagn_shard::shard_of;
use vagn_store::{Index, Plan, Updates, VehicleIdBuf, Writer};
use vagn_wire::{Position, VehicleId};

/// A clock that counts how often it is asked.
#[derive(Default)]
struct CountingClock(AtomicU64);

impl Clock for CountingClock {
    fn now_ms(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        self.0.fetch_add(1, Ordering::Relaxed);
        Duration::ZERO
    }
}

struct Fixture {
    parts: ShelfParts,
    readiness: Arc<Readiness>,
    clock: Arc<CountingClock>,
    shelf: Shelf,
    registry: Arc<MetricRegistry>,
}

impl Fixture {
    fn new(shards: u16) -> Self {
        let registry = MetricRegistry::new();
        let metrics = Arc::new(ClusterMetrics::new(&registry));
        let (link, readiness) = (NodeLink::default(), Arc::new(Readiness::default()));
        let clock = Arc::new(CountingClock::default());
        let owned = Arc::new(Fleet::placed(shards.into(), shard_of));
        let parts = ShelfParts {
            fleet: Arc::new(Fleet::placed(shards.into(), shard_of)),
            known: Arc::new(LiveFleet::new(owned, clock.clone(), 1, Duration::from_secs(10))),
            positions: Positions::new("test"),
            odd: OddFleet::new(shards.into()),
            news: News::new(metrics.clone()),
            outlook: Arc::new(Outlook::new(readiness.clone(), "fleet".into(), shards)),
            courier: Courier::new(Queue::new(1), link.clone()),
            onlookers: Onlookers::new(clock.clone()),
            metrics,
            link,
        };
        Self { shelf: Shelf::new(parts.clone()), parts, readiness, clock, registry }
    }

    async fn start(&self) -> Root {
        let child = self.shelf.child();
        Supervisor::new("test", Strategy::OneForOne).child(child).start().await.unwrap()
    }

    fn says(&self, what: &str) -> Option<ReadyReport> {
        let report = self.readiness.report();
        report.missing.get("cluster").is_some_and(|why| why.contains(what)).then_some(report)
    }
}

#[tokio::test(start_paused = true)]
async fn the_data_set_tells_how_many_shards_there_are_and_not_the_setting() {
    let fixture = Fixture::new(8);
    let _root = fixture.start().await;
    let (driver, _leads) = node_of(&fixture.parts.link, 3);
    let looked = async {
        let report = until(|| fixture.says("has 3 shards, and `cluster.shards` is 8; set it to 3")).await;
        assert!(!report.can_ask && !report.can_store, "{report:?}");
        assert_eq!(fixture.parts.link.shards(), Some(3));
        until(|| fixture.shelf.wrong_shards()).await;
    };
    tokio::select! {
        () = driver.run() => unreachable!("it goes on for ever"),
        () = looked => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_any_more_is_not_ready_and_shows_nothing() {
    let fixture = Fixture::new(3);
    let _root = fixture.start().await;
    let (driver, _leads) = node_of(&fixture.parts.link, 3);
    let mut driven = Box::pin(driver.run());
    for _ in 0..2 {
        tokio::select! {
            () = &mut driven => unreachable!("it goes on for ever"),
            _ = until(|| fixture.says("no broker")) => {}
        }
        assert!(fixture.shelf.latest().is_some());
        // Its thread hangs.
        sleep(SILENT_AFTER - LOOK_WITHIN).await;
        assert!(fixture.shelf.latest().is_some(), "it may only be slow");
        sleep(LOOK_WITHIN * 4).await;
        let report = fixture.says("has not answered for").expect("it says so");
        assert!(!report.can_ask && !report.can_store && report.can_take_alarms, "{report:?}");
        assert!(fixture.shelf.latest().is_none() && fixture.parts.link.shards().is_none());
        assert!(fixture.registry.page().contains("vagn_cluster_members{state=\"heard\"} 0"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_reads_its_files_for_long_is_starting() {
    let fixture = Fixture::new(3);
    let _root = fixture.start().await;
    let _node = node_of(&fixture.parts.link, 3);
    sleep(SILENT_AFTER * 3).await;
    assert!(fixture.says("the node is starting").is_some());
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_the_node_has_time_between_two_looks() {
    let fixture = Fixture::new(3);
    fixture.parts.onlookers.note();
    let _root = fixture.start().await;
    let (driver, _leads) = node_of(&fixture.parts.link, 3);
    let busy = async {
        for _ in 0..1_000 {
            fixture.parts.news.wake();
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = driver.run() => unreachable!("it goes on for ever"),
        () = busy => {}
    }
    // Each look asks for onlookers.
    let looks = fixture.clock.0.load(Ordering::Relaxed);
    assert!((10..=60).contains(&looks), "{looks}");
}

#[test]
fn what_a_shelf_that_crashed_has_left_is_not_shown() {
    let Fixture { parts, .. } = Fixture::new(1);
    parts.fleet.set(0, Some(Writer::new(Index::new(10)).reader()));
    assert!(parts.fleet.ready());
    View::new(&parts);
    assert!(!parts.fleet.ready());
}

#[test]
fn what_is_here_and_not_shown_is_attached_no_more() {
    let mut node = Node::<FleetShard>::new(Settings::new(NodeId(9), 1));
    let mut out = Vec::new();
    let mut handle = |event| {
        node.handle(Moment { elapsed_ms: 1, wall_ms: 1 }, event, &mut out);
        std::mem::take(&mut out)
    };
    handle(Event::Disk(DiskPart::Note(note(1))));
    let begun = handle(Event::Disk(DiskPart::End)).into_iter().find_map(|command| match command {
        Command::InstallSnapshot { shard, sequence, .. } => {
            Some(Event::SnapshotSaved { shard, sequence, result: Ok(()) })
        }
        _ => None,
    });
    handle(begun.expect("the node owns the shard alone"));
    // It may lack all that is in the stream.
    let state = node.state(ShardId(0)).expect("it is here");
    assert!(node.shown(ShardId(0)).is_none());
    let Fixture { parts, .. } = Fixture::new(1);
    let ShelfParts { fleet, known, positions, odd, .. } = parts;
    let outlet: Arc<dyn Outlet> = Arc::new(FleetOutlet { fleet, known, positions, odd });
    state.attach(outlet.clone());
    assert!(contents(&node, &[None], &outlet).is_empty());
    assert_eq!(Arc::strong_count(&outlet), 1);
}

#[test]
fn what_a_look_without_an_answer_did_is_done_again() {
    let Fixture { parts, .. } = Fixture::new(1);
    let mut readers = Readers::new(&parts);
    let reader = Writer::new(Index::new(10)).reader();
    let content =
        |is_attached| Content { shard: ShardId(0), reader: reader.clone(), is_attached, is_replica: true };
    readers.take_all(vec![content(false)]);
    readers.take_all(vec![content(true)]);
    assert!(readers.unattached()[0].is_none());
    readers.doubt();
    assert!(readers.unattached()[0].is_some());
}

#[test]
fn vehicles_of_mirrors_are_shown_and_count_where_their_owners_are() {
    let Fixture { parts, .. } = Fixture::new(2);
    let mut readers = Readers::new(&parts);
    let content = |number, is_replica| {
        let mut updates = Updates::new();
        let id = VehicleIdBuf::from(VehicleId::new("bus").unwrap());
        updates.push(id.key(), id.key().hash(), sighting(Position::new(1.0, 2.0).unwrap()));
        let mut writer = Writer::new(Index::new(10));
        writer.write(&updates, &mut Plan::default());
        Content { shard: ShardId(number), reader: writer.reader(), is_attached: false, is_replica }
    };
    assert!(readers.take_all(vec![content(0, true), content(1, false)]));
    assert_eq!((readers.vehicles(), parts.fleet.len()), (1, Ok(2)));
}

#[test]
fn a_mirror_makes_nobody_known() {
    let Fixture { parts, .. } = Fixture::new(2);
    let mut readers = Readers::new(&parts);
    let content = |is_replica| {
        let reader = Writer::new(Index::new(10)).reader();
        vec![Content { shard: ShardId(0), reader, is_attached: false, is_replica }]
    };
    readers.take_all(content(false));
    assert_eq!((parts.fleet.reader(0).is_some(), parts.known.counts(0)), (true, false));
    readers.take_all(content(true));
    assert!(parts.known.counts(0));
    readers.take_all(content(false));
    assert_eq!((parts.fleet.reader(0).is_some(), parts.known.counts(0)), (true, false));
    readers.take_all(content(true));
    View::new(&parts);
    assert!(!parts.known.counts(0), "a shelf that crashed has left it");
}
