//! States that runs reached: a search that never comes to a place proves nothing about it.

use std::collections::BTreeMap;

use vagn_cluster::{DiskFault, Happened, Stop};

/// How often each state was reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached(BTreeMap<&'static str, u64>);

/// States that a run of many seeds must reach, those of the core first.
pub const REQUIRED: &[&str] = &[
    "Founded",
    "RecordRestored",
    "CopyBegun",
    "CopyResumed",
    "CopyLost",
    "MirrorLost",
    "CaughtUp",
    "Left",
    "SilentConsumer",
    "NextEntryPurged",
    "PublishedAgain",
    "LogDamaged",
    "RestUnread",
    "StreamAnew",
    "StreamBehind",
    "StreamGone",
    "HashDiffers",
    "DiskFull",
    "DiskBroken",
    "LogUnread",
    "WentOn",
    "StruckOff",
    "LastOwner",
    "TwoOwners",
    "EpochRepaired",
    "repair made",
    "RepeatRefused",
    "TimeHeld",
    "Suspected",
    "SaidFarewell",
    "HeardAgain",
    "BrokersAway",
    "Shed",
    "Hedged",
    "fate stored",
    "fate stale",
    "fate duplicate",
    "fate shed",
    "fate failed",
    "mirror caught up",
    "vehicle forgotten",
    "report behind a standstill",
    "setting changed",
    "answer whole",
    "answer partial",
    "answer of a broker lost",
    "message stored though its sender gave up",
    "message stored again after the window",
    "message dropped without a leader",
    "stream full",
    "sequence given again",
    "consumer that waits beyond the end",
    "consumer that begins later",
    "consumer that died silently",
    "message delivered twice",
    "message delivered out of order",
    "stale view",
    "figures of a leader that is cut off",
    "time that ran back",
    "tail lost",
    "fork",
    "lone tail",
    "kept by one owner alone",
    "power lost",
    "blackout",
    "process stopped",
    "disk lost",
    "read of a log failed",
    "read of a log late",
    "read of a log damaged",
    "log damaged at a start",
    "rest of a log let go",
    "rest of a log published again",
    "answer of a shard that has stopped",
    "answer of a shard whose stream is broken",
    "copy cut",
    "record lost",
    "clock jumped",
];

impl Reached {
    pub(crate) fn note(&mut self, state: &'static str) {
        *self.0.entry(state).or_default() += 1;
    }

    pub(crate) fn happened(&mut self, happened: &Happened) {
        self.note(name(happened));
    }

    /// Adds the states of another run.
    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(state, count)| *self.0.entry(state).or_default() += count);
    }

    /// Returns how often a state was reached.
    pub fn count(&self, state: &str) -> u64 {
        self.0.get(state).copied().unwrap_or(0)
    }

    /// Returns the required states that were not reached.
    pub fn missed(&self, required: &[&'static str]) -> Vec<&'static str> {
        required.iter().copied().filter(|state| self.count(state) == 0).collect()
    }

    /// Returns all states with their counts, the required ones in their order and then the others.
    pub fn all(&self, required: &[&'static str]) -> Vec<(&'static str, u64)> {
        let others = self.0.keys().copied().filter(|state| !required.contains(state));
        required.iter().copied().chain(others).map(|state| (state, self.count(state))).collect()
    }
}

fn name(happened: &Happened) -> &'static str {
    match happened {
        Happened::Founded => "Founded",
        Happened::RecordRestored => "RecordRestored",
        Happened::CopyBegun(_) => "CopyBegun",
        Happened::CopyResumed(_) => "CopyResumed",
        Happened::CopyLost(_) => "CopyLost",
        Happened::MirrorLost(_) => "MirrorLost",
        Happened::CaughtUp(_) => "CaughtUp",
        Happened::Left(_) => "Left",
        Happened::SilentConsumer(_) => "SilentConsumer",
        Happened::NextEntryPurged(_) => "NextEntryPurged",
        Happened::PublishedAgain(_) => "PublishedAgain",
        Happened::LogDamaged(_) => "LogDamaged",
        Happened::RestUnread(_) => "RestUnread",
        Happened::Stopped(_, stop) => stop_name(*stop),
        Happened::WentOn(_) => "WentOn",
        Happened::StruckOff(..) => "StruckOff",
        Happened::LastOwner(_) => "LastOwner",
        Happened::TwoOwners(_) => "TwoOwners",
        Happened::EpochRepaired(_) => "EpochRepaired",
        Happened::RepeatRefused(_) => "RepeatRefused",
        Happened::TimeHeld(_) => "TimeHeld",
        Happened::Suspected(_) => "Suspected",
        Happened::SaidFarewell(_) => "SaidFarewell",
        Happened::HeardAgain(_) => "HeardAgain",
        Happened::Differs(_) => "Differs",
        Happened::Twice(_) => "Twice",
        Happened::NotUnderstood(_) => "NotUnderstood",
        Happened::BrokersAway(_) => "BrokersAway",
        Happened::Shed(_) => "Shed",
        Happened::Hedged(_) => "Hedged",
    }
}

fn stop_name(stop: Stop) -> &'static str {
    match stop {
        Stop::StreamAnew => "StreamAnew",
        Stop::StreamBehind => "StreamBehind",
        Stop::StreamGone => "StreamGone",
        Stop::NextEntryPurged => "NextEntryPurged, and nobody to copy from",
        Stop::HashDiffers => "HashDiffers",
        Stop::ContentDiffers => "ContentDiffers",
        Stop::EntryDamaged => "EntryDamaged",
        Stop::Disk(DiskFault::Full) => "DiskFull",
        Stop::Disk(DiskFault::Broken) => "DiskBroken",
        Stop::LogUnread => "LogUnread",
        Stop::DiskDamaged => "DiskDamaged",
        Stop::OtherDataSet => "OtherDataSet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_was_missed_until_it_is_reached() {
        let mut reached = Reached::default();
        assert_eq!(reached.missed(REQUIRED), REQUIRED);
        let mut other = Reached::default();
        REQUIRED.iter().for_each(|state| other.note(state));
        reached.add(&other);
        reached.add(&other);
        assert!(reached.missed(REQUIRED).is_empty());
        assert_eq!(reached.count("Founded"), 2);
    }
}
