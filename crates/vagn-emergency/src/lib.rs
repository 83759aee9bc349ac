//! The emergency lane: an alarm of a vehicle, from the batch it came in to the target that accepts it.
//!
//! ```text
//! topic ─▶ filter ─▶ inbox ─▶ desk ◀──▶ incidents ─▶ store         (alarms are recorded first, on disk)
//!                              ▲ ▲                     │
//!                              │ └──── incident-reader ┴▶ API       (reads beside it, and holds nothing up)
//!                              └─────▶ notifier ────────▶ target    (then notices go out, until one is accepted)
//! ```
//! The publisher of a batch runs the filter and leaves the alarms that it finds in the inbox (`intake`). The actor
//! `incidents` opens an incident at the `desk` for each alarm, or merges it into one, writes it to the
//! [`store`](record::store), and then lets the senders know. The `notifier` sends notices to the
//! [targets](notify::target) about every incident on disk, or, when the disk takes longer than 100 ms or is broken, not
//! on disk. Inbox, desk and store belong to neither of the two, so a crash or a hang of either loses nothing, restarts
//! only itself, cuts off no notice, and holds the other up for 100 ms at most. They share all this in the `lane`.
//! Queries are answered by the `reader`, which searches desk and store.
//!
//! A notice that is owed is never forgotten: it is tried until it is accepted or a person resolves the incident, over
//! restarts too; and while no person acknowledges it, the turn passes from target to target (`rules`). People make
//! requests through the [`EmergencyHandle`] and follow the [`feed`](show::feed); what happened stays in the [`trail`].
//!
//! This is one machine. On a node of a cluster one desk decides for all nodes, and the `office` stands in the place of `incidents`: the head of `office/mod.rs` has
//! its picture.

mod census;
mod desk;
mod disk;
pub mod fix;
mod frequent;
mod handle;
pub mod id;
mod incidents;
mod intake;
mod lane;
mod metrics;
mod node;
mod notifier;
pub mod notify;
mod office;
mod raise;
mod reader;
pub mod record;
mod rules;
mod search;
mod selection;
pub mod show;
pub mod simulated;
#[cfg(test)]
mod tests;
pub mod trail;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;
use tracing::warn;
use vagn_flow::batch::Traffic;
use vagn_flow::clock::Clock;
use vagn_flow::readiness::Readiness;
use vagn_flow::trust::Trust;
use vagn_otp::{Actor, Addr, ChildSpec, Strategy, Supervisor};
use vagn_store::PartList;

pub use crate::census::{CENSUS_DIR, CensusParts, LiveFleet, census_child, census_files};
pub use crate::desk::{Request, RequestKind};
pub use crate::handle::EmergencyHandle;
use crate::handle::Work;
pub use crate::id::IncidentId;
use crate::incidents::Incidents;
pub use crate::incidents::RequestOutcome;
pub use crate::intake::known::{KnownVehicle, KnownVehicles};
pub use crate::lane::Seeds;
use crate::lane::{Attend, Lane, LaneParts};
pub use crate::metrics::EmergencyMetrics;
use crate::node::{Bounds, NodeWork, settings_hash};
pub use crate::node::{DeedError, NodeLane, NodeStatus};
use crate::notifier::{NoticeSender, NoticeSource, Notifier};
pub use crate::notify::target::{Target, Targets};
pub use crate::office::asked::{ASKED_AT_ONCE, Owners};
use crate::office::calls::DoorCalls;
pub use crate::office::copier::{CopyOffice, IncidentCopy, NoDesk};
use crate::office::door_actor::DoorActor;
use crate::office::door_source::DoorSource;
use crate::office::files::IncidentFiles;
use crate::office::kept_alarms::KeptAlarms;
pub use crate::office::lane_office::LaneOffice;
use crate::office::room::{Room, RoomParts};
pub use crate::office::trail_desk::TrailDesk;
pub use crate::raise::{Raise, Raised};
use crate::reader::Reader;
pub use crate::record::progress::State;
use crate::record::shelf::Shelf;
use crate::record::store::{
    ALARMS_PER_INCIDENT, FILE, Opening, Recall, Store, StoreError, has_nothing, live_in_journal,
};
use crate::rules::Rules;
pub use crate::selection::{ResolvedMany, Selection};
pub use crate::show::view::{Detail, Filter, IncidentView, Page, TrailPage};

