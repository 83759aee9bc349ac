//! What happened in a run with calls for help, in words and as numbers for the trace.

use vagn_cluster::trail::{Duty, TrailCommand, TrailEvent, TrailHappened, Why};
use vagn_cluster::{Stop, fold, hash};

/// States that many seeds must reach.
pub(super) const REQUIRED_OF_MODEL: &[&str] = &[
    "Led",
    "Deposed",
    "Duty full",
    "Duty first only",
    "Duty standby",
    "Duty alone",
    "Differs",
    "Agreed",
    "settings changed",
    "Stopped: StreamAnew",
    "Stopped: StreamBehind",
    "SilentConsumer",
    "OwnRefused",
    "Full",
    "StoreFault",
    "NotKept",
    "NoPlace",
    "CalledAlone: Unanswered",
    "CalledAlone: NoRoom",
    "CalledAlone: Kept",
    "CalledUnrecorded",
    "NoRoom",
    "Joined",
    "Reopened",
    "incident over at the door of its vehicle",
    "HandedOver",
    "DeedUnavailable",
    "deed done",
    "deed refused",
    "door called",
    "leader called with a record",
    "leader called without a record",
    "leader called without a record and without a trail",
    "update told",
    "acceptance that its caller did not hear",
    "leader killed",
    "leader killed with a broker",
    "leader killed between an acceptance and its entry",
    "leader stopped",
    "leader stops in order",
    "leader said farewell",
    "leader apart from doors",
    "all brokers away",
    "answer of a broker lost",
    "entry stored though its sender gave up",
    "entry refused for itself",
    "sequence given again",
    "tail lost",
    "Purged",
    "PurgedForRoom",
    "CopyBegun",
    "CopyGiven",
    "CopyLost",
    "CopyTaken",
    "EpochBegun",
    "EpochOver",
    "RestRecorded",
    "copy not held any more",
    "copy not read",
    "giver killed in the middle of a copy",
    "taker killed in the middle of a copy",
    "disk lost",
    "store with a rest behind a copy",
    "stream of an epoch before dropped",
    "repair: epoch begun",
    "repair: copies",
    "repair refused: another has more",
    "stream made anew",
];

/// The same with the service's own desk, of which fewer seeds are run.
pub(super) const REQUIRED_OF_OFFICE: &[&str] = &[
    "Led",
    "Deposed",
    "Duty full",
    "Duty first only",
    "Duty standby",
    "CalledAlone: Unanswered",
    "CalledAlone: Kept",
    "CalledUnrecorded",
    "Joined",
    "HandedOver",
    "deed done",
    "deed refused",
    "door called",
    "leader called with a record",
    "leader called without a record",
    "update told",
    "sender answered",
    "sender refused",
    "acceptance that its caller did not hear",
    "leader killed",
    "leader stopped",
    "leader apart from doors",
    "all brokers away",
    "tail lost",
    "power cut",
    "CopyTaken",
    "RestRecorded",
    "EpochBegun",
];

/// Returns the name of a state.
pub(crate) fn state(happened: TrailHappened) -> &'static str {
    match happened {
        TrailHappened::Led => "Led",
        TrailHappened::Deposed => "Deposed",
        TrailHappened::Duty(Duty::Full) => "Duty full",
        TrailHappened::Duty(Duty::Alone) => "Duty alone",
        TrailHappened::Duty(Duty::FirstOnly) => "Duty first only",
        TrailHappened::Duty(Duty::Standby) => "Duty standby",
        TrailHappened::Differs => "Differs",
        TrailHappened::Agreed => "Agreed",
        TrailHappened::Stopped(Stop::StreamAnew) => "Stopped: StreamAnew",
        TrailHappened::Stopped(Stop::StreamBehind) => "Stopped: StreamBehind",
        TrailHappened::Stopped(_) => "Stopped for another reason",
        TrailHappened::SilentConsumer => "SilentConsumer",
        TrailHappened::OwnRefused => "OwnRefused",
        TrailHappened::Full => "Full",
        TrailHappened::StoreFault => "StoreFault",
        TrailHappened::NotKept(_) => "NotKept",
        TrailHappened::NoPlace(_) => "NoPlace",
        TrailHappened::TooLarge => "TooLarge",
        TrailHappened::Void => "Void",
        TrailHappened::CalledAlone(_, Why::Unanswered) => "CalledAlone: Unanswered",
        TrailHappened::CalledAlone(_, Why::NoRoom) => "CalledAlone: NoRoom",
        TrailHappened::CalledAlone(_, Why::Kept) => "CalledAlone: Kept",
        TrailHappened::CalledAlone(_, Why::TooLong) => "CalledAlone: TooLong",
        TrailHappened::CalledUnrecorded(_) => "CalledUnrecorded",
        TrailHappened::NoRoom(_) => "NoRoom",
        TrailHappened::Refused(_) => "Refused",
        TrailHappened::WithoutRoom(_) => "WithoutRoom",
        TrailHappened::Joined(_) => "Joined",
        TrailHappened::Reopened(_) => "Reopened",
        TrailHappened::HandedOver(_) => "HandedOver",
        TrailHappened::DeedUnavailable => "DeedUnavailable",
        TrailHappened::Purged => "Purged",
        TrailHappened::PurgedForRoom => "PurgedForRoom",
        TrailHappened::CopyBegun => "CopyBegun",
        TrailHappened::CopyGiven => "CopyGiven",
        TrailHappened::CopyLost => "CopyLost",
        TrailHappened::CopyTaken => "CopyTaken",
        TrailHappened::EpochBegun => "EpochBegun",
        TrailHappened::EpochOver => "EpochOver",
        TrailHappened::RestRecorded => "RestRecorded",
        TrailHappened::RestRefused => "RestRefused",
    }
}

/// Returns a number for an event: two events with one number are alike as far as a trace must tell them apart.
pub(crate) fn digest(event: &TrailEvent) -> u64 {
    match event {
        TrailEvent::Common(event) => crate::trace::digest(event),
        TrailEvent::Alarm { alarm, bytes } => fold(alarm.0 as u64, hash(&[bytes])),
        other => hash(&[format!("{other:?}").as_bytes()]),
    }
}

/// Says an event in words, without its long bytes.
pub(crate) fn event_text(event: &TrailEvent) -> String {
    match event {
        TrailEvent::Common(event) => crate::trace::event_text(event),
        other => format!("{other:?}"),
    }
}

/// Says a command in words, without its long bytes.
pub(crate) fn command_text(command: &TrailCommand) -> String {
    match command {
        TrailCommand::Common(command) => crate::trace::command_text(command),
        TrailCommand::Save { mark, groups } => format!("Save {} with {} groups", mark.sequence, groups.len()),
        other => format!("{other:?}"),
    }
}
