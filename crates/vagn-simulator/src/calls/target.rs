//! Target: takes messages about incidents, refuses them, or is silent. It remembers what each key meant.

use std::collections::{BTreeMap, BTreeSet};

use vagn_cluster::trail::AlarmId;

use crate::agenda::{MILLI, SECOND};
use crate::chance::Chance;

/// Time without an answer after which a caller gives up.
const SILENCE: u64 = 2 * SECOND;

/// How a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Accepts,
    Refuses,
    Silent,
    /// Any of these, and answers are lost.
    Fickle,
}

/// A target.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) mood: Mood,
    /// What was told under each key, accepted or not.
    keys: BTreeMap<(usize, AlarmId, u64), u64>,
    /// Incidents whose opening was accepted.
    opened: BTreeSet<AlarmId>,
    /// Number of the latest message about an incident that was accepted at a place, with all that was told under it.
    learned: BTreeMap<(usize, AlarmId), (u64, BTreeSet<u64>)>,
}

/// What comes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) delay: u64,
    /// The caller hears that it was accepted.
    pub(crate) is_heard: bool,
    /// It was accepted, heard or not.
    pub(crate) is_accepted: bool,
}

impl Target {
    pub(crate) fn new() -> Self {
        Self { mood: Mood::Accepts, keys: BTreeMap::new(), opened: BTreeSet::new(), learned: BTreeMap::new() }
    }

    /// Takes a message at one of its places, which know nothing of each other.
    ///
    /// # Errors
    /// What was told under its key before, if that meant something else.
    pub(crate) fn tell(
        &mut self,
        place: usize,
        (incident, number): (AlarmId, u64),
        meaning: u64,
        chance: &mut Chance,
    ) -> Result<Answer, u64> {
        let before = *self.keys.entry((place, incident, number)).or_insert(meaning);
        if before != meaning {
            return Err(before);
        }
        let mood = match self.mood {
            Mood::Fickle => chance.pick(&[Mood::Accepts, Mood::Accepts, Mood::Refuses, Mood::Silent]),
            mood => mood,
        };
        let is_accepted = mood == Mood::Accepts;
        let is_heard = is_accepted && (self.mood == Mood::Accepts || !chance.often(3_000));
        let delay = match mood {
            Mood::Silent => SILENCE,
            _ if is_accepted && !is_heard => SILENCE,
            _ => chance.within(2 * MILLI..=60 * MILLI),
        };
        if is_accepted && number == 0 {
            self.opened.insert(incident);
        }
        Ok(Answer { delay, is_heard, is_accepted })
    }

    /// Remembers what an accepted message has told.
    pub(crate) fn learn(&mut self, place: usize, (incident, number): (AlarmId, u64), telling: u64) {
        let (latest, tellings) = self.learned.entry((place, incident)).or_default();
        if number > *latest {
            (*latest, *tellings) = (number, BTreeSet::new());
        }
        // An opening has one key, whoever tells it and however much later.
        if number == *latest {
            tellings.insert(telling);
        }
    }

    /// Returns true if this is what the latest message has told.
    pub(crate) fn knows(&self, place: usize, incident: AlarmId, telling: u64) -> bool {
        self.learned.get(&(place, incident)).is_some_and(|(_, tellings)| tellings.contains(&telling))
    }

    /// Returns true once somebody told it the opening of an incident, whatever it answered.
    pub(crate) fn has_heard(&self, incident: AlarmId) -> bool {
        self.keys.contains_key(&(0, incident, 0))
    }

    pub(crate) fn has_opened(&self, incident: AlarmId) -> bool {
        self.opened.contains(&incident)
    }
}
