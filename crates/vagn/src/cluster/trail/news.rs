//! What the trail's driver tells: each thing once, for the log and the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tracing::{debug, error, info, warn};
use vagn_cluster::trail::{AlarmId, Duty, TrailHappened, Why};

use super::lane::AlarmSubject;
use super::metrics::TrailMetrics;
use super::picture::stop_reason;

/// Words of all events, for metrics.
pub(super) const EVENTS: [&str; 39] = [
    "led",
    "deposed",
    "duty_full",
    "duty_first_only",
    "duty_standby",
    "duty_alone",
    "differs",
    "agreed",
    "stopped",
    "silent_consumer",
    "own_refused",
    "full",
    "store_fault",
    "not_kept",
    "no_place",
    "too_large",
    "void",
    "called_alone",
    "called_alone_no_room",
    "called_alone_kept",
    "called_alone_too_long",
    "called_unrecorded",
    "no_room",
    "refused",
    "without_room",
    "joined",
    "reopened",
    "handed_over",
    "deed_unavailable",
    "purged",
    "purged_for_room",
    "copy_begun",
    "copy_lost",
    "copy_taken",
    "copy_given",
    "epoch_begun",
    "epoch_over",
    "rest_recorded",
    "rest_refused",
];

/// Takes what the driver tells, and wakes who looks at it. Clones share it.
#[derive(Clone)]
pub struct TrailNews {
    metrics: Arc<TrailMetrics>,
    came: Arc<Notify>,
    is_stopping: Arc<AtomicBool>,
}

/// How much it is worth.
enum Weight {
    Page,
    Warning,
    Notice,
    Detail,
}

impl TrailNews {
    /// Counts in these metrics.
    pub fn new(metrics: Arc<TrailMetrics>) -> Self {
        Self { metrics, came: Arc::default(), is_stopping: Arc::default() }
    }

    /// The node stops: what belongs to that is no warning from now on.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Waits until something has happened since the last wait.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Takes what happened. It waits for nothing.
    pub(super) fn take(&self, happened: TrailHappened, subject: impl FnOnce(AlarmId) -> AlarmSubject) {
        let (event, mut weight, mut what) = words(happened);
        if happened == TrailHappened::Duty(Duty::FirstOnly) && self.is_stopping.load(Ordering::Relaxed) {
            (weight, what) = (Weight::Notice, "this node stops, and hands calls for help over");
        }
        let why = match happened {
            TrailHappened::Stopped(stop) => Some(stop_reason(stop)),
            _ => None,
        };
        self.metrics.happened(event);
        let AlarmSubject { incident_id, vehicle_id } = alarm_of(happened).map(subject).unwrap_or_default();
        match weight {
            Weight::Page => error!(why, incident_id, vehicle_id, "{what}"),
            Weight::Warning => warn!(why, incident_id, vehicle_id, "{what}"),
            Weight::Notice => info!(incident_id, vehicle_id, "{what}"),
            Weight::Detail => return debug!(incident_id, vehicle_id, "{what}"),
        }
        self.came.notify_one();
    }
}

/// Returns the alarm that it is about, if it is about one.
fn alarm_of(happened: TrailHappened) -> Option<AlarmId> {
    use TrailHappened as H;
    match happened {
        H::NotKept(alarm)
        | H::NoPlace(alarm)
        | H::CalledAlone(alarm, _)
        | H::CalledUnrecorded(alarm)
        | H::NoRoom(alarm)
        | H::Refused(alarm)
        | H::WithoutRoom(alarm)
        | H::Joined(alarm)
        | H::Reopened(alarm)
        | H::HandedOver(alarm) => Some(alarm),
        H::Led
        | H::Deposed
        | H::Duty(_)
        | H::Differs
        | H::Agreed
        | H::Stopped(_)
        | H::SilentConsumer
        | H::OwnRefused
        | H::Full
        | H::StoreFault
        | H::TooLarge
        | H::Void
        | H::DeedUnavailable
        | H::Purged
        | H::PurgedForRoom
        | H::CopyBegun
        | H::CopyLost
        | H::CopyTaken
        | H::CopyGiven
        | H::EpochBegun
        | H::EpochOver
        | H::RestRecorded
        | H::RestRefused => None,
    }
}

