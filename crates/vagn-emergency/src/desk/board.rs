//! The board: all incidents at the desk, with indexes that are always true.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::indexes::Indexes;
use super::live::Live;
use crate::id::IncidentId;
use crate::rules::Rules;

/// Incidents at the desk.
pub(super) struct Board {
    rules: Arc<Rules>,
    live: BTreeMap<IncidentId, Live>,
    indexes: Indexes,
}

impl Board {
    pub(super) fn new(rules: Arc<Rules>) -> Self {
        Self { rules, live: BTreeMap::new(), indexes: Indexes::default() }
    }

    pub(super) fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    pub(super) fn insert(&mut self, mut live: Live) {
        self.indexes.file(&mut live, &self.rules);
        self.live.insert(live.incident.id, live);
    }

    pub(super) fn remove(&mut self, id: IncidentId) -> Option<Live> {
        let mut live = self.live.remove(&id)?;
        self.indexes.take_out(&mut live);
        Some(live)
    }

    pub(super) fn get(&self, id: IncidentId) -> Option<&Live> {
        self.live.get(&id)
    }

    pub(super) fn contains(&self, id: IncidentId) -> bool {
        self.live.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Updates one incident, and files it anew. There is no other way to a mutable one.
    pub(super) fn update<T>(&mut self, id: IncidentId, update: impl FnOnce(&mut Live) -> T) -> Option<T> {
        let live = self.live.get_mut(&id)?;
        let result = update(live);
        self.indexes.file(live, &self.rules);
        Some(result)
    }

    /// Returns all incidents, the oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Live> {
        self.live.values()
    }

    /// Returns the incidents from `first` on, the oldest first.
    pub(super) fn from(&self, first: IncidentId) -> impl Iterator<Item = &Live> {
        self.live.range(first..).map(|(_, live)| live)
    }

    /// Returns the incidents that are older than `end`, the newest first.
    pub(super) fn before(&self, end: IncidentId) -> impl Iterator<Item = &Live> {
        self.live.range(..end).rev().map(|(_, live)| live)
    }
}
