//! The station of a connection: among those that are served first, or behind them.
//!
//! A browser asks for everything of one server on one connection: a person with the console open, and the map beside it, would wait for
//! calls for help behind all clients that only look. So a connection on which calls are followed stays where it is, whatever else is asked on it.
//!
//! A connection goes from station to station with all its answers: between two runtimes each piece of an answer would wake a thread.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Station of one connection. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Station {
    wishes: Arc<watch::Sender<Wishes>>,
    front: Handle,
    /// Runtime whose threads come after all others; `None`: there is one station only.
    behind: Option<Handle>,
}

/// Requests on the connection, as far as they decide its station.
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
    /// Returns the station of a new connection, which is among the first: at the runtime that this is called in.
    pub(crate) fn new(behind: Option<Handle>) -> Self {
        Self { wishes: Arc::new(watch::Sender::new(Wishes::default())), front: Handle::current(), behind }
    }

    /// Lets the connection give way to all others from now on, as long as nothing on it is to come first.
    pub(crate) fn give_way(&self) {
        self.wishes.send_if_modified(|wishes| !std::mem::replace(&mut wishes.gives_way, true));
    }

    /// Keeps the connection among the first.
    pub(crate) fn come_first(&self) -> First {
        self.wishes.send_modify(|wishes| wishes.firsts += 1);
        First(self.clone())
    }

    /// Returns true while the connection should be behind the others.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.is_some() && self.wishes.borrow().is_behind()
    }

    /// Waits until the connection should be behind the others, or among the first; for ever if there is no such station.
    pub(crate) async fn wanted(&self, is_behind: bool) {
        if self.behind.is_none() {
            return std::future::pending().await;
        }
        // It cannot fail: the sender is here.
        self.wishes.subscribe().wait_for(|wishes| wishes.is_behind() == is_behind).await.ok();
    }

    /// Does work of the connection at its station, whichever that is at a time, until it is done.
    pub(crate) fn spawn<F: Future<Output = ()> + Unpin + Send + 'static>(self, mut work: F) {
        let is_behind = self.is_behind();
        let runtime = self.behind.as_ref().filter(|_| is_behind).unwrap_or(&self.front).clone();
        runtime.spawn(async move {
            let moved = tokio::select! {
                // The work first: most is done by then, and need not look where it stands.
                biased;
                () = &mut work => false,
                () = self.wanted(!is_behind) => true,
            };
            if moved {
                self.spawn(work);
            }
        });
    }

    /// Does as [`spawn`](Self::spawn), within the caller's own task: `go_on` works until it is done, or until what it is given resolves;
    /// then it returns what is left. Returns the crash of a part that did not run in this task.
    pub(crate) async fn go_between<W, F>(
        &self,
        work: W,
        go_on: impl Fn(W, Station, bool) -> F,
    ) -> Result<(), tokio::task::JoinError>
    where
        W: Send + 'static,
        F: Future<Output = Option<W>> + Send + 'static,
    {
        let mut left = work;
        loop {
            let Some(gives_way) = go_on(left, self.clone(), false).await else { return Ok(()) };
            let behind = self.behind.as_ref().unwrap_or(&self.front);
            // A set, because it ends the task when this one is ended.
            let mut moved = JoinSet::new();
            moved.spawn_on(go_on(gives_way, self.clone(), true), behind);
            match moved.join_next().await.expect("one task was spawned")? {
                Some(comes_back) => left = comes_back,
                None => return Ok(()),
            }
        }
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.0.wishes.send_modify(|wishes| wishes.firsts -= 1);
    }
}