/// Directory of the incidents and alarms of a node of a cluster, in its data directory. Those of a single machine lie beside it.
pub const DESK_DIR: &str = "desk";

/// Disk space set aside for incidents, in bytes: some 20 000 of them.
const RESERVED: u64 = 64 << 20;

/// Incidents that are kept after they have ended.
const ENDED_KEPT: u64 = 200_000;

/// Messages that may wait for the incidents actor, and for the reader.
const MAILBOX: usize = 256;

/// Parts of the lane.
pub struct Parts {
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// Directory in which a single machine may have left a store, which a node takes over; `None` for none.
    pub before: Option<PathBuf>,
    /// List in which the store is noted once it is made, so that one that is gone is not made anew without a word. `None`
    /// makes a new one wherever there is none.
    pub part_list: Option<PartList>,
    /// Targets of notices. Without any, incidents are recorded and listed, and sent once there is a target.
    pub targets: Targets,
    /// Most incidents that may be open at a time.
    pub open_max: usize,
    /// Most open incidents of vehicles that have not been known for long, from one source.
    pub per_source_max: usize,
    /// Time after which a vehicle that reports is known. It is for [`Self::vehicles`]; nodes of a cluster compare it.
    pub known_after: Duration,
    /// Quiet time after which an acknowledged incident is resolved.
    pub resolve_after: Duration,
    /// Source of what is known of vehicles apart from their alarms.
    pub vehicles: Arc<dyn KnownVehicles>,
    /// Seeds for what is random.
    pub seeds: Seeds,
    /// Clock of the lane.
    pub clock: Arc<dyn Clock>,
    /// Says whether its wall side may be wrong.
    pub trust: Arc<Trust>,
    /// Metrics of the lane.
    pub metrics: Arc<EmergencyMetrics>,
    /// Receives warnings for the operator.
    pub readiness: Arc<Readiness>,
    /// Counts sealed calls without a position that come again.
    pub replays: Counter,
    /// Time on one message after which an actor counts as hung.
    pub hang_limit: Duration,
    /// Runtime of the lane; `None` for that of the service.
    pub runtime: Option<Handle>,
}

/// Subscribes the lane to `traffic`. Returns its handle and the supervisor of its actors.
pub fn start(traffic: &Traffic, parts: Parts) -> (EmergencyHandle, ChildSpec) {
    let mut rules = Rules::new(parts.open_max, &parts.targets);
    rules.resolve_after = parts.resolve_after;
    rules.per_source_max = parts.per_source_max;
    let (data_dir, clock) = (parts.data_dir.clone(), parts.clock.clone());
    let part_list = parts.part_list.clone();
    let shelf = Shelf::new(Box::new(move |recall| {
        let now_ms = clock.now_ms();
        let opening = Opening { reserved: RESERVED, ended_kept: ENDED_KEPT, recall, now_ms };
        open_listed(&data_dir, part_list.as_ref(), || Store::open_as(&data_dir, opening))
    }));
    let data_dir = parts.data_dir.clone();
    let shelf = shelf.with_salvage(Box::new(move || live_in_journal(&data_dir)));
    let (handle, spec) = build(parts, rules, shelf);
    // The subscription lasts as long as the topic.
    drop(traffic.subscribe("emergency", handle.subscriber()));
    (handle, spec)
}

/// Like [`start`], for a node of a cluster: what calls for help become is decided by the one desk of the service, which is the trail's. The
/// directory is one of its own, apart from that of a lane of one machine. What [`NodeLane::open`] returns is for the driver of the trail; without
/// one the node's door calls by itself. `owners` are asked about vehicles that cannot be looked up here.
pub fn start_node(
    traffic: &Traffic,
    parts: Parts,
    owners: Arc<dyn Owners>,
) -> (EmergencyHandle, NodeLane, ChildSpec) {
    let mut rules = Rules::new(parts.open_max, &parts.targets);
    rules.resolve_after = parts.resolve_after;
    rules.per_source_max = parts.per_source_max;
    let (handle, node, spec) = build_node(parts, rules, ENDED_KEPT);
    node.room.ask(owners);
    // The subscription lasts as long as the topic.
    drop(traffic.subscribe("emergency", handle.subscriber()));
    (handle, node, spec)
}

