//! The shelf: looks at the node again and again, and puts its replicas, and its mirrors, where the service reads them. It shows members and shards in
//! metrics, readiness and status.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use vagn_cluster::{Node, ShardId};
use vagn_live::Positions;
use vagn_otp::{ChildSpec, Failure, TaskContext};
use vagn_shard::{FleetShard, Outlet};
use vagn_store::{Changes, Fleet, Key, OrderNumber, Reader};
use vagn_wire::Oddities;

use super::courier::Courier;
use super::link::NodeLink;
use super::metrics::ClusterMetrics;
use super::news::News;
use super::onlookers::Onlookers;
use super::outlook::Outlook;
use super::picture::Picture;
use crate::odd::OddFleet;

/// Pause between two looks while nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Least pause between two looks, whatever happens: a look takes the node's time.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Longest wait for a look. A node that takes longer is shown as it was, for a while.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// Time without an answer after which nothing of a node is shown any more: what it does is not known.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// Time for which mirrors are asked for with each look.
const MIRRORED_FOR: Duration = Duration::from_secs(15);

/// Parts that a shelf is given.
#[derive(Clone)]
pub struct ShelfParts {
    /// Way to the node.
    pub link: NodeLink<FleetShard>,
    /// Gets the readers of the replicas that are here.
    pub fleet: Arc<Fleet>,
    /// Those who follow the fleet.
    pub positions: Positions,
    /// Gets vehicles that behave oddly.
    pub odd: OddFleet,
    /// Wakes the shelf.
    pub news: News,
    /// Shown after each look.
    pub metrics: Arc<ClusterMetrics>,
    /// Told after each look.
    pub outlook: Arc<Outlook>,
    /// Asked for what is under way.
    pub courier: Courier<FleetShard>,
    /// Tells whether shards that are owned elsewhere are to be shown too.
    pub onlookers: Onlookers,
}

/// The shelf. Clones are the same.
#[derive(Clone)]
pub struct Shelf {
    parts: Arc<ShelfParts>,
    latest: Arc<Mutex<Option<Arc<Picture>>>>,
}

impl Shelf {
    /// A shelf that has not looked yet.
    pub fn new(parts: ShelfParts) -> Self {
        Self { parts: Arc::new(parts), latest: Arc::default() }
    }

    /// Returns what the last look has shown; `None` while there is no node.
    pub fn latest(&self) -> Option<Arc<Picture>> {
        self.latest.lock().clone()
    }

    /// Says what is wrong where this node is set to another number of shards than its data set has.
    pub fn wrong_shards(&self) -> Option<String> {
        self.parts.outlook.wrong_shards(&*self.latest()?)
    }

    /// Returns the addresses of the brokers that the two connections have or try.
    pub fn brokers(&self) -> [Option<String>; 2] {
        self.parts.link.handle().map_or([None, None], |handle| handle.brokers().addresses())
    }

    /// True while no broker is connected.
    pub fn are_brokers_away(&self) -> bool {
        self.connections() == 0
    }

    /// Returns the number of connections to brokers that stand, of two.
    pub fn connections(&self) -> usize {
        self.parts.link.handle().map_or(0, |handle| handle.brokers().connections())
    }

    /// Returns the child that looks.
    pub fn child(&self) -> ChildSpec {
        let shelf = self.clone();
        ChildSpec::task("shelf", move |ctx| {
            let shelf = shelf.clone();
            async move { shelf.run(&ctx).await }
        })
    }

    async fn run(&self, ctx: &TaskContext) -> Result<(), Failure> {
        let ShelfParts { fleet, positions, odd, news, .. } = &*self.parts;
        let outlet = FleetOutlet { fleet: fleet.clone(), positions: positions.clone(), odd: odd.clone() };
        let outlet: Arc<dyn Outlet> = Arc::new(outlet);
        let mut view = View::new(&self.parts);
        ctx.ready();
        loop {
            ctx.beat().await;
            self.look(&outlet, &mut view).await;
            let pause = async {
                sleep(PAUSE_MIN).await;
                timeout(LOOK_EVERY - PAUSE_MIN, news.came()).await.ok();
            };
            tokio::select! {
                () = ctx.stopping() => return Ok(()),
                () = pause => {}
            }
        }
    }

