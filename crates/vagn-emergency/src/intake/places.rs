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
use crate::intake::replays::CallSeal;

/// A report of a batch: its index, its seal if it had one, and its bytes.
pub(super) type Placed<'a> = (u32, Option<CallSeal>, &'a [u8]);

/// Latest places of vehicles in the reports before the calls of one batch. A call in clear has that of a report in clear, a
/// sealed one that of its envelope alone: another envelope may have come again, which only the store can tell.
///
/// No report is opened before a call asks, and each one once however many ask: a batch full of calls takes no longer than
/// twice its time.
pub(super) struct BatchPlaces<'a, I: Iterator<Item = Placed<'a>>> {
    clear: Walk<'a, I>,
    sealed: Walk<'a, I>,
    /// Envelope whose places `sealed` has.
    envelope: Option<CallSeal>,
}

/// A walk along the reports of a batch, which never goes back.
struct Walk<'a, I: Iterator<Item = Placed<'a>>> {
    reports: Peekable<I>,
    latest: LatestPlaces<'a>,
}

/// Latest places of vehicles in the reports that were noted.
struct LatestPlaces<'a> {
    arrived_ms: i64,
    /// Hashed with a random key, so that invented ids cannot be made to collide.
    latest: HashMap<VehicleId<'a>, Fix, RandomState>,
}

impl<'a, I: Iterator<Item = Placed<'a>>> BatchPlaces<'a, I> {
    /// Returns the places in the reports of a batch that arrived at `arrived_ms` since 1970. Its reports are given twice, and
    /// those of one envelope lie together.
    pub(super) fn new([clear, sealed]: [I; 2], arrived_ms: i64) -> Self {
        Self { clear: Walk::new(clear, arrived_ms), sealed: Walk::new(sealed, arrived_ms), envelope: None }
    }

    /// Returns the latest place of a vehicle for the call at `index` with this seal, not trusted. To be asked in the order of
    /// the reports.
    pub(super) fn before(
        &mut self,
        index: u32,
        seal: Option<CallSeal>,
        vehicle_id: VehicleId<'_>,
    ) -> Option<Fix> {
        if seal.is_none() {
            return self.clear.before(index, None, vehicle_id);
        }
        if self.envelope != seal {
            self.envelope = seal;
            self.sealed.latest.clear();
        }
        self.sealed.before(index, seal, vehicle_id)
    }
}

impl<'a, I: Iterator<Item = Placed<'a>>> Walk<'a, I> {
    fn new(reports: I, arrived_ms: i64) -> Self {
        let latest = LatestPlaces { arrived_ms, latest: HashMap::default() };
        Self { reports: reports.peekable(), latest }
    }

    /// Walks up to `index`, and opens only reports with this seal.
    fn before(&mut self, index: u32, seal: Option<CallSeal>, vehicle_id: VehicleId<'_>) -> Option<Fix> {
        while let Some((_, of, bytes)) = self.reports.next_if(|(at, ..)| *at < index) {
            if of == seal
                && let Ok(report) = open(bytes)
            {
                self.latest.note(&report);
            }
        }
        self.latest.of(vehicle_id)
    }
}

impl<'a> LatestPlaces<'a> {
    fn clear(&mut self) {
        self.latest.clear();
    }

    fn of(&self, vehicle_id: VehicleId<'_>) -> Option<Fix> {
        let latest = self.latest.get(&vehicle_id)?;
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
    use std::cell::Cell;

    use super::*;
    use crate::tests::setup::{encoded, help, nowhere};
    use vagn_seal::KeyId;
    use vagn_wire::Position;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn bus() -> VehicleId<'static> {
        VehicleId::new("bus 7").unwrap()
    }

    /// A report of "bus 7" without the flag.
    fn at(lat: f64, own_time_ms: Option<i64>) -> Report<'static> {
        let position = Position::new(lat, 0.0);
        Report { position, emergency: false, event_time_ms: own_time_ms, ..help("bus 7") }
    }

    /// Latitude and time before now of the latest place of "bus 7" before the report at `index`.
    fn before(index: u32, reports: &[Report<'_>]) -> Option<(f64, i64)> {
        let bytes: Vec<_> = reports.iter().map(encoded).collect();
        let reports = || (0..).zip(&bytes).map(|(at, bytes)| (at, None, &bytes[..]));
        let fix = BatchPlaces::new([reports(), reports()], NOW_MS).before(index, None, bus())?;
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
        let taken = Cell::new(0);
        let reports = || (0..10).map(|at| (at, None, &bytes[..])).inspect(|_| taken.set(taken.get() + 1));
        let mut places = BatchPlaces::new([reports(), reports()], NOW_MS);
        assert_eq!(taken.get(), 0);
        for index in [3, 3, 7, 9] {
            let other = VehicleId::new("bus 8").unwrap();
            assert!(places.before(index, None, bus()).is_some());
            assert!(places.before(index, None, other).is_none());
            assert_eq!(taken.get(), index + 1);
        }
    }

    fn seal(number: u64) -> Option<CallSeal> {
        Some(CallSeal { key_id: KeyId([7; 8]), sequence: 5, number })
    }

    #[test]
    fn a_batch_of_envelopes_full_of_calls_is_walked_once() {
        let bytes = encoded(&at(1.0, None));
        let taken = Cell::new(0);
        // Four envelopes, and a report in clear before each.
        let of = |at: u32| (!at.is_multiple_of(100)).then(|| seal(u64::from(at) / 100 + 1)).flatten();
        let reports = || (0..400).map(|at| (at, of(at), &bytes[..])).inspect(|_| taken.set(taken.get() + 1));
        let mut places = BatchPlaces::new([reports(), reports()], NOW_MS);
        for index in 0..400 {
            let first = index % 100 == 1 || index == 0;
            assert_eq!(places.before(index, of(index), bus()).is_none(), first, "at {index}");
        }
        assert!(taken.get() <= 2 * 400, "{} steps for 400 reports", taken.get());
    }

    #[test]
    fn a_sealed_call_has_the_place_of_its_own_envelope_alone() {
        let bytes: Vec<_> = [1.0, 2.0, 3.0].map(|lat| encoded(&at(lat, None))).into();
        let seals = [seal(1), None, seal(2), seal(2), seal(3), None];
        let nowhere = encoded(&nowhere("bus 7"));
        let all = [&bytes[0], &bytes[1], &bytes[2], &nowhere, &nowhere, &nowhere];
        let reports = || (0..).zip(all).zip(seals).map(|((at, bytes), seal)| (at, seal, &bytes[..]));
        let mut places = BatchPlaces::new([reports(), reports()], NOW_MS);
        let mut lat =
            |index: u32| places.before(index, seals[index as usize], bus()).map(|fix| fix.position.lat());
        assert_eq!([lat(3), lat(4), lat(5)], [Some(3.0), None, Some(2.0)]);
    }
}
