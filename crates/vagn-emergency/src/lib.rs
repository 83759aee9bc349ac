//! The emergency lane: a vehicle's call for help, from the batch it came in to the target that accepts it.
//!
//! ```text
//! topic ─▶ inbox ─▶ desk ◀──▶ incidents ─▶ store        (recorded first, on disk)
//!          (filter,   ▲ ▲                    │
//!          collapse)  │ └────── incident-reader ─▶ web  (read beside it, holding nothing up)
//!                     └─────▶ callers ───▶ target       (then called, until it accepts)
//! ```
//! The publisher of a batch runs the filter and leaves what it finds in the [`inbox`]. The actor [`incidents`] opens or
//! updates an incident for each call at the [`desk`], writes it to the [`store`] and then lets the senders know. The
//! [`callers`] call the [`target`] about every incident on disk — or, when the disk takes longer than 100 ms or is broken,
//! not on disk. Inbox, desk and store belong to neither of the two, so a crash or a hang of either loses nothing, restarts
//! only itself, cuts off no call of the other's and holds the other up for 100 ms at most. Those who ask what there is are
//! answered by the [`reader`].
//!
//! What is owed a call is never forgotten: it is tried until it is accepted or a person resolves it, over restarts too; and
//! while no person acknowledges it, the turn passes from target to target. People act through the [`handle`](EmergencyHandle)
//! and follow the [`feed`]; what happened stays in the [`trail`].

pub mod desk;
mod disk;
pub mod fix;
mod handle;
pub mod id;
pub mod incidents;
pub mod intake;
pub mod lane;
mod metrics;
pub mod notifier;
pub mod notify;
pub mod reader;
pub mod record;
pub mod rules;
mod search;
pub mod show;
#[cfg(test)]
mod tests;
pub mod trail;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::warn;
use vagn_otp::{Addr, ChildSpec, Strategy, Supervisor};

use crate::desk::Desk;
pub use crate::desk::{Request, RequestKind};
pub use crate::handle::{EmergencyHandle, RequestOutcome, Status};
pub use crate::id::IncidentId;
use crate::incidents::Incidents;
use crate::intake::inbox::Inbox;
pub use crate::intake::known::{KnownVehicles, LiveFleet};
use crate::lane::Lane;
pub use crate::metrics::EmergencyMetrics;
use crate::notifier::Notifier;
pub use crate::notify::target::{Target, Targets};
use crate::reader::Reader;
pub use crate::record::progress::State;
use crate::record::shelf::Shelf;
use crate::record::store::Store;
use crate::rules::Rules;
pub use crate::show::view::{Detail, Filter, IncidentView, Page, TrailPage};
use vagn_flow::batch::Traffic;
use vagn_flow::clock::Clock;
use vagn_flow::readiness::Readiness;

/// Disk space set aside for incidents, in bytes: some 20 000 of them.
const RESERVED: u64 = 64 << 20;

/// Incidents that are kept after they have ended.
const ENDED_KEPT: u64 = 200_000;

/// Requests that may wait for the incidents actor, and for the reader.
const MAILBOX: usize = 256;

/// What the lane needs.
pub struct Parts {
    /// Where the store is.
    pub data_dir: PathBuf,
    /// Whom to call; nobody: incidents are recorded and listed, and called once there is a target.
    pub targets: Targets,
    /// Most incidents that may be open at a time.
    pub open_max: usize,
    /// When one that a person has acknowledged and then forgotten is resolved, once it is quiet.
    pub resolve_after: Duration,
    /// Source of what is known of vehicles apart from their alarms.
    pub vehicles: Arc<dyn KnownVehicles>,
    /// Seeds for what is random.
    pub seeds: Seeds,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: Arc<EmergencyMetrics>,
    /// Is told what an operator should know.
    pub readiness: Arc<Readiness>,
    /// An actor that works on one thing for longer is taken for hung.
    pub hang_limit: Duration,
    /// What the lane runs on; `None`: what everything runs on.
    pub runtime: Option<Handle>,
}

/// Seeds for what is random in the lane: the same seeds give the same run.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    /// Seed of the ids of incidents.
    pub ids: u64,
    /// Seed of the jitter between two attempts.
    pub jitter: u64,
}

/// Subscribes the lane to `traffic`, and gives its handle and the supervisor of its actors.
pub fn start(traffic: &Traffic, parts: Parts) -> (EmergencyHandle, ChildSpec) {
    let mut rules = Rules::new(parts.open_max, &parts.targets);
    rules.resolve_after = parts.resolve_after;
    let data_dir = parts.data_dir.clone();
    let shelf = Shelf::new(Box::new(move || Store::open(&data_dir, RESERVED, ENDED_KEPT)));
    let (handle, spec) = build(parts, rules, shelf);
    // The subscription lasts as long as the topic.
    drop(traffic.subscribe("emergency", handle.subscriber()));
    (handle, spec)
}

fn build(parts: Parts, rules: Rules, shelf: Shelf) -> (EmergencyHandle, ChildSpec) {
    let Parts { targets, vehicles, seeds, clock, metrics, readiness, hang_limit, runtime, .. } = parts;
    if targets.chain.is_empty() {
        warn!("no --emergency-url: incidents are recorded and listed, but nobody is called");
        readiness
            .warn("emergency target", "none is set: incidents are recorded and listed, but nobody is called");
    }
    let inbox = Arc::new(Inbox::new(clock.clone(), vehicles.clone(), seeds.ids));
    let desk = Desk::new(rules.clone(), seeds.jitter);
    let lane = Arc::new(Lane::new(desk, rules, shelf, inbox, vehicles, clock, metrics, readiness));
    let at_work = lane.clone();
    let (incidents, spec) = ChildSpec::actor("incidents", MAILBOX, move || Incidents::new(at_work.clone()));
    let supervisor = Supervisor::new("emergency", Strategy::OneForOne)
        .intensity(20, Duration::from_secs(10))
        .child(on(&runtime, spec.on_thread().watchdog(hang_limit)));
    let to_read = lane.clone();
    let (reader, spec) = ChildSpec::actor("incident-reader", MAILBOX, move || Reader::new(to_read.clone()));
    let supervisor = supervisor.child(on(&runtime, spec.on_thread().watchdog(hang_limit)));
    let some = targets.all().next().is_some();
    let notifier = some.then(|| Notifier::new(lane.clone(), &targets));
    let supervisor =
        supervisor.children(notifier.map(|notifier| on(&runtime, notifying(notifier).watchdog(hang_limit))));
    connect(&lane, &incidents);
    (EmergencyHandle { lane, incidents, reader }, ChildSpec::supervisor(supervisor))
}

/// Lets the inbox ring, and the lane tell the actor.
fn connect(lane: &Arc<Lane>, incidents: &Addr<Incidents>) {
    lane.incidents.get_or_init(|| incidents.recipient());
    // The lane owns the inbox; a bell that owned the lane would keep both for ever.
    let ring = Arc::downgrade(lane);
    lane.inbox.attach(Box::new(move || {
        if let Some(lane) = ring.upgrade() {
            lane.ring();
        }
    }));
}

fn notifying(notifier: Notifier) -> ChildSpec {
    let notifier = Arc::new(notifier);
    ChildSpec::task("notifier", move |ctx| notifier::run(notifier.clone(), ctx))
}

fn on(runtime: &Option<Handle>, spec: ChildSpec) -> ChildSpec {
    match runtime {
        Some(runtime) => spec.runtime(runtime.clone()),
        None => spec,
    }
}