    async fn look(&self, outlet: &Arc<dyn Outlet>, view: &mut View) {
        let ShelfParts { link, fleet, metrics, outlook, courier, onlookers, positions, .. } = &*self.parts;
        metrics.show_under_way(courier.under_way());
        let Ok((handle, run)) = link.now() else {
            return self.show_none(view, |outlook| outlook.gone());
        };
        if view.run != run {
            // What is shown is of another node.
            self.show_none(view, |outlook| outlook.gone());
            view.run = run;
        }
        let brokers = handle.brokers();
        metrics.show_brokers(run, brokers);
        let can_show_all = link.shards().map(usize::from) == Some(fleet.partitions());
        if can_show_all && (onlookers.are_there() || positions.is_followed()) {
            // Refused while the node has too much to do; the next look asks again.
            handle.mirror(MIRRORED_FOR).ok();
        }
        let (outlet, shown) = (outlet.clone(), view.readers.unattached());
        let look = handle.look(move |node| (Picture::of(node), contents(node, &shown, &outlet)));
        let Ok(Ok((picture, contents))) = timeout(LOOK_WITHIN, look).await else {
            // What it attached or detached meanwhile is not known.
            view.readers.doubt();
            // One that has never answered reads its files, which may take long.
            if let Some(answered) = view.answered.filter(|answered| answered.elapsed() >= SILENT_AFTER) {
                self.show_none(view, |outlook| outlook.silent(answered.elapsed()));
                // A question would only wait for it.
                link.note_shards(run, None);
                // Still of this run, and still as silent.
                (view.run, view.answered) = (run, Some(answered));
            }
            return;
        };
        view.answered = Some(Instant::now());
        link.note_shards(run, picture.is_known.then_some(picture.shards.len() as u16));
        if view.readers.take_all(contents) {
            // What is new here is to tell what it stores from now on.
            self.parts.news.wake();
        }
        metrics.show_vehicles(view.readers.vehicles());
        metrics.show(run, &picture);
        outlook.tell(&picture, brokers.is_connected());
        *self.latest.lock() = Some(Arc::new(picture));
    }

    /// Shows no node, and tells why.
    fn show_none(&self, view: &mut View, why: impl FnOnce(&Outlook)) {
        let ShelfParts { metrics, outlook, .. } = &*self.parts;
        view.readers.take_all(Vec::new());
        (view.run, view.answered) = (0, None);
        metrics.show_none();
        why(outlook);
        *self.latest.lock() = None;
    }
}

/// What is shown, and of which node.
struct View {
    readers: Readers,
    /// Run of the node; 0: of none.
    run: u64,
    /// Moment of its last answer.
    answered: Option<Instant>,
}

impl View {
    fn new(parts: &ShelfParts) -> Self {
        Self { readers: Readers::new(parts), run: 0, answered: None }
    }
}

/// Content of a shard, as a look finds it: that of a replica, or of a mirror.
struct Content {
    shard: ShardId,
    reader: Reader,
    is_attached: bool,
    /// It is a replica's, and no mirror's.
    is_replica: bool,
}

/// Returns what the node has of all shards; nothing where there are not as many as the fleet here has room for, as vehicles would be sought
/// in the wrong ones. What is shown and is not attached yet is: those who follow the fleet look at it then, and must find it there. What is not
/// shown is attached no more: followers would take its changes for those of another writer, and look at the fleet anew each time.
fn contents(
    node: &Node<FleetShard>,
    unattached: &[Option<Reader>],
    outlet: &Arc<dyn Outlet>,
) -> Vec<Content> {
    if node.shard_count().map(usize::from) != Some(unattached.len()) {
        return Vec::new();
    }
    let shards = (0..).map(ShardId).zip(unattached);
    let states = shards.filter_map(|(shard, waits)| {
        node.hidden(shard).for_each(FleetShard::detach);
        Some((shard, node.shown(shard)?, waits))
    });
    states
        .map(|(shard, state, waits)| {
            let is_replica = node.state(shard).is_some_and(|own| std::ptr::eq(own, state));
            Content::of(shard, state, waits.as_ref(), outlet, is_replica)
        })
        .collect()
}

impl Content {
    /// Returns what is shown of a shard, and attaches it if it is the one that waits for that.
    fn of(
        shard: ShardId,
        state: &FleetShard,
        waits: Option<&Reader>,
        outlet: &Arc<dyn Outlet>,
        is_replica: bool,
    ) -> Self {
        let reader = state.reader();
        let is_attached = waits.is_some_and(|waits| waits.is_same(&reader));
        if is_attached {
            state.attach(outlet.clone());
        }
        Self { shard, reader, is_attached, is_replica }
    }
}

/// Readers that are in the fleet.
struct Readers {
    fleet: Arc<Fleet>,
    positions: Positions,
    /// By shard.
    shown: Vec<Option<Shown>>,
}

/// A reader in the fleet.
struct Shown {
    reader: Reader,
    /// Its shard tells what it stores.
    is_attached: bool,
    /// It is a replica's, and no mirror's.
    is_replica: bool,
}

impl Readers {
    fn new(parts: &ShelfParts) -> Self {
        let ShelfParts { fleet, positions, .. } = parts;
        // A shelf that crashed may have left some, of which nobody would know.
        (0..fleet.partitions()).for_each(|number| fleet.set(number, None));
        let shown = (0..fleet.partitions()).map(|_| None).collect();
        Self { fleet: fleet.clone(), positions: positions.clone(), shown }
    }