fn words(happened: TrailHappened) -> (&'static str, Weight, &'static str) {
    use TrailHappened as H;
    use Weight::{Detail, Notice, Page, Warning};
    match happened {
        H::Led => ("led", Notice, "this node leads calls for help"),
        H::Deposed => ("deposed", Notice, "this node leads calls for help no more"),
        H::Duty(Duty::Full) => ("duty_full", Notice, "this node does all that calls for help need"),
        H::Duty(Duty::FirstOnly) => (
            "duty_first_only",
            Warning,
            "this node has led, and makes first attempts only: the trail does not take what it writes",
        ),
        H::Duty(Duty::Standby) => ("duty_standby", Notice, "this node waits beside another that leads"),
        H::Duty(Duty::Alone) => (
            "duty_alone",
            Warning,
            "this node makes the calls that its incidents owe, as no node leads in order",
        ),
        H::Differs => (
            "differs",
            Warning,
            "nobody leads calls for help, and this node does not as yet, as its settings differ from those of the last that did; it does once most nodes have its \
             settings and none that is heard has others, or with `vagn cluster lead`",
        ),
        H::Agreed => (
            "agreed",
            Notice,
            "most nodes have the settings of this one, and none that is heard has those of the leader before: it claims with them",
        ),
        H::Stopped(_) => ("stopped", Page, "this node follows the trail of calls for help no more"),
        H::SilentConsumer => (
            "silent_consumer",
            Detail,
            "the brokers were silent although the trail had more; they are asked again",
        ),
        H::OwnRefused => {
            ("own_refused", Detail, "the brokers refused an entry of the trail that they have; it counts")
        }
        H::Full => ("full", Page, "the trail's stream at the brokers is full: no call for help is recorded"),
        H::StoreFault => ("store_fault", Warning, "incidents are not stored here; it is tried again"),
        H::NotKept(_) => {
            ("not_kept", Warning, "an alarm is not kept on the disk of its door; it is tried again")
        }
        H::NoPlace(_) => (
            "no_place",
            Page,
            "an alarm has no place in memory or on the disk of its door; it is called about, and its sender must repeat it",
        ),
        H::TooLarge => (
            "too_large",
            Page,
            "this node drafted more than one entry of the trail may have, and leads no more",
        ),
        H::Void => ("void", Detail, "an entry of a leader that was none any more counts for nothing"),
        H::CalledAlone(_, Why::Unanswered) => {
            ("called_alone", Warning, "a door calls by itself, as no leader answered in time")
        }
        H::CalledAlone(_, Why::NoRoom) => {
            ("called_alone_no_room", Warning, "a door calls by itself, as too many of its alarms wait")
        }
        H::CalledAlone(_, Why::Kept) => {
            ("called_alone_kept", Warning, "a door calls about an alarm that the last run kept")
        }
        H::CalledAlone(_, Why::TooLong) => {
            ("called_alone_too_long", Warning, "a door calls about an alarm that is too long for the trail")
        }
        H::CalledUnrecorded(_) => {
            ("called_unrecorded", Warning, "a call for help goes out before it could be recorded")
        }
        H::NoRoom(_) => ("no_room", Warning, "too many alarms wait for their record"),
        // The door counts them by their reasons, and logs how many: a flood must not become one of lines.
        H::Refused(_) => ("refused", Detail, "the leader refused an alarm, as too many incidents are open"),
        H::WithoutRoom(_) => (
            "without_room",
            Detail,
            "the leader has no room for an alarm that was called about, as too many incidents are open",
        ),
        H::Joined(_) => (
            "joined",
            Notice,
            "a vehicle had two incidents about one emergency, of two doors or out of another store; they are joined",
        ),
        H::Reopened(_) => ("reopened", Notice, "a vehicle calls again after its incident was over"),
        H::HandedOver(_) => {
            ("handed_over", Notice, "an alarm about which a door had called by itself is in the trail")
        }
        // Who asked for it says about which incident.
        H::DeedUnavailable => {
            ("deed_unavailable", Detail, "what a person wanted could not be recorded in time")
        }
        H::Purged => ("purged", Detail, "what all stores have is purged from the trail's stream"),
        H::PurgedForRoom => (
            "purged_for_room",
            Warning,
            "the trail's stream needed room: what a node that is away has not read is purged, and it will copy a store",
        ),
        H::CopyBegun => ("copy_begun", Notice, "the incident store is being copied from another node"),
        H::CopyLost => ("copy_lost", Warning, "the copy of the incident store begins anew"),
        H::CopyTaken => ("copy_taken", Notice, "the incident store of another node is taken over"),
        H::CopyGiven => ("copy_given", Notice, "another node has got a copy of the incident store"),
        H::EpochBegun => ("epoch_begun", Notice, "a new epoch of the trail is begun from what is here"),
        H::EpochOver => {
            ("epoch_over", Notice, "the trail has a new epoch, which this node follows from now on")
        }
        H::RestRecorded => {
            ("rest_recorded", Detail, "what only the store of this node had of an incident is recorded")
        }
        H::RestRefused => {
            ("rest_refused", Warning, "what only the store of this node had of an incident is not recorded")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vagn_flow::metrics::MetricRegistry;

    use super::*;
    use crate::cluster::log::Log;

    #[test]
    fn a_line_about_an_alarm_names_its_incident_and_the_vehicle() {
        let log = Log::default();
        let _logged = log.take_all();
        let news = TrailNews::new(Arc::new(TrailMetrics::new(&MetricRegistry::new())));
        let subject = |alarm: AlarmId| AlarmSubject {
            incident_id: Some(format!("alarm {}", alarm.0)),
            vehicle_id: Some("bus 7".into()),
        };
        news.take(TrailHappened::CalledAlone(AlarmId(70), Why::Unanswered), subject);
        news.take(TrailHappened::CalledUnrecorded(AlarmId(71)), subject);
        news.take(TrailHappened::Joined(AlarmId(72)), subject);
        news.take(TrailHappened::StoreFault, subject);
        let lines = log.lines();
        for (line, number) in lines.iter().zip(70..73) {
            assert!(line.contains(&format!("incident_id=\"alarm {number}\" vehicle_id=\"bus 7\"")), "{line}");
        }
        assert_eq!((lines.len(), lines[3].contains("_id=")), (4, false), "{lines:?}");
    }

    #[test]
    fn every_word_has_a_metric_from_the_start() {
        // The words of `words`, as its text has them: no value lists all that can happen.
        let (_, text) = include_str!("news.rs").split_once("fn words(").unwrap();
        let (text, _) = text.split_once("\n}\n").unwrap();
        let is_word =
            |text: &&str| !text.is_empty() && text.chars().all(|one| one.is_ascii_lowercase() || one == '_');
        let words: BTreeSet<_> = text.split('"').skip(1).step_by(2).filter(is_word).collect();
        assert_eq!(words, EVENTS.into_iter().collect());
        assert_eq!(words.len(), EVENTS.len());
    }
}
