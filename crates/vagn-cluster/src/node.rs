//! A node: all parts put together.

use crate::command::Command;
use crate::event::Event;
use crate::ids::{Moment, ShardId};
use crate::settings::Settings;
use crate::state::ShardState;
use crate::view::{Counts, ShardView};

/// A machine of the cluster.
#[derive(Debug)]
pub struct Node<S> {
    settings: Settings,
    states: Vec<(ShardId, S)>,
    counts: Counts,
}

impl<S: ShardState> Node<S> {
    /// Makes a node that knows nothing yet: its first events tell what is on disk.
    pub fn new(settings: Settings) -> Self {
        Self { settings, states: Vec::new(), counts: Counts::default() }
    }

    /// Takes in what happened, and appends what is to be done to `out`.
    pub fn handle(&mut self, _now: Moment, _event: Event, _out: &mut Vec<Command>) {}

    /// Returns the settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns its replicas, by rising number of the shard.
    pub fn shards(&self) -> Vec<ShardView> {
        Vec::new()
    }

    /// Returns the content of a replica: for tests and for a driver that reads it in place.
    pub fn state(&self, shard: ShardId) -> Option<&S> {
        self.states.iter().find(|(own, _)| *own == shard).map(|(_, state)| state)
    }

    /// Returns what became of the changes that came in through this node.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
