//! Order numbers: how a change of a partition is named outside the store.

/// Number of a change in its partition: of a position that was stored, or of a vehicle that was removed.
///
/// Numbers rise in the order of the log. None is given twice: not after a restart, a power cut, a repair or a
/// change of the number of partitions. They have gaps, so that two of them tell which change came first and not
/// how many lie between. As the end of something, an order number is higher than all numbers before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OrderNumber(pub u64);

/// Numbers that one segment of the log can hold, from its first on: its records keep the lower 32 bits.
pub(crate) const SPAN: u64 = 1 << 32;

/// Nanoseconds in a millisecond.
const NS_PER_MS: u64 = 1_000_000;

/// Latest time that counts, in the year 2262. Beyond, a clock is wrong, and a number taken from it would leave too few above.
const LATEST_NS: u64 = i64::MAX as u64;

impl OrderNumber {
    /// Returns the number behind this one.
    #[inline]
    pub(crate) fn next(self) -> OrderNumber {
        OrderNumber(self.0 + 1)
    }

    /// Returns what a record keeps of it.
    #[inline]
    pub(crate) fn low(self) -> u32 {
        self.0 as u32
    }

    /// Returns the number of which a record keeps `low`, in a segment whose numbers begin at `first`.
    #[inline]
    pub(crate) fn widen(first: OrderNumber, low: u32) -> OrderNumber {
        OrderNumber(first.0 + u64::from(low.wrapping_sub(first.low())))
    }

    /// Returns the number behind the last that can stand in a segment whose numbers begin here.
    pub(crate) fn span_end(self) -> OrderNumber {
        OrderNumber(self.0.saturating_add(SPAN))
    }

    /// Returns the first number of a writer that begins now. The last one began with `end`, or its log ends there.
    ///
    /// Numbers from `end` on may have been given and lost with the power, but never as many as are skipped here,
    /// whatever the clock says: they would fill 343 GB. The time makes numbers rise also where a data directory was
    /// made anew: no writer stores a change per nanosecond.
    pub(crate) fn of_new_writer(end: OrderNumber, now_ms: i64) -> OrderNumber {
        // A clock before 1970, or far in the future, leaves the numbers rising all the same.
        let now_ns = u64::try_from(now_ms).unwrap_or(0).saturating_mul(NS_PER_MS).min(LATEST_NS);
        end.span_end().max(OrderNumber(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_and_the_first_number_of_its_segment_give_its_own_number() {
        for first in [0, 7, SPAN - 1, SPAN, 3 * SPAN + 5] {
            for behind in [0, 1, SPAN / 2, SPAN - 1] {
                let number = OrderNumber(first + behind);
                assert_eq!(OrderNumber::widen(OrderNumber(first), number.low()), number);
            }
        }
    }

    #[test]
    fn a_new_writer_begins_above_all_numbers_before_whatever_the_clock_says() {
        let end = OrderNumber(5);
        for now_ms in [i64::MIN, -1, 0, 1] {
            assert_eq!(OrderNumber::of_new_writer(end, now_ms), OrderNumber(5 + SPAN));
        }
        let now_ms = 1_800_000_000_000;
        assert_eq!(OrderNumber::of_new_writer(end, now_ms), OrderNumber(1_800_000_000_000_000_000));
        let far = OrderNumber::of_new_writer(OrderNumber(0), i64::MAX);
        assert!(far > OrderNumber(0) && OrderNumber::of_new_writer(far, i64::MAX) > far);
    }
}
