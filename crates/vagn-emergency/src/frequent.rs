//! The most frequent of many, in the memory of one: the majority vote of Boyer and Moore.

/// The value that makes up more than half of all that were noted; if there is none such, any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frequent<T> {
    /// A value, and how many more of it there were than of others since it was taken up.
    leader: Option<(T, u64)>,
}

impl<T> Default for Frequent<T> {
    fn default() -> Self {
        Self { leader: None }
    }
}

impl<T: Copy + PartialEq> Frequent<T> {
    pub(crate) fn note(&mut self, value: T) {
        self.note_many(value, 1);
    }

    /// Notes what another has noted.
    pub(crate) fn note_all(&mut self, other: Self) {
        if let Some((value, times)) = other.leader {
            self.note_many(value, times);
        }
    }

    pub(crate) fn get(&self) -> Option<T> {
        self.leader.map(|(value, _)| value)
    }

    fn note_many(&mut self, value: T, times: u64) {
        self.leader = match self.leader {
            Some((leader, lead)) if leader == value => Some((leader, lead + times)),
            Some((leader, lead)) if lead >= times => Some((leader, lead - times)),
            other => Some((value, times - other.map_or(0, |(_, lead)| lead))),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_makes_up_more_than_half_in_whatever_order() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut all: Vec<u32> = (0..100).chain([7; 101]).collect();
        for _ in 0..100 {
            rng.shuffle(&mut all);
            let (mut one, mut two) = (Frequent::default(), Frequent::default());
            all[..90].iter().for_each(|value| one.note(*value));
            all[90..].iter().for_each(|value| two.note(*value));
            let mut whole = Frequent::default();
            all.iter().for_each(|value| whole.note(*value));
            assert_eq!(whole.get(), Some(7));
            one.note_all(two);
            assert!(one.get().is_some());
        }
        assert_eq!(Frequent::<u32>::default().get(), None);
    }
}
