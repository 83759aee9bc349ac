//! The shelf: looks at the node again and again, and puts its replicas, and its mirrors, where the service reads them. It shows members and shards in
//! metrics, readiness and status.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use vagn_cluster::{Node, NodeId, ShardId};
use vagn_emergency::LiveFleet;
use vagn_live::Positions;
use vagn_otp::{ChildSpec, Failure, TaskContext};
use vagn_shard::{FleetShard, Outlet};
use vagn_store::{Changes, DepartedCounts, Fleet, Key, OrderNumber, Reader};
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
    /// Gets those of replicas alone: who is known is counted where a vehicle's owners are.
    pub known: Arc<LiveFleet>,
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

    /// Returns the name of a node; its number where it was never heard.
    pub fn name_of(&self, node: NodeId) -> String {
        self.latest().map_or_else(|| format!("{:016x}", node.0), |picture| picture.name_of(node))
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
        let ShelfParts { fleet, known, positions, odd, news, .. } = &*self.parts;
        let (fleet, known) = (fleet.clone(), known.clone());
        let outlet: Arc<dyn Outlet> =
            Arc::new(FleetOutlet { fleet, known, positions: positions.clone(), odd: odd.clone() });
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
        let Ok(Ok((mut picture, contents))) = timeout(LOOK_WITHIN, look).await else {
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
        picture.copies = brokers.copies();
        link.note_shards(run, picture.is_known.then_some(picture.shards.len() as u16));
        if view.readers.take_all(contents) {
            // What is new here is to tell what it stores from now on.
            self.parts.news.wake();
        }
        metrics.show_vehicles(view.readers.vehicles());
        metrics.show_departed(run, view.readers.departed_counts());
        metrics.show(run, &picture);
        metrics.show_leaving(outlook.tell(&picture, brokers.is_connected()));
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
    known: Arc<LiveFleet>,
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
        let ShelfParts { fleet, known, positions, .. } = parts;
        // A shelf that crashed may have left some, of which nobody would know.
        (0..fleet.partitions()).for_each(|number| {
            fleet.set(number, None);
            known.set(number, None);
        });
        let shown = (0..fleet.partitions()).map(|_| None).collect();
        Self { fleet: fleet.clone(), known: known.clone(), positions: positions.clone(), shown }
    }

    /// Counts the vehicles of all replicas that are shown. Those of mirrors count where their owners are.
    fn vehicles(&self) -> usize {
        let replicas = self.shown.iter().flatten().filter(|shown| shown.is_replica);
        replicas.map(|shown| shown.reader.len()).sum()
    }

    /// Counts the counts of vehicles that left, of all replicas that are shown.
    fn departed_counts(&self) -> DepartedCounts {
        let replicas = self.shown.iter().flatten().filter(|shown| shown.is_replica);
        replicas.map(|shown| shown.reader.departed_counts()).fold(DepartedCounts::default(), |all, one| {
            DepartedCounts { kept: all.kept + one.kept, lost: all.lost + one.lost }
        })
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
                self.known.set(number, None);
                if self.positions.is_followed() {
                    // No shard begins there: those who follow take it for another writer, and look at the fleet.
                    let begun = OrderNumber::default();
                    self.positions.publish(&Arc::new(Changes::untold(number as u32, begun, begun)));
                }
                false
            }
            (_, Some(Content { reader, is_replica, .. })) => {
                self.fleet.set(number, Some(reader.clone()));
                self.known.set(number, Some(reader.clone()).filter(|_| is_replica));
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
    known: Arc<LiveFleet>,
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

    fn known(&self, partition: u32, keys: &[Key<'_>]) -> Vec<Option<bool>> {
        self.known.counted(partition as usize, keys)
    }
}

#[cfg(test)]
mod tests;
