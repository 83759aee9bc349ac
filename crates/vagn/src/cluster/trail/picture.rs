//! A look at this node's part in calls for help.

use std::time::Duration;

use serde_json::{Value, json};
use vagn_cluster::trail::{Agreement, Duty, TrailView};
use vagn_cluster::{DiskFault, NodeId, Stop};

use super::lane::DeskStatus;

/// Silence after which a leader is not counted on: it renews each second, and another one claims after 3 s.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(5);

/// Calls for help as this node sees them.
#[derive(Debug, Clone)]
pub struct TrailPicture {
    /// The driver's part; `None` while it does not run, or does not answer.
    pub view: Option<TrailView>,
    /// Time since an entry of the trail came here; since the first look, if none has.
    pub silence: Duration,
    /// The lane's part.
    pub desk: DeskStatus,
    /// It may lead.
    pub may_lead: bool,
}

impl TrailPicture {
    /// Returns the node that leads, as far as this node hears it.
    pub fn leader(&self) -> Option<NodeId> {
        self.view.filter(|view| view.stopped.is_none() && self.silence < SILENT_AFTER)?.leader
    }

    /// Returns true if this node leads.
    pub fn leads(&self) -> bool {
        self.view.is_some_and(|view| view.duty == Duty::Full)
    }

    /// Shows it as JSON, with names of nodes.
    pub fn json(&self, name_of: impl Fn(NodeId) -> String) -> Value {
        let view = self.view;
        json!({
            "leader": self.leader().map(&name_of),
            "leads": self.leads(),
            "may_lead": self.may_lead,
            "duty": view.map(|view| duty_name(view.duty)),
            "term": view.map(|view| view.term.0),
            "received": view.map(|view| view.received),
            "running_hash": view.map(|view| format!("{:016x}", view.running_hash)),
            "silent_ms": self.silence.as_millis() as u64,
            "differs": view.is_some_and(|view| view.differs),
            "agreement": view.map(|view| agreement(view.agreement)),
            "clock_ahead_ms": view.map(|view| view.clocks.ahead_ms),
            "clock_wrong": view.and_then(|view| view.clocks.wrong).map(|(node, _)| name_of(node)),
            "stopped": view.and_then(|view| view.stopped).map(stop_reason),
            "saved": view.map(|view| view.saved),
            "copies": view.is_some_and(|view| view.lacks_copy),
            "has_rest": view.is_some_and(|view| view.has_rest),
            "unsaved_groups": view.map(|view| view.unsaved),
            "unrecorded_alarms": view.map(|view| view.unrecorded),
            "waiting_alarms": self.desk.waiting,
            "alarms_without_room": self.desk.without_room,
            "late_alarms": self.desk.late,
            "kept_alarms": self.desk.kept,
            "called_alone": self.desk.calling_alone,
            "store_fault": self.desk.store_fault,
            "kept_fault": self.desk.kept_fault,
        })
    }
}

/// Shows how many nodes have the settings of this one.
fn agreement(Agreement { alike, others, known }: Agreement) -> Value {
    json!({"alike": alike, "others": others, "known": known})
}

pub(super) fn duty_name(duty: Duty) -> &'static str {
    match duty {
        Duty::Standby => "standby",
        Duty::Alone => "alone",
        Duty::FirstOnly => "first_only",
        Duty::Full => "full",
    }
}

/// Says why the trail is followed no more, and what helps.
pub(super) fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::StreamAnew => "its stream at the brokers was made anew",
        Stop::OtherDataSet => {
            "the brokers have another data set than the data directory; name the right brokers or `cluster.set`"
        }
        Stop::StreamBehind => "its stream at the brokers ends before what is here",
        Stop::StreamGone => "its stream at the brokers is gone",
        Stop::NextEntryPurged => "its stream no longer has what is needed next",
        Stop::HashDiffers | Stop::ContentDiffers => "the entries of another node are others",
        Stop::EntryDamaged => "an entry of it cannot be read; run the same version on all nodes",
        Stop::Disk(DiskFault::Full) => "too little free space on the disk; free some",
        Stop::Disk(DiskFault::Broken) => {
            "the disk failed; what it has is unknown until a restart of the service"
        }
        Stop::LogUnread | Stop::DiskDamaged => "what is on disk of it cannot be read",
    }
}