/// Begins a copy of all incidents of a cluster in `dir`, which is there and has none. Nothing is set aside for more than it has.
///
/// # Errors
/// The store cannot be made.
pub fn copy_incidents(dir: &Path, now_ms: i64) -> Result<IncidentCopy, StoreError> {
    let opening = Opening { reserved: 0, ended_kept: ENDED_KEPT, recall: Recall::All, now_ms };
    IncidentCopy::begin(dir, opening)
}

fn build_node(parts: Parts, rules: Rules, ended_kept: u64) -> (EmergencyHandle, NodeLane, ChildSpec) {
    let rules = Rules { asks_owners: true, ..rules };
    if parts.targets.chain.is_empty() {
        warn_of_no_target(&parts.readiness);
    }
    let bounds = Bounds {
        open_max: parts.open_max,
        per_source_max: parts.per_source_max,
        known_after: parts.known_after,
        resolve_after: parts.resolve_after,
        ended_kept,
    };
    let settings_hash = settings_hash(&parts.targets, &bounds);
    let shelf = node_shelf(&parts, ended_kept);
    let Parts {
        data_dir, before, targets, vehicles, seeds, clock, trust, metrics, readiness, replays, ..
    } = parts;
    let (hang_limit, runtime) = (parts.hang_limit, parts.runtime);
    let lane = LaneParts { rules, shelf, vehicles, seeds, clock, trust, metrics, readiness, replays };
    let room = new_room(lane, ended_kept);
    let lane = room.lane.clone();
    let (for_door, for_files, for_kept, for_reader) =
        (room.clone(), room.clone(), room.clone(), lane.clone());
    let (door, door_spec) = ChildSpec::actor("door", MAILBOX, move || DoorActor::new(for_door.clone()));
    let folder = data_dir.clone();
    let (files, files_spec) = ChildSpec::actor("incident-files", MAILBOX, move || {
        IncidentFiles::new(for_files.clone(), folder.clone(), before.clone())
    });
    let (kept, kept_spec) =
        ChildSpec::actor("kept-alarms", MAILBOX, move || KeptAlarms::new(for_kept.clone(), data_dir.clone()));
    let (reader, reader_spec) =
        ChildSpec::actor("incident-reader", MAILBOX, move || Reader::new(for_reader.clone()));
    let for_asker = room.clone();
    let asker = ChildSpec::task("asker", move |ctx| office::asked::run(for_asker.clone(), ctx));
    room.files.connect(files.clone());
    room.kept.connect(kept);
    connect(&lane, &door);
    let has_target = targets.all().next().is_some();
    let source = Arc::new(DoorSource(room.clone()));
    let notifier = has_target
        .then(|| notifier_spec(Notifier::new(source, &targets, lane.clock.clone(), &lane.metrics.slots)));
    // They end in reverse order: the notifier and the door have kept what waits before its writer ends.
    let actors = [kept_spec, files_spec, door_spec, reader_spec];
    let actors = actors.map(|spec| on(&runtime, spec.on_thread().watchdog(hang_limit)));
    let supervisor = Supervisor::new("emergency", Strategy::OneForOne)
        .intensity(20, Duration::from_secs(10))
        .children(actors)
        .children([asker].into_iter().chain(notifier).map(|spec| on(&runtime, spec.watchdog(hang_limit))));
    let sender = Arc::new(NoticeSender::new(&targets, lane.clock.clone(), &lane.metrics.slots));
    let node = NodeLane { room: room.clone(), sender, settings_hash, jitter: seeds.jitter };
    let work = Work::Node(NodeWork { room, door, files });
    (EmergencyHandle { lane, work, reader }, node, ChildSpec::supervisor(supervisor))
}

/// Makes what the actors of a node share.
fn new_room(parts: LaneParts, ended_kept: u64) -> Arc<Room> {
    let (seeds, metrics) = (parts.seeds, parts.metrics.clone());
    let lane = Arc::new(Lane::new(parts));
    lane.gauges.recalling();
    let known = Arc::default();
    let calls = DoorCalls::new(lane.clone(), Arc::clone(&known), metrics.clone(), seeds.jitter);
    let run = fastrand::Rng::with_seed(seeds.ids).u64(..);
    let alarms_max = ended_kept.saturating_mul(ALARMS_PER_INCIDENT) as usize;
    Arc::new(Room::new(RoomParts { lane, metrics, calls: Arc::new(calls), known, alarms_max, run }))
}

