//! Oddities of a report: what is wrong with its vehicle's clock, counter or position, and does not refuse the report.

use std::fmt;

/// Something odd about a report, for the technician of the tracker. The list is closed: each entry is a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Oddity {
    /// `Ts` has a form that cannot be read.
    TimeUnreadable,
    /// `Ts` was given in seconds; read as such.
    TimeInSeconds,
    /// `Ts` was given in microseconds; read as such.
    TimeInMicroseconds,
    /// `Ts` was given in nanoseconds; read as such.
    TimeInNanoseconds,
    /// `Ts` lies 1 024 or 2 048 weeks back, as after a rollover of the week number of GPS; corrected.
    WeekRollover,
    /// `Ts` lies more than 5 s ahead of the arrival.
    TimeAhead,
    /// `Ts` lies near 1970, as of a clock that was never set.
    TimeNear1970,
    /// `Ts` lies before 1900.
    TimeBefore1900,
    /// `Ts` lies more than a year back, although the vehicle's last one did not.
    TimeYearBehind,
    /// `Seq` began anew.
    CounterRestarted,
    /// `Seq` does not move although the report is new.
    CounterStuck,
    /// The position is exactly (0, 0), as without a fix.
    NoFix,
    /// `Speed` is beyond what any vehicle does; taken as not sent.
    SpeedImpossible,
    /// `Heading` is no heading; taken as not sent.
    HeadingImpossible,
}

/// Part of a vehicle's equipment that an oddity points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OddPart {
    /// The clock.
    Clock,
    /// The counter of reports.
    Counter,
    /// The receiver of positions, with speed and heading.
    Position,
}

impl Oddity {
    /// Every oddity, in the order of declaration.
    pub const ALL: [Self; 14] = [
        Self::TimeUnreadable,
        Self::TimeInSeconds,
        Self::TimeInMicroseconds,
        Self::TimeInNanoseconds,
        Self::WeekRollover,
        Self::TimeAhead,
        Self::TimeNear1970,
        Self::TimeBefore1900,
        Self::TimeYearBehind,
        Self::CounterRestarted,
        Self::CounterStuck,
        Self::NoFix,
        Self::SpeedImpossible,
        Self::HeadingImpossible,
    ];

    /// Returns the label under which it is counted, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimeUnreadable => "time_unreadable",
            Self::TimeInSeconds => "time_in_seconds",
            Self::TimeInMicroseconds => "time_in_microseconds",
            Self::TimeInNanoseconds => "time_in_nanoseconds",
            Self::WeekRollover => "week_rollover",
            Self::TimeAhead => "time_ahead",
            Self::TimeNear1970 => "time_near_1970",
            Self::TimeBefore1900 => "time_before_1900",
            Self::TimeYearBehind => "time_year_behind",
            Self::CounterRestarted => "counter_restarted",
            Self::CounterStuck => "counter_stuck",
            Self::NoFix => "no_fix",
            Self::SpeedImpossible => "speed_impossible",
            Self::HeadingImpossible => "heading_impossible",
        }
    }

    /// Returns the part of the equipment that it points to.
    pub const fn part(self) -> OddPart {
        match self {
            Self::CounterRestarted | Self::CounterStuck => OddPart::Counter,
            Self::NoFix | Self::SpeedImpossible | Self::HeadingImpossible => OddPart::Position,
            _ => OddPart::Clock,
        }
    }
}

impl OddPart {
    /// Returns the word in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Counter => "counter",
            Self::Position => "position",
        }
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of oddities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Oddities(u16);

impl Oddities {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Returns the set of one.
    #[inline]
    pub const fn of(oddity: Oddity) -> Self {
        Self(1 << oddity as u16)
    }

    /// Adds an oddity.
    #[inline]
    pub fn add(&mut self, oddity: Oddity) {
        self.0 |= Self::of(oddity).0;
    }

    /// Returns the oddities of both sets.
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns true when the set holds the oddity.
    #[inline]
    pub const fn has(self, oddity: Oddity) -> bool {
        self.0 & Self::of(oddity).0 != 0
    }

    /// Returns true when the set holds none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the set as bits, in the order of declaration from the lowest on, as shards of a cluster pass it on.
    #[inline]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Returns the set of which these are the [bits](Self::bits), or `None` when one of them stands for nothing.
    #[inline]
    pub const fn of_bits(bits: u16) -> Option<Self> {
        if bits >> Oddity::ALL.len() == 0 { Some(Self(bits)) } else { None }
    }

    /// Returns the oddities in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Oddity> {
        Oddity::ALL.into_iter().filter(move |oddity| self.has(*oddity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_added_under_distinct_words() {
        let mut all = Oddities::NONE;
        for (index, oddity) in Oddity::ALL.into_iter().enumerate() {
            assert_eq!(oddity as usize, index);
            assert!(!all.has(oddity), "{oddity}");
            all.add(oddity);
            assert!(all.has(oddity));
            assert!(Oddity::ALL[..index].iter().all(|earlier| earlier.as_str() != oddity.as_str()));
        }
        assert!(all.iter().eq(Oddity::ALL));
        assert_eq!(Oddities::of(Oddity::NoFix).and(Oddities::NONE), Oddities::of(Oddity::NoFix));
        assert!(Oddities::NONE.is_empty() && Oddities::NONE.iter().next().is_none());
        assert_eq!((Oddities::of_bits(all.bits()), Oddities::of_bits(all.bits() + 1)), (Some(all), None));
    }
}
