//! The address of an actor: it reaches the actor across its restarts.

use std::sync::Arc;
use std::time::Duration;

use crate::actor::{Actor, Handle};
use crate::mailbox::{Call, Envelope, Mailbox, Tell};
use crate::park;
use crate::queue::PushError;
use crate::recipient::Recipient;
use crate::reply::{CallError, Reply, outcome};
use crate::stats::Stats;
use crate::sync::ThreadInstant;
use crate::sync::time::{Instant, timeout_at};

/// A message that was not accepted, given back with the reason.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TellError<M> {
    /// No room in the mailbox, or none within the time given.
    #[error("the mailbox is full")]
    Full(M),
    /// The actor has ended for good.
    #[error("the process has ended")]
    Down(M),
}

/// Shows the reason without the message, so that messages need not be `Debug`.
impl<M> std::fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, TellError::Full(_)) { "Full(..)" } else { "Down(..)" })
    }
}

impl<M> TellError<M> {
    /// Returns the message that was not accepted.
    pub fn into_inner(self) -> M {
        match self {
            TellError::Full(message) | TellError::Down(message) => message,
        }
    }

    pub(crate) fn call_error(&self) -> CallError {
        match self {
            TellError::Full(_) => CallError::Full,
            TellError::Down(_) => CallError::Down,
        }
    }
}

/// Address of an actor. Cheap to clone; stays valid across restarts of the actor and of its supervisors.
///
/// Messages wait while the actor is being restarted. `Down` means that it will not come back by itself.
pub struct Addr<A: Actor> {
    pub(crate) mailbox: Arc<Mailbox<A>>,
}

impl<A: Actor> Addr<A> {
    /// Returns the actor's name.
    pub fn name(&self) -> &str {
        &self.mailbox.process.name
    }

    /// Returns the actor's counters.
    pub fn stats(&self) -> Arc<Stats> {
        self.mailbox.process.stats.clone()
    }

    /// Sends a message, or gives it back. Never waits.
    pub fn try_tell<M: Send + 'static>(&self, message: M) -> Result<(), TellError<M>>
    where
        A: Handle<M>,
    {
        self.try_send(Box::new(Tell(message)))
    }

    /// Sends a message, waiting at most `within` for room.
    pub async fn tell<M: Send + 'static>(&self, message: M, within: Duration) -> Result<(), TellError<M>>
    where
        A: Handle<M>,
    {
        self.send(Box::new(Tell(message)), within).await
    }

    /// [`tell`](Self::tell) from a plain thread, which sleeps meanwhile.
    pub fn tell_blocking<M: Send + 'static>(&self, message: M, within: Duration) -> Result<(), TellError<M>>
    where
        A: Handle<M>,
    {
        self.send_blocking(Box::new(Tell(message)), within)
    }

    /// Sends a message and waits for its reply. `within` covers the wait for room, the queue and the work. If the actor crashes
    /// while it handles the call, the caller is told at once. If the future is dropped, a call still in the queue is not
    /// handled.
    pub async fn call<M: Send + 'static>(&self, message: M, within: Duration) -> Result<A::Reply, CallError>
    where
        A: Handle<M>,
    {
        // Taken before the message is sent: the wait for room counts, too.
        let deadline = Instant::now() + within;
        let (reply, answer) = Reply::new();
        self.send::<M>(Box::new(Call { message, reply }), within)
            .await
            .map_err(|error| error.call_error())?;
        timeout_at(deadline, answer).await.map_or(Err(CallError::Timeout), outcome)
    }

    /// [`call`](Self::call) from a plain thread, which sleeps meanwhile.
    pub fn call_blocking<M: Send + 'static>(
        &self,
        message: M,
        within: Duration,
    ) -> Result<A::Reply, CallError>
    where
        A: Handle<M>,
    {
        // The real clock, for a parked thread sleeps in real time, and may know of no runtime.
        let begun = ThreadInstant::now();
        let (reply, answer) = Reply::new();
        self.send_blocking::<M>(Box::new(Call { message, reply }), within)
            .map_err(|error| error.call_error())?;
        let left = within.saturating_sub(begun.elapsed());
        park::wait(std::pin::pin!(answer), left).map_or(Err(CallError::Timeout), outcome)
    }

    /// Returns the address without the actor's type, for one kind of message.
    pub fn recipient<M: Send + 'static>(&self) -> Recipient<M, A::Reply>
    where
        A: Handle<M>,
    {
        Recipient::new(self.clone())
    }

    pub(crate) fn try_send<M: 'static>(&self, envelope: Envelope<A>) -> Result<(), TellError<M>> {
        self.sent(self.mailbox.queue.try_push(envelope))
    }

    pub(crate) async fn send<M: 'static>(
        &self,
        envelope: Envelope<A>,
        within: Duration,
    ) -> Result<(), TellError<M>> {
        self.sent(self.mailbox.queue.push(envelope, within).await)
    }

    pub(crate) fn send_blocking<M: 'static>(
        &self,
        envelope: Envelope<A>,
        within: Duration,
    ) -> Result<(), TellError<M>> {
        self.sent(self.mailbox.queue.push_blocking(envelope, within))
    }

    /// Counts the outcome of a send, and unpacks a message that comes back.
    fn sent<M: 'static>(&self, result: Result<(), PushError<Envelope<A>>>) -> Result<(), TellError<M>> {
        let stats = &self.mailbox.process.stats;
        match result {
            Ok(()) => {
                stats.add_sent();
                Ok(())
            }
            Err(PushError::Full(envelope)) => {
                stats.add_full();
                Err(TellError::Full(unpack(envelope)))
            }
            Err(PushError::Closed(envelope)) => {
                stats.add_down();
                Err(TellError::Down(unpack(envelope)))
            }
        }
    }
}

fn unpack<A: Actor, M: 'static>(envelope: Envelope<A>) -> M {
    *envelope.unpack().downcast().expect("an envelope gives back the message that was put in")
}

impl<A: Actor> Clone for Addr<A> {
    fn clone(&self) -> Self {
        Addr { mailbox: self.mailbox.clone() }
    }
}

impl<A: Actor> std::fmt::Debug for Addr<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Addr").field(&self.name()).finish()
    }
}
