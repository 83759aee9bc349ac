//! Sightings on their way to one partition, in the order in which they are to be stored.
//!
//! Made once and refilled: after the first few batches nothing here allocates, neither per update nor per
//! batch.

use crate::{Evidence, Key, Sighting};

/// A batch of sightings for one partition.
#[derive(Debug, Default, Clone)]
pub struct Updates {
    entries: Vec<Entry>,
    /// The ids that are not UUIDs, one after another.
    texts: String,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: EntryKey,
    hash: u64,
    sighting: Sighting,
    evidence: Evidence,
}

#[derive(Debug, Clone, Copy)]
enum EntryKey {
    Uuid([u8; 16]),
    Text { start: u32, len: u32 },
}

impl EntryKey {
    #[inline]
    fn of(self, texts: &str) -> Key<'_> {
        match self {
            Self::Uuid(bytes) => Key::Uuid(bytes),
            Self::Text { start, len } => Key::Text(&texts[start as usize..(start + len) as usize]),
        }
    }
}

/// One sighting with the key of its vehicle.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// Key of the vehicle.
    pub key: Key<'a>,
    /// `key.hash()`, worked out once, when the partition was chosen.
    pub hash: u64,
    /// The sighting itself.
    pub sighting: &'a Sighting,
    /// What is known of the report beside.
    pub evidence: &'a Evidence,
}

impl Updates {
    /// Returns an empty batch.
    pub fn new() -> Updates {
        Updates::default()
    }

    /// Returns an empty batch with room for so many sightings.
    pub fn with_capacity(sightings: usize) -> Updates {
        Updates { entries: Vec::with_capacity(sightings), texts: String::new() }
    }

    /// Adds a sighting of the vehicle `key`, whose hash is `hash`, of a report without seal and oddity.
    #[inline]
    pub fn push(&mut self, key: Key<'_>, hash: u64, sighting: Sighting) {
        self.push_with(key, hash, sighting, Evidence::default());
    }

    /// Adds a sighting of the vehicle `key`, whose hash is `hash`, with what is known of its report beside.
    // Inlined into ingest, where a call per report costs a copy of the sighting.
    #[inline]
    pub fn push_with(&mut self, key: Key<'_>, hash: u64, sighting: Sighting, evidence: Evidence) {
        let key = match key {
            Key::Uuid(bytes) => EntryKey::Uuid(bytes),
            Key::Text(text) => self.keep(text),
        };
        self.entries.push(Entry { key, hash, sighting, evidence });
    }

    /// Takes out the sightings for which `keeps` says false. It is told where each one stood, and may change it and what is known of
    /// its report.
    pub fn retain_at<'a>(
        &'a mut self,
        mut keeps: impl FnMut(usize, Key<'a>, &mut Sighting, &mut Evidence) -> bool,
    ) {
        let (texts, mut at) = (&self.texts, 0);
        self.entries.retain_mut(|entry| {
            let is_kept = keeps(at, entry.key.of(texts), &mut entry.sighting, &mut entry.evidence);
            at += 1;
            is_kept
        });
    }

    /// Counts the sightings.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true when there is no sighting.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the sighting at `at`, or `None` past the end.
    pub fn get(&self, at: usize) -> Option<Update<'_>> {
        self.entries.get(at).map(|entry| self.update(entry))
    }

    /// Returns the sighting at `at` alone, which must be within the batch.
    #[inline]
    pub(crate) fn sighting(&self, at: usize) -> &Sighting {
        &self.entries[at].sighting
    }

    /// Returns the sightings in order, each with the hash of its vehicle. The keys, which cost more than both, are left out.
    #[inline]
    pub(crate) fn sightings(&self) -> impl Iterator<Item = (u64, &Sighting)> {
        self.entries.iter().map(|entry| (entry.hash, &entry.sighting))
    }

    /// Returns the sightings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Update<'_>> + Clone {
        self.entries.iter().map(|entry| self.update(entry))
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.texts.clear();
    }

    fn keep(&mut self, text: &str) -> EntryKey {
        let start = u32::try_from(self.texts.len()).expect("a batch holds far less than 4 GiB of ids");
        let len = u32::try_from(text.len()).expect("an id has at most 64 bytes");
        self.texts.push_str(text);
        EntryKey::Text { start, len }
    }

    #[inline]
    fn update<'a>(&'a self, entry: &'a Entry) -> Update<'a> {
        Update {
            key: entry.key.of(&self.texts),
            hash: entry.hash,
            sighting: &entry.sighting,
            evidence: &entry.evidence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_wire::Position;

    fn sighting(receive_seq: u64) -> Sighting {
        Sighting {
            position: Position::new(59.33, 18.06).unwrap(),
            event_time_ms: 1,
            receive_time_ms: 2,
            receive_seq,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency: false,
            own_time: false,
            unsure: false,
        }
    }

    #[test]
    fn gives_back_what_was_pushed_in_order() {
        let keys = [Key::Text("bus 7"), Key::Uuid([9; 16]), Key::Text(""), Key::Text("båt")];
        let mut updates = Updates::new();
        for round in 0..2 {
            updates.clear();
            for (at, key) in keys.iter().enumerate() {
                updates.push(*key, at as u64, sighting(round + at as u64));
            }
            let got: Vec<_> = updates.iter().map(|u| (u.key, u.hash, u.sighting.receive_seq)).collect();
            let sent: Vec<_> = keys.iter().zip(0..).map(|(key, at)| (*key, at, round + at)).collect();
            assert_eq!(got, sent);
        }
    }

    #[test]
    fn keeps_what_is_to_be_kept_as_it_was_changed() {
        let mut updates = Updates::new();
        for (seq, key) in ["a", "b", "c"].into_iter().enumerate() {
            updates.push(Key::Text(key), 0, sighting(seq as u64));
        }
        let mut told = Vec::new();
        updates.retain_at(|at, key, sighting, _| {
            told.push((at, key.to_string()));
            sighting.seq = Some(9);
            at != 1
        });
        assert_eq!(told, [(0, "a"), (1, "b"), (2, "c")].map(|(at, key)| (at, key.to_owned())));
        let left: Vec<_> =
            updates.iter().map(|update| (update.key.to_string(), update.sighting.seq)).collect();
        assert_eq!(left, ["a", "c"].map(|key| (key.to_owned(), Some(9))));
    }

    #[test]
    fn has_nothing_past_its_end() {
        let mut updates = Updates::new();
        assert!(updates.is_empty() && updates.get(0).is_none());
        updates.push(Key::Text("a"), 0, sighting(0));
        assert_eq!(updates.len(), 1);
        assert!(updates.get(0).is_some() && updates.get(1).is_none());
    }
}
