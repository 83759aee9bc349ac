//! The shelf: looks at the node again and again, and puts its replicas, and its mirrors, where the service reads them. It shows members and shards in
//! metrics, readiness and status.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
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

/// Longest wait for a look. A node that takes longer is shown as it was.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

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
        let ShelfParts { fleet, positions, odd, .. } = &*self.parts;
        let outlet = FleetOutlet { fleet: fleet.clone(), positions: positions.clone(), odd: odd.clone() };
        let outlet: Arc<dyn Outlet> = Arc::new(outlet);
        let mut readers = Readers::new(&self.parts);
        ctx.ready();
        loop {
            ctx.beat().await;
            self.look(&outlet, &mut readers).await;
            tokio::select! {
                () = ctx.stopping() => return Ok(()),
                () = self.parts.news.came() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn look(&self, outlet: &Arc<dyn Outlet>, readers: &mut Readers) {
        let ShelfParts { link, metrics, outlook, courier, onlookers, positions, .. } = &*self.parts;
        metrics.show_under_way(courier.under_way());
        let Ok((handle, run)) = link.now() else {
            readers.take_all(Vec::new());
            metrics.show_none();
            outlook.gone();
            *self.latest.lock() = None;
            return;
        };
        let brokers = handle.brokers();
        metrics.show_brokers(run, brokers);
        if onlookers.are_there() || positions.is_followed() {
            // Refused while the node has too much to do; the next look asks again.
            handle.mirror(MIRRORED_FOR).ok();
        }
        let (outlet, shown) = (outlet.clone(), readers.unattached());
        let look = handle.look(move |node| (Picture::of(node), contents(node, &shown, &outlet)));
        let Ok(Ok((picture, contents))) = timeout(LOOK_WITHIN, look).await else { return };
        if readers.take_all(contents) {
            // What is new here is to tell what it stores from now on.
            self.parts.news.wake();
        }
        metrics.show_vehicles(readers.vehicles());
        metrics.show(run, &picture);
        outlook.tell(&picture, brokers.is_connected());
        *self.latest.lock() = Some(Arc::new(picture));
    }
}

/// Content of a shard, as a look finds it: that of a replica, or of a mirror.
struct Content {
    shard: ShardId,
    reader: Reader,
    is_attached: bool,
}

/// Returns what the node has of all shards. What is shown and is not attached yet is: those who follow the fleet look at it then, and
/// must find it there.
fn contents(
    node: &Node<FleetShard>,
    unattached: &[Option<Reader>],
    outlet: &Arc<dyn Outlet>,
) -> Vec<Content> {
    let shards = (0..unattached.len() as u16).map(ShardId);
    let states = shards.filter_map(|shard| Some((shard, node.shown(shard)?)));
    states
        .map(|(shard, state)| {
            let reader = state.reader();
            let waits = unattached.get(usize::from(shard.0)).and_then(Option::as_ref);
            let is_attached = waits.is_some_and(|waits| waits.is_same(&reader));
            if is_attached {
                state.attach(outlet.clone());
            }
            Content { shard, reader, is_attached }
        })
        .collect()
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
}

impl Readers {
    fn new(parts: &ShelfParts) -> Self {
        let ShelfParts { fleet, positions, .. } = parts;
        let shown = (0..fleet.partitions()).map(|_| None).collect();
        Self { fleet: fleet.clone(), positions: positions.clone(), shown }
    }

    /// Counts the vehicles of all that are shown.
    fn vehicles(&self) -> usize {
        self.shown.iter().flatten().map(|shown| shown.reader.len()).sum()
    }

    /// Returns the readers whose shards are to be attached, by shard.
    fn unattached(&self) -> Vec<Option<Reader>> {
        let unattached = |shown: &Option<Shown>| {
            shown.as_ref().filter(|shown| !shown.is_attached).map(|shown| shown.reader.clone())
        };
        self.shown.iter().map(unattached).collect()
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
            (_, Some(Content { reader, .. })) => {
                self.fleet.set(number, Some(reader.clone()));
                *shown = Some(Shown { reader, is_attached: false });
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
