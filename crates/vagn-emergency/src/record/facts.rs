//! Facts of an alarm: what the reports of one vehicle say about its emergency.

use vagn_wire::Kind;

use crate::fix::{Fix, extend, newer};

/// Sum of all reports of one alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmFacts {
    /// Cause, if the vehicle named one.
    pub kind: Option<Kind>,
    /// The vehicle's own id for the incident.
    pub vehicle_incident: Option<Box<str>>,
    /// Time at which the vehicle raised it by its own clock if it has one, else time of arrival; ms since 1970.
    pub raised_ms: i64,
    /// Arrival of the first report, ms since 1970.
    pub opened_ms: i64,
    /// Arrival of the latest report, ms since 1970.
    pub updated_ms: i64,
    /// Reports that carried the flag.
    pub reports: u64,
    /// Latest position that is known.
    pub fix: Option<Fix>,
    /// Latest positions, oldest first.
    pub track: Vec<Fix>,
}

impl AlarmFacts {
    /// Facts of an alarm of which only the arrival is known.
    pub(crate) fn bare(opened_ms: i64) -> Self {
        Self {
            kind: None,
            vehicle_incident: None,
            raised_ms: opened_ms,
            opened_ms,
            updated_ms: opened_ms,
            reports: 1,
            fix: None,
            track: Vec::new(),
        }
    }

    /// Merges the facts of further reports of the same alarm.
    pub fn merge(&mut self, more: Self) {
        self.kind = more.kind.or(self.kind);
        // The first name stays: further reports find the incident by it.
        self.vehicle_incident = self.vehicle_incident.take().or(more.vehicle_incident);
        self.updated_ms = self.updated_ms.max(more.updated_ms);
        self.reports += more.reports;
        for fix in more.track.into_iter().chain(more.fix) {
            self.add_fix(fix);
        }
    }

    /// Adds a position that became known.
    pub fn add_fix(&mut self, fix: Fix) {
        self.fix = newer(self.fix, Some(fix));
        extend(&mut self.track, fix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(time_ms: i64) -> Fix {
        Fix::at(1.0, 2.0, time_ms, true)
    }

    #[test]
    fn merging_keeps_the_first_times_and_the_latest_news() {
        let mut facts = AlarmFacts::bare(10);
        facts.add_fix(fix(30));
        let mut more = AlarmFacts { kind: Some(Kind::Manual), ..AlarmFacts::bare(25) };
        more.vehicle_incident = Some("ride 4".into());
        more.add_fix(fix(20));
        facts.merge(more);
        assert_eq!((facts.raised_ms, facts.opened_ms, facts.updated_ms), (10, 10, 25));
        assert_eq!((facts.reports, facts.kind), (2, Some(Kind::Manual)));
        assert_eq!(facts.vehicle_incident.as_deref(), Some("ride 4"));
        assert_eq!((facts.fix, facts.track), (Some(fix(30)), vec![fix(20), fix(30)]));
    }
}
