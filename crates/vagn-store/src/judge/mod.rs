//! The one rule by which a report is judged: for all doors, for recovery and for replicas.
//!
//! | file | holds |
//! |---|---|
//! | `time.rs` | the time that counts |
//! | `window.rs` | a window of numbers, and which of them came |
//! | `count.rs` | the numbers seen of a vehicle, under one key |
//! | here | the fate of a report of a vehicle, from its last position, its count, and the report |
//!
//! `docs/judging.md` has the rule in words.

#[cfg(test)]
mod cases;
mod count;
#[cfg(test)]
mod model;
mod time;
mod window;

pub(crate) use count::Count;
pub use time::{EventTime, SKEW_MAX_MS, event_time, is_a_year_back};
pub use window::NumberWindow;

use time::steps_back_a_year;
use vagn_wire::{Fate, Oddities, Oddity, Position};

use crate::Sighting;
use crate::geo::distance_m;

/// Longest that a kept fix whose time is unsure lies after the true time of a later one, ms.
const UNSURE_MS: i64 = 5 * 60_000;

/// Longest time in which a vehicle's report may come again, ms. An old number after that is a counter that began anew.
const AGAIN_WITHIN_MS: i64 = 10_000;

/// What a report was sealed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Key of the seal. The sequence of the seal is the number of the report.
    pub key: KeyTag,
    /// Not the first report of its vehicle in its envelope.
    pub more: bool,
}

/// A key, as far as counts need to tell one from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyTag(std::num::NonZeroU32);

impl KeyTag {
    /// Returns the tag of the key with this id.
    pub fn of_key_id(key_id: [u8; 8]) -> Self {
        // Ids are random, so 31 bits of one tell the few keys of a vehicle apart. Zero stands for no key.
        let bits = u32::from_le_bytes([key_id[0], key_id[1], key_id[2], key_id[3]]) >> 1;
        Self(std::num::NonZeroU32::new(bits.max(1)).expect("it is one at least"))
    }

    /// Returns the tag of which these are the [bits](Self::bits), or `None` when they are of none.
    pub fn of_bits(bits: u32) -> Option<Self> {
        std::num::NonZeroU32::new(bits).filter(|bits| bits.get() < 1 << 31).map(Self)
    }

    /// Returns its 31 bits, as log, snapshots and shards of a cluster keep it. They are never all zero.
    pub fn bits(self) -> u32 {
        self.0.get()
    }
}

/// What is known of a report beside its sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Seal of the report, if it had one.
    pub seal: Option<Seal>,
    /// Oddities found so far.
    pub odd: Oddities,
}

/// Outcome of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) fate: Fate,
    /// The number of the report begins its vehicle's count anew.
    pub(crate) restarts: bool,
    /// The vehicle's own time cannot be, given the last one: the arrival is to stand in for it.
    pub(crate) arrival_stands_in: bool,
    /// Stale, and to be left out of the log all the same.
    pub(crate) unwritten: bool,
    /// Not the first report of its vehicle in its envelope.
    pub(crate) continues: bool,
    /// Oddities that only the vehicle's past shows.
    pub(crate) odd: Oddities,
}

impl Verdict {
    pub(crate) fn of(fate: Fate) -> Self {
        Self {
            fate,
            restarts: false,
            arrival_stands_in: false,
            unwritten: false,
            continues: false,
            odd: Oddities::NONE,
        }
    }

    fn no_fix() -> Self {
        Self { odd: Oddities::of(Oddity::NoFix), ..Self::of(Fate::Invalid) }
    }

    fn unwritten(fate: Fate) -> Self {
        Self { unwritten: true, ..Self::of(fate) }
    }
}

/// Greatest distance from (0, 0) at which a vehicle was last, for its report of exactly (0, 0) to be believed, m.
const NEAR_ORIGIN_M: f64 = 100_000.0;

/// Returns true when a position is exactly (0, 0), as trackers send it without a fix, and the vehicle was last, at
/// `kept`, not near there.
#[inline]
pub fn has_no_fix(kept: Option<Position>, new: Position) -> bool {
    is_origin(new) && kept.is_none_or(|kept| distance_m(kept, new) > NEAR_ORIGIN_M)
}

#[inline]
fn is_origin(position: Position) -> bool {
    // All bits of both but their signs, for -0.0 is zero as well.
    (position.lat().to_bits() | position.lon().to_bits()) << 1 == 0
}

