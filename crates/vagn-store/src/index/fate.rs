//! The rules of order and repeats: the fate of a sighting of a vehicle that is known.

use vagn_wire::Fate;

use crate::Sighting;

/// Returns `Stored` when `new` is to replace `kept`.
///
/// A repeat is recognised only by what the vehicle itself sent, its running number or its own time and position: equal
/// stamps of two doors are chance. The same report once more, as a log gives it, is a repeat as well.
pub(super) fn fate(kept: &Sighting, new: &Sighting) -> Fate {
    let same_seq = new.seq.is_some() && new.seq == kept.seq;
    let same_time = new.own_time && kept.own_time && new.event_time_ms == kept.event_time_ms;
    if same_seq || (same_time && new.position == kept.position) || new.order() == kept.order() {
        Fate::Duplicate
    } else if new.order() < kept.order() {
        Fate::Stale
    } else {
        Fate::Stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_wire::Position;

    const AT: (f64, f64) = (59.3, 18.1);

    fn sighting(
        event_time_ms: i64,
        receive_seq: u64,
        seq: Option<u64>,
        own_time: bool,
        at: (f64, f64),
    ) -> Sighting {
        Sighting {
            position: Position::new(at.0, at.1).unwrap(),
            event_time_ms,
            receive_time_ms: 1_000,
            receive_seq,
            seq,
            speed_mps: None,
            heading_deg: None,
            emergency: false,
            own_time,
            unsure: false,
        }
    }

    fn check(kept: Sighting, new: Sighting, want: Fate) {
        assert_eq!(fate(&kept, &new), want, "{kept:?} {new:?}");
    }

    #[test]
    fn newer_by_event_time_then_by_arrival_is_stored() {
        let kept = sighting(100, 10, None, false, AT);
        check(kept, sighting(101, 5, None, false, AT), Fate::Stored);
        check(kept, sighting(100, 11, None, false, AT), Fate::Stored);
        check(kept, sighting(100, 9, None, false, AT), Fate::Stale);
        check(kept, sighting(99, 11, None, false, AT), Fate::Stale);
    }

    #[test]
    fn an_equal_running_number_is_a_repeat_however_old() {
        let kept = sighting(100, 10, Some(7), false, AT);
        check(kept, sighting(200, 11, Some(7), false, AT), Fate::Duplicate);
        check(kept, sighting(50, 11, Some(7), false, AT), Fate::Duplicate);
        check(kept, sighting(200, 11, Some(8), false, AT), Fate::Stored);
        check(kept, sighting(200, 11, None, false, AT), Fate::Stored);
    }

    #[test]
    fn equal_own_time_and_position_is_a_repeat() {
        let kept = sighting(100, 10, None, true, AT);
        check(kept, sighting(100, 11, None, true, AT), Fate::Duplicate);
        check(kept, sighting(100, 11, None, true, (59.4, 18.1)), Fate::Stored);
        check(kept, sighting(100, 11, None, false, AT), Fate::Stored);
        check(sighting(100, 10, None, false, AT), sighting(100, 11, None, false, AT), Fate::Stored);
    }

    #[test]
    fn the_same_report_from_the_log_again_is_a_repeat() {
        let kept = sighting(100, 10, None, false, AT);
        check(kept, kept, Fate::Duplicate);
    }
}