fn node_shelf(parts: &Parts, ended_kept: u64) -> Shelf {
    let (data_dir, part_list) = (parts.data_dir.clone(), parts.part_list.clone());
    let now_ms = parts.clock.now_ms();
    let opening = Opening { reserved: RESERVED, ended_kept, recall: Recall::All, now_ms };
    Shelf::new(Box::new(move |_| {
        open_listed(&data_dir, part_list.as_ref(), || Store::open_shared(&data_dir, opening))
    }))
}

/// Opens the store of incidents, if nothing speaks against it, and names it in the list of parts.
fn open_listed(
    data_dir: &Path,
    part_list: Option<&PartList>,
    open: impl FnOnce() -> Result<Store, StoreError>,
) -> Result<Store, StoreError> {
    // Where anything is left of store or journal, the opening says more about it. Else only the list knows.
    if let Some(Err(err)) = part_list.filter(|_| has_nothing(data_dir)).map(|list| list.check(FILE)) {
        return Err(StoreError::File { path: data_dir.join(FILE), why: err.to_string() });
    }
    let store = open()?;
    // Before an alarm is in it. A disk that has no room for the note still has the room set aside for alarms.
    if let Some(Err(err)) = part_list.map(|list| list.add(FILE)) {
        warn!(error = %err, "the manifest does not yet name the incident store");
    }
    Ok(store)
}

fn build(parts: Parts, rules: Rules, shelf: Shelf) -> (EmergencyHandle, ChildSpec) {
    let Parts {
        targets,
        vehicles,
        seeds,
        clock,
        trust,
        metrics,
        readiness,
        replays,
        hang_limit,
        runtime,
        ..
    } = parts;
    if targets.chain.is_empty() {
        warn_of_no_target(&readiness);
    }
    let lane = Arc::new(Lane::new(LaneParts {
        rules,
        shelf,
        vehicles,
        seeds,
        clock,
        trust,
        metrics,
        readiness,
        replays,
    }));
    lane.gauges.recalling();
    let for_incidents = lane.clone();
    let (incidents, incidents_spec) =
        ChildSpec::actor("incidents", MAILBOX, move || Incidents::new(for_incidents.clone()));
    let for_reader = lane.clone();
    let (reader, reader_spec) =
        ChildSpec::actor("incident-reader", MAILBOX, move || Reader::new(for_reader.clone()));
    let has_target = targets.all().next().is_some();
    let notifier_spec = has_target.then(|| {
        notifier_spec(Notifier::new(lane.clone(), &targets, lane.clock.clone(), &lane.metrics.slots))
    });
    let supervisor = Supervisor::new("emergency", Strategy::OneForOne)
        .intensity(20, Duration::from_secs(10))
        .child(on(&runtime, incidents_spec.on_thread().watchdog(hang_limit)))
        .child(on(&runtime, reader_spec.on_thread().watchdog(hang_limit)))
        .children(notifier_spec.map(|spec| on(&runtime, spec.watchdog(hang_limit))));
    connect(&lane, &incidents);
    (EmergencyHandle { lane, work: Work::Alone(incidents), reader }, ChildSpec::supervisor(supervisor))
}

fn warn_of_no_target(readiness: &Readiness) {
    warn!("no --emergency-url: incidents are recorded and listed, but nobody is notified");
    readiness
        .warn("emergency target", "none is set: incidents are recorded and listed, but nobody is notified");
}

/// Lets the inbox ring, and the signals tell the actor.
fn connect<A: Actor + vagn_otp::Handle<Attend, Reply = ()>>(lane: &Arc<Lane>, actor: &Addr<A>) {
    lane.signals.connect(|| actor.recipient());
    // The lane owns the inbox; a bell that owned the lane would keep both for ever.
    let weak = Arc::downgrade(lane);
    lane.inbox.attach(Box::new(move || {
        if let Some(lane) = weak.upgrade() {
            lane.signals.ring();
        }
    }));
}

fn notifier_spec<S: NoticeSource>(notifier: Notifier<S>) -> ChildSpec {
    let notifier = Arc::new(notifier);
    ChildSpec::task("notifier", move |ctx| notifier::run(notifier.clone(), ctx))
}

fn on(runtime: &Option<Handle>, spec: ChildSpec) -> ChildSpec {
    match runtime {
        Some(runtime) => spec.runtime(runtime.clone()),
        None => spec,
    }
}