/// Returns true when [`judge`] would find the report stored and nothing else of it, for any vehicle without count whose last
/// stored position has the time `kept_ms`. Most reports are so: without number and seal, and later.
#[inline]
pub(crate) fn is_plainly_newer(kept_ms: i64, new: &Sighting, evidence: &Evidence) -> bool {
    new.event_time_ms > kept_ms
        && new.seq.is_none()
        && evidence.seal.is_none()
        && evidence.odd.is_empty()
        && !is_origin(new.position)
}

/// Judges a report of a vehicle whose last stored position is `kept`, and brings its count up to date.
#[inline]
pub(crate) fn judge(
    kept: Option<&Sighting>,
    count: &mut Count,
    new: &Sighting,
    evidence: &Evidence,
) -> Verdict {
    // Before all else: it is no position, and changes nothing.
    if has_no_fix(kept.map(|kept| kept.position), new.position) {
        look_for_others(count, new, evidence);
        return Verdict::no_fix();
    }
    let Some(kept) = kept else { return judge_first(count, new, evidence) };
    if new.seq.is_none() && evidence.seal.is_none() && count.is_none() {
        // Vehicles that send no numbers: most, and the cheapest.
        return judge_unnumbered(kept, new, evidence);
    }
    judge_numbered(kept, count, new, evidence)
}

/// Judges the first report of a vehicle. Its count has a key if it was there before: then it is the count that it left with.
fn judge_first(count: &mut Count, new: &Sighting, evidence: &Evidence) -> Verdict {
    if let (Some(number), Some(seal)) = (new.seq, evidence.seal)
        && count.key() == Some(seal.key)
    {
        // Each report by itself: the first one of an envelope that is new has brought the vehicle back.
        if let Err(refused) = look(count, number, false) {
            return refused;
        }
        count.note(number);
        return Verdict::of(Fate::Stored);
    }
    if new.seq.is_some() || evidence.seal.is_some() {
        *count = Count::begin(evidence.seal.map(|seal| seal.key));
        if let Some(number) = new.seq {
            count.note(number);
        }
    }
    Verdict::of(Fate::Stored)
}

#[inline]
fn judge_unnumbered(kept: &Sighting, new: &Sighting, evidence: &Evidence) -> Verdict {
    let number = Number { known: false, below: false, sealed: false };
    if steps_back_a_year(kept, new) {
        return judge_arrival(kept, &at_arrival(new), number);
    }
    Verdict::of(fate(kept, new, number, evidence))
}

/// Judges a report whose own time cannot be, given the last one; `arrived` has the arrival in its place.
#[cold]
fn judge_arrival(kept: &Sighting, arrived: &Sighting, number: Number) -> Verdict {
    let odd = Oddities::of(Oddity::TimeYearBehind);
    Verdict { arrival_stands_in: true, odd, ..Verdict::of(fate(kept, arrived, number, &Evidence::default())) }
}

/// Returns the sighting with the arrival in place of its own time.
pub(crate) fn at_arrival(sighting: &Sighting) -> Sighting {
    Sighting { event_time_ms: sighting.receive_time_ms, own_time: false, unsure: true, ..*sighting }
}

/// The number of a report, beside those seen before.
#[derive(Debug, Clone, Copy)]
struct Number {
    known: bool,
    /// Not above the highest one.
    below: bool,
    sealed: bool,
}

#[inline(never)]
fn judge_numbered(kept: &Sighting, count: &mut Count, new: &Sighting, evidence: &Evidence) -> Verdict {
    let key = evidence.seal.map(|seal| seal.key);
    let changed = key != count.key();
    if changed {
        *count = Count::begin(key);
    }
    let stands_in = steps_back_a_year(kept, new);
    let arrived;
    let counting = if stands_in {
        arrived = at_arrival(new);
        &arrived
    } else {
        new
    };
    let number = match (new.seq, &evidence.seal) {
        (Some(number), Some(seal)) => match look(count, number, seal.more) {
            Ok(number) => number,
            Err(refused) => return refused,
        },
        (Some(number), None) => {
            Number { known: count.has(number), below: count.reaches(number), sealed: false }
        }
        (None, _) => Number { known: false, below: false, sealed: evidence.seal.is_some() },
    };
    if number.sealed
        && changed
        && counting.own_time
        && kept.own_time
        && counting.event_time_ms <= kept.event_time_ms
    {
        // Nothing but its time tells if a datagram of the former key came again.
        return Verdict::unwritten(Fate::Stale);
    }
    let mut verdict = if stands_in {
        judge_arrival(kept, counting, number)
    } else {
        Verdict::of(fate(kept, counting, number, evidence))
    };
    verdict.continues = evidence.seal.is_some_and(|seal| seal.more);
    let Some(sent) = new.seq else { return verdict };
    let anew = verdict.fate == Fate::Stored && begins_anew(kept, counting, number);
    if anew {
        verdict.odd.add(if number.known { Oddity::CounterStuck } else { Oddity::CounterRestarted });
    }
    if verdict.fate != Fate::Duplicate || number.sealed {
        verdict.restarts = anew && !number.sealed;
        if verdict.restarts { count.restart(sent) } else { count.note(sent) }
    }
    verdict
}

