//! Numbers in sentences for people: counts with their singular, and spans of time in plain units.

use std::fmt;
use std::time::Duration;

/// A count with its noun: `1 incident`, `4 incidents`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    count: usize,
    one: &'static str,
    many: &'static str,
}

/// Counts things of which one is called `one`, and several `many`.
pub(crate) fn counted(count: usize, one: &'static str, many: &'static str) -> Counted {
    Counted { count, one, many }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, one, many } = *self;
        write!(f, "{count} {}", if count == 1 { one } else { many })
    }
}

/// A span of time in one unit: `45 s`, `12 min`, `3 h`, `5 d`. The larger unit begins at two of it, as on the pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        match self.0.as_secs() {
            seconds if seconds < 2 * MINUTE => write!(f, "{seconds} s"),
            seconds if seconds < 2 * HOUR => write!(f, "{} min", seconds / MINUTE),
            seconds if seconds < 2 * DAY => write!(f, "{} h", seconds / HOUR),
            seconds => write!(f, "{} d", seconds / DAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_thing_is_told_in_the_singular() {
        let told = [0, 1, 2].map(|count| counted(count, "incident", "incidents").to_string());
        assert_eq!(told, ["0 incidents", "1 incident", "2 incidents"]);
    }

    #[test]
    fn seconds_are_told_below_two_minutes_only() {
        for (seconds, told) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_799, "47 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), told);
        }
    }
}
