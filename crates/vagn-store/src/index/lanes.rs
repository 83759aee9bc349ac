//! Four of a kind compared at once: the processor does it in one go, where four ifs are four branches, badly foretold.

/// Some of the four lanes, in ascending order.
pub(super) struct Lanes {
    /// A bit for each that is still to be given.
    left: u32,
}

impl Lanes {
    /// Returns the lanes for which `holds` is true. It is called for all four before anything is done with the first,
    /// so it should be arithmetic without branches.
    #[inline]
    pub(super) fn that(holds: impl Fn(usize) -> bool) -> Lanes {
        Lanes { left: (0..4).fold(0, |left, lane| left | u32::from(holds(lane)) << lane) }
    }
}

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let lane = self.left.trailing_zeros() as usize;
        self.left &= self.left.wrapping_sub(1);
        (lane < 4).then_some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_holds_in_order() {
        for bits in 0..16_usize {
            let lanes: Vec<_> = Lanes::that(|lane| bits >> lane & 1 == 1).collect();
            let want: Vec<_> = (0..4).filter(|lane| bits & (1 << lane) != 0).collect();
            assert_eq!(lanes, want);
        }
    }
}
