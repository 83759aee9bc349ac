//! The handle of a supervisor, which changes its children while it runs.

use tokio::sync::{mpsc, oneshot};

use super::{Event, StartError};
use crate::child::ChildSpec;

/// Adds and removes children of a running supervisor. Valid across its restarts.
#[derive(Clone)]
pub struct SupervisorHandle {
    pub(super) events: mpsc::UnboundedSender<Event>,
}

impl SupervisorHandle {
    /// Adds a child after the others, and waits until it is ready. If its start fails, it is forgotten again. It is kept over
    /// restarts of the supervisor, as its first children are.
    pub async fn add(&self, spec: ChildSpec) -> Result<(), StartError> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Add(Box::new(spec), reply)).map_err(|_| StartError::Down)?;
        answer.await.unwrap_or(Err(StartError::Down))
    }

    /// Stops a child as at a shutdown, and forgets it. Returns false if there is none of this name.
    pub async fn remove(&self, name: &str) -> bool {
        let (reply, answer) = oneshot::channel();
        let asked = self.events.send(Event::Remove(name.to_owned(), reply)).is_ok();
        asked && answer.await.unwrap_or(false)
    }
}