    /// Counts the vehicles of all replicas that are shown. Those of mirrors count where their owners are.
    fn vehicles(&self) -> usize {
        let replicas = self.shown.iter().flatten().filter(|shown| shown.is_replica);
        replicas.map(|shown| shown.reader.len()).sum()
    }

    /// Returns the readers whose shards are to be attached, by shard.
    fn unattached(&self) -> Vec<Option<Reader>> {
        let unattached = |shown: &Option<Shown>| {
            shown.as_ref().filter(|shown| !shown.is_attached).map(|shown| shown.reader.clone())
        };
        self.shown.iter().map(unattached).collect()
    }

    /// Takes none of them for attached: it is done again.
    fn doubt(&mut self) {
        self.shown.iter_mut().flatten().for_each(|shown| shown.is_attached = false);
    }

    /// Puts these in place of those that are shown. Returns true if one of them is new.
    fn take_all(&mut self, contents: Vec<Content>) -> bool {
        let mut now: Vec<Option<Content>> = (0..self.shown.len()).map(|_| None).collect();
        for content in contents {
            if let Some(place) = now.get_mut(usize::from(content.shard.0)) {
                *place = Some(content);
            }
        }
        let mut is_any_new = false;
        for (number, now) in now.into_iter().enumerate() {
            is_any_new |= self.take(number, now);
        }
        is_any_new
    }

    fn take(&mut self, number: usize, now: Option<Content>) -> bool {
        let shown = &mut self.shown[number];
        match (shown.as_mut(), now) {
            (Some(shown), Some(now)) if shown.reader.is_same(&now.reader) => {
                shown.is_attached |= now.is_attached;
                false
            }
            (None, None) => false,
            (Some(_), None) => {
                *shown = None;
                self.fleet.set(number, None);
                if self.positions.is_followed() {
                    // No shard begins there: those who follow take it for another writer, and look at the fleet.
                    let begun = OrderNumber::default();
                    self.positions.publish(&Arc::new(Changes::untold(number as u32, begun, begun)));
                }
                false
            }
            (_, Some(Content { reader, is_replica, .. })) => {
                self.fleet.set(number, Some(reader.clone()));
                *shown = Some(Shown { reader, is_attached: false, is_replica });
                true
            }
        }
    }
}

/// Passes on what the replicas of this node store.
struct FleetOutlet {
    /// Tells where a vehicle is.
    fleet: Arc<Fleet>,
    positions: Positions,
    odd: OddFleet,
}

impl Outlet for FleetOutlet {
    fn is_followed(&self) -> bool {
        self.positions.is_followed()
    }

    fn tell(&self, changes: Changes) {
        self.positions.publish(&Arc::new(changes));
    }

    fn odd(&self, key: Key<'_>, receive_time_ms: i64, odd: Oddities) {
        let table = self.odd.of_partition(self.fleet.home(key) as u32);
        table.lock().note(key, receive_time_ms, odd);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::link::tests::{node_of, note};
    use super::*;
    use vagn_cluster::{Command, DiskPart, Event, Moment, NodeId, Settings};
    use vagn_flow::clock::Clock;
    use vagn_flow::metrics::MetricRegistry;
    use vagn_flow::readiness::{Readiness, ReadyReport};
    use vagn_otp::testkit::until;
    use vagn_otp::{Queue, Root, Strategy, Supervisor};
    use vagn_shard::shard_of;
    use vagn_store::{Index, Plan, Sighting, Updates, VehicleIdBuf, Writer};
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
            let parts = ShelfParts {
                fleet: Arc::new(Fleet::placed(shards.into(), shard_of)),
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
        let ShelfParts { fleet, positions, odd, .. } = parts;
        let outlet: Arc<dyn Outlet> = Arc::new(FleetOutlet { fleet, positions, odd });
        state.attach(outlet.clone());
        assert!(contents(&node, &[None], &outlet).is_empty());
        assert_eq!(Arc::strong_count(&outlet), 1);
    }

    #[test]
    fn what_a_look_without_an_answer_did_is_done_again() {
        let Fixture { parts, .. } = Fixture::new(1);
        let mut readers = Readers::new(&parts);
        let reader = Writer::new(Index::new(10)).reader();
        let content = |is_attached| Content {
            shard: ShardId(0),
            reader: reader.clone(),
            is_attached,
            is_replica: true,
        };
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
            updates.push(id.key(), id.key().hash(), sighting());
            let mut writer = Writer::new(Index::new(10));
            writer.write(&updates, &mut Plan::default());
            Content { shard: ShardId(number), reader: writer.reader(), is_attached: false, is_replica }
        };
        assert!(readers.take_all(vec![content(0, true), content(1, false)]));
        assert_eq!((readers.vehicles(), parts.fleet.len()), (1, Ok(2)));
    }

    fn sighting() -> Sighting {
        Sighting {
            position: Position::new(1.0, 2.0).unwrap(),
            event_time_ms: 5,
            receive_time_ms: 6,
            receive_seq: 7,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency: false,
            own_time: true,
            unsure: false,
        }
    }
}