/// Looks a sealed number up: once for all reports of a vehicle in one envelope.
fn look(count: &mut Count, number: u64, more: bool) -> Result<Number, Verdict> {
    let (known, below) = if more {
        (count.is_repeated(), false)
    } else if count.is_below_window(number) {
        count.set_repeated(true);
        return Err(Verdict::unwritten(Fate::Stale));
    } else {
        (count.has(number), count.reaches(number))
    };
    count.set_repeated(known);
    if known { Err(Verdict::unwritten(Fate::Duplicate)) } else { Ok(Number { known, below, sealed: true }) }
}

/// Looks the number of an envelope up that begins with a report without fix, for the further reports in it. Under another
/// key the count begins with one of these.
#[inline]
fn look_for_others(count: &mut Count, new: &Sighting, evidence: &Evidence) {
    if let (Some(seal), Some(number)) = (evidence.seal, new.seq)
        && !seal.more
        && count.key() == Some(seal.key)
    {
        count.set_repeated(count.has(number) || count.is_below_window(number));
    }
}

/// Returns the fate of a report whose time is settled.
#[inline]
fn fate(kept: &Sighting, new: &Sighting, number: Number, evidence: &Evidence) -> Fate {
    let Number { known, below, sealed } = number;
    if kept.receive_time_ms > new.receive_time_ms.saturating_add(SKEW_MAX_MS) {
        // Stored under a wrong clock of the service: it loses to anything.
        return Fate::Stored;
    }
    if new.own_time {
        return fate_by_own_time(kept, new, known);
    }
    if evidence.odd.has(Oddity::TimeUnreadable) && is_overruled(kept, new) {
        return Fate::Stale;
    }
    if !below {
        return if arrived_later(kept, new) { Fate::Stored } else { Fate::Stale };
    }
    if sealed || new.receive_time_ms.saturating_sub(kept.receive_time_ms) <= AGAIN_WITHIN_MS {
        return if known { Fate::Duplicate } else { Fate::Stale };
    }
    Fate::Stored
}

#[inline]
fn fate_by_own_time(kept: &Sighting, new: &Sighting, known: bool) -> Fate {
    let (time_ms, kept_ms) = (new.event_time_ms, kept.event_time_ms);
    if kept.own_time && time_ms == kept_ms && new.position == kept.position {
        Fate::Duplicate
    } else if time_ms > kept_ms || (kept.unsure && time_ms >= kept_ms.saturating_sub(UNSURE_MS)) {
        Fate::Stored
    } else if known {
        Fate::Duplicate
    } else if time_ms == kept_ms {
        Fate::Stored
    } else {
        Fate::Stale
    }
}

/// Returns true when the kept fix has a time of its own from the last minutes, which a time that cannot be read must not
/// replace.
fn is_overruled(kept: &Sighting, new: &Sighting) -> bool {
    kept.own_time && new.event_time_ms.saturating_sub(kept.event_time_ms) <= UNSURE_MS
}

/// Returns true when the report is not before the kept one by arrival. Batches of several doors may overtake each other
/// within a millisecond, so there the order of receipt decides.
#[inline]
fn arrived_later(kept: &Sighting, new: &Sighting) -> bool {
    let both_by_arrival = !kept.own_time && !new.own_time && new.event_time_ms == kept.event_time_ms;
    if both_by_arrival {
        new.receive_seq >= kept.receive_seq
    } else {
        new.event_time_ms >= kept.event_time_ms
    }
}

/// Returns true when a report that is stored begins its vehicle's count anew.
fn begins_anew(kept: &Sighting, new: &Sighting, number: Number) -> bool {
    if kept.receive_time_ms > new.receive_time_ms.saturating_add(SKEW_MAX_MS) {
        return number.known;
    }
    // At the same time and another place the number only adds to those seen.
    let later = new.event_time_ms > kept.event_time_ms
        || (kept.unsure && new.event_time_ms >= kept.event_time_ms.saturating_sub(UNSURE_MS));
    number.below && (!new.own_time || later)
}
