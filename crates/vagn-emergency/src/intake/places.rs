//! Places of vehicles in the reports of one batch, for calls without a place of their own.
//!
//! Senders put a call last. The batch is stored while its alarms are on their way to the desk, so the fleet may not yet have
//! the place that was sent just before the call. The batch has it for certain.

use std::hash::RandomState;
use std::iter::Peekable;

use hashbrown::HashMap;
use vagn_flow::open::open;
use vagn_store::{event_time, has_no_fix, is_a_year_back};
use vagn_wire::{Report, VehicleId};

use crate::fix::{Fix, newer};

/// Latest places in the first reports of a batch. It opens no report before an alarm asks, and each one once however many
/// ask: a batch full of calls takes no longer than twice its time.
pub(super) struct BatchPlaces<'a, I: Iterator<Item = (u32, u64, &'a [u8])>> {
    reports: Peekable<I>,
    arrived_ms: i64,
    /// Hashed with a random key, so that invented ids cannot be made to collide.
    latest: HashMap<VehicleId<'a>, Fix, RandomState>,
}

impl<'a, I: Iterator<Item = (u32, u64, &'a [u8])>> BatchPlaces<'a, I> {
    /// Returns the places in these reports of a batch that arrived at `arrived_ms` since 1970.
    pub(super) fn new(reports: I, arrived_ms: i64) -> Self {
        Self { reports: reports.peekable(), arrived_ms, latest: HashMap::default() }
    }

    /// Returns the latest place of a vehicle in the reports before the one at `index`, not trusted. To be asked in the order
    /// of the reports.
    pub(super) fn before(&mut self, index: u32, vehicle_id: &str) -> Option<Fix> {
        while let Some((_, _, bytes)) = self.reports.next_if(|(at, ..)| *at < index) {
            if let Ok(report) = open(bytes) {
                self.note(&report);
            }
        }
        let latest = self.latest.get(&VehicleId::new(vehicle_id).ok()?)?;
        Some(Fix { trusted: false, ..*latest })
    }

    /// Notes the place of a report by the rules of the fleet, as far as the batch tells.
    fn note(&mut self, report: &Report<'a>) {
        let kept = self.latest.get(&report.vehicle_id).copied();
        let Ok(position) = report.position else { return };
        if has_no_fix(kept.map(|kept| kept.position), position) {
            return;
        }
        let time = event_time(report, self.arrived_ms);
        let steps_back = kept.is_some_and(|kept| is_a_year_back(kept.time_ms, time.time_ms, self.arrived_ms));
        let fix = if time.unsure || steps_back {
            Fix::unsure(position, self.arrived_ms)
        } else {
            // Trusted beside those of the batch, so that one under a true time takes the place of one under an unsure time.
            Fix::new(position, time.time_ms.min(self.arrived_ms), true)
        };
        self.latest.extend(newer(kept, Some(fix)).map(|fix| (report.vehicle_id, fix)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::setup::{encoded, help, nowhere};
    use vagn_wire::Position;

    const NOW_MS: i64 = 1_700_000_000_000;

    /// A report of "bus 7" without the flag.
    fn at(lat: f64, own_time_ms: Option<i64>) -> Report<'static> {
        let position = Position::new(lat, 0.0);
        Report { position, emergency: false, event_time_ms: own_time_ms, ..help("bus 7") }
    }

    /// Latitude and time before now of the latest place of "bus 7" before the report at `index`.
    fn before(index: u32, reports: &[Report<'_>]) -> Option<(f64, i64)> {
        let bytes: Vec<_> = reports.iter().map(encoded).collect();
        let reports = (0..).zip(&bytes).map(|(at, bytes)| (at, u64::from(at), &bytes[..]));
        let fix = BatchPlaces::new(reports, NOW_MS).before(index, "bus 7")?;
        assert!(!fix.trusted);
        Some((fix.position.lat(), NOW_MS - fix.time_ms))
    }

    #[test]
    fn the_latest_place_before_the_call_counts_and_that_of_no_other_vehicle() {
        let other = help("bus 8");
        let sent = [at(1.0, None), other, at(2.0, None), nowhere("bus 7"), at(3.0, None)];
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(|index| before(index, &sent).map(|(lat, _)| lat)),
            [None, Some(1.0), Some(1.0), Some(2.0), Some(2.0), Some(3.0)]
        );
    }

    #[test]
    fn the_order_is_that_of_the_times_as_in_the_fleet() {
        let year_ms = 400 * 86_400_000;
        let check = |sent: &[Report<'_>], expected| assert_eq!(before(9, sent), Some(expected));
        check(&[at(1.0, Some(NOW_MS - 5)), at(2.0, Some(NOW_MS - 9))], (1.0, 5));
        check(&[at(1.0, Some(NOW_MS + 50 * 60_000)), at(2.0, Some(NOW_MS - 9))], (2.0, 9));
        check(&[at(1.0, Some(NOW_MS - 5)), at(2.0, Some(NOW_MS - year_ms))], (2.0, 0));
        check(&[at(1.0, Some(NOW_MS + 3_000))], (1.0, 0));
    }

    #[test]
    fn zero_degrees_count_near_there_only() {
        assert_eq!(before(9, &[at(0.0, None)]), None);
        assert_eq!(before(9, &[at(50.0, None), at(0.0, None)]), Some((50.0, 0)));
        assert_eq!(before(9, &[at(0.1, Some(NOW_MS - 5)), at(0.0, None)]), Some((0.0, 0)));
    }

    #[test]
    fn each_report_is_opened_once_however_many_ask() {
        let bytes = encoded(&at(1.0, None));
        let taken = std::cell::Cell::new(0);
        let reports = (0..10).map(|at| (at, 0, &bytes[..])).inspect(|_| taken.set(taken.get() + 1));
        let mut places = BatchPlaces::new(reports, NOW_MS);
        assert_eq!(taken.get(), 0);
        for index in [3, 3, 7, 9] {
            assert!(places.before(index, "bus 7").is_some() && places.before(index, "bus 8").is_none());
            assert_eq!(taken.get(), index + 1);
        }
    }
}
