//! The station of a connection: among those that are served first, or behind them.
//!
//! A browser asks for everything of one server on one connection: a person who has the console open, and the map beside it, would wait for
//! calls for help behind all who only look. So a connection on which calls are followed stays where it is, whatever else is asked on it.

use std::sync::Arc;

use tokio::sync::watch;

/// Station of one connection. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Station(Arc<watch::Sender<Wishes>>);

/// What was asked on the connection, as far as it decides its station.
#[derive(Debug, Clone, Copy, Default)]
struct Wishes {
    /// Pictures were asked for, which may be late.
    gives_way: bool,
    /// Answers under way that may not be late.
    firsts: usize,
}

/// Keeps its connection among the first, until it is dropped.
#[derive(Debug)]
pub struct First(Station);

impl Wishes {
    fn is_behind(self) -> bool {
        self.gives_way && self.firsts == 0
    }
}

impl Station {
    /// Returns the station of a new connection, which is among the first.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Wishes::default())))
    }

    /// Lets the connection give way to all others from now on, as long as nothing on it is to come first.
    pub(crate) fn give_way(&self) {
        self.0.send_if_modified(|wishes| !std::mem::replace(&mut wishes.gives_way, true));
    }

    /// Keeps the connection among the first.
    pub(crate) fn come_first(&self) -> First {
        self.0.send_modify(|wishes| wishes.firsts += 1);
        First(self.clone())
    }

    /// Waits until the connection should go on behind the others, or among the first.
    pub(crate) async fn wanted(&self, is_behind: bool) {
        // It cannot fail: the sender is here.
        self.0.subscribe().wait_for(|wishes| wishes.is_behind() == is_behind).await.ok();
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.0.0.send_modify(|wishes| wishes.firsts -= 1);
    }
}
