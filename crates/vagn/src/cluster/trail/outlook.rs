//! What a look at calls for help means for readiness. A node without a leader calls by itself, so nothing here stands in the way of alarms.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_cluster::trail::Agreement;
use vagn_cluster::{NodeId, Stop};
use vagn_flow::readiness::Readiness;

use super::picture::{TrailPicture, stop_reason};

/// Begins the names of warnings.
const PREFIX: &str = "calls for help, ";

/// Silence after which it is told that nobody leads: an election of the brokers takes up to 9 s.
const WARNED_AFTER: Duration = Duration::from_secs(10);

/// Warns of what a person should look at.
pub struct TrailOutlook {
    readiness: Arc<Readiness>,
    name_of: Box<dyn Fn(NodeId) -> String + Send + Sync>,
    /// Names of the warnings that are given.
    given: Mutex<BTreeSet<String>>,
}

impl TrailOutlook {
    /// Warns of nothing as yet. It is told how people call nodes.
    pub fn new(
        readiness: Arc<Readiness>,
        name_of: impl Fn(NodeId) -> String + Send + Sync + 'static,
    ) -> Self {
        Self { readiness, name_of: Box::new(name_of), given: Mutex::default() }
    }

    /// Tells what a look means.
    pub(super) fn tell(&self, picture: &TrailPicture) {
        let mut given = self.given.lock();
        let warnings = warnings(picture, &self.name_of);
        let now: BTreeSet<String> = warnings.iter().map(|(name, _)| format!("{PREFIX}{name}")).collect();
        given.difference(&now).for_each(|name| self.readiness.clear(name));
        for (name, what) in warnings {
            self.readiness.warn(format!("{PREFIX}{name}"), what);
        }
        *given = now;
    }
}

fn warnings(picture: &TrailPicture, name_of: impl Fn(NodeId) -> String) -> Vec<(&'static str, String)> {
    let mut warnings = Vec::new();
    let mut warn = |name, what: String| warnings.push((name, what));
    let stopped = picture.view.and_then(|view| view.stopped);
    if let Some(stop) = stopped {
        let what = format!(
            "this node follows the trail no more: {}; it goes on calling about what its incidents owe{}",
            stop_reason(stop),
            remedy(stop)
        );
        warn("trail", what);
    } else if picture.silence >= WARNED_AFTER {
        let what = format!(
            "no leader was heard for {} s: calls are made by the node that takes them, and senders do not hear `stored`; what persons do about incidents is \
             refused",
            picture.silence.as_secs()
        );
        warn("leader", what);
    }
    if let Some(view) = picture.view.filter(|view| view.differs) {
        // One that never leads calls too, while no leader answers.
        let (so, or) = match picture.may_lead {
            true => ("so this one does not", unless(view.agreement)),
            false => ("so it would call others when none answers", String::new()),
        };
        let what = format!(
            "targets, their secrets, bounds or times differ from those of the node that leads, or led last, {so}; make [emergency] and \
             max_open_incidents equal on all nodes{or}"
        );
        warn("settings", what);
    }
    if picture.desk.without_room > 0 {
        let what = format!(
            "the leader has no room for {} alarms that this node's door has called about, and they are shown here alone; resolve incidents that are over, with \
             `vagn resolve --standing stranger` those of a flood, and again until none waits",
            picture.desk.without_room
        );
        warn("room", what);
    }
    if picture.desk.late > 0 && picture.silence < WARNED_AFTER {
        let what = format!(
            "{} alarms of this node's doors have waited for more than 10 s for their record, though a leader is heard; they are called about",
            picture.desk.late
        );
        warn("record", what);
    }
    if let Some((node, ahead_ms)) = picture.view.and_then(|view| view.clocks.wrong) {
        let (apart_s, way) =
            (ahead_ms.unsigned_abs() / 1_000, if ahead_ms < 0 { "behind" } else { "ahead of" });
        let what = format!(
            "the clock of node {} is {apart_s} s {way} those of most nodes, so it leads only where no other one can; set it, and let a time service \
             keep it right",
            name_of(node)
        );
        warn("clock", what);
    }
    if let Some(why) = &picture.desk.store_fault {
        warn("incidents", format!("they are not stored here: {why}"));
    }
    if let Some(why) = &picture.desk.kept_fault {
        warn("alarms", format!("those of this node's doors are not kept on its disk: {why}"));
    }
    warnings
}

/// When a node leads with settings that differ from those of the leader before.
fn unless(agreement: Agreement) -> String {
    let Agreement { alike, others, known } = agreement;
    let known = known.map_or_else(|| "some".to_owned(), |known| known.to_string());
    format!(
        "; it leads once most nodes have its settings ({alike} of {known} that are known do) and none that is heard has others ({others} do), or with \
         `vagn cluster lead`"
    )
}

/// What helps where the reason itself does not say it.
fn remedy(stop: Stop) -> &'static str {
    match stop {
        Stop::OtherDataSet | Stop::EntryDamaged | Stop::Disk(_) => "",
        _ => "; while all nodes run, `vagn cluster repair --trail` begins the trail anew",
    }
}
