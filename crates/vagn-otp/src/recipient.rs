//! A receiver of one type of message: an actor whose type is hidden, or a probe in its place.

use std::sync::Arc;
use std::time::Duration;

use crate::actor::Handle;
use crate::addr::{Addr, TellError};
use crate::mailbox::{BoxFuture, Call, Envelope, Tell};
use crate::park;
use crate::reply::{CallError, Reply, outcome};
use crate::stats::Stats;
use crate::sync::ThreadInstant;
use crate::sync::time::{Instant, timeout_at};

/// Address for messages `M` with replies `R`. Hold this instead of an [`Addr`] where a test should be able to put a probe.
pub struct Recipient<M, R = ()> {
    target: Arc<dyn Target<M, R>>,
}

/// The receiver behind a recipient. A message with a reply is a call.
pub(crate) trait Target<M, R>: Send + Sync {
    fn name(&self) -> &str;
    fn stats(&self) -> Arc<Stats>;
    fn offer(&self, message: M) -> Result<(), TellError<M>>;
    fn send(
        &self,
        message: M,
        reply: Option<Reply<R>>,
        within: Duration,
    ) -> BoxFuture<'_, Result<(), TellError<M>>>;
    fn send_blocking(
        &self,
        message: M,
        reply: Option<Reply<R>>,
        within: Duration,
    ) -> Result<(), TellError<M>>;
}

impl<M: Send + 'static, R: Send + 'static> Recipient<M, R> {
    pub(crate) fn new(target: impl Target<M, R> + 'static) -> Self {
        Recipient { target: Arc::new(target) }
    }

    /// Returns the name of the receiver.
    pub fn name(&self) -> &str {
        self.target.name()
    }

    /// Returns the receiver's counters.
    pub fn stats(&self) -> Arc<Stats> {
        self.target.stats()
    }

    /// Sends a message, or gives it back, as [`Addr::try_tell`].
    pub fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        self.target.offer(message)
    }

    /// Sends a message, as [`Addr::tell`].
    pub async fn tell(&self, message: M, within: Duration) -> Result<(), TellError<M>> {
        self.target.send(message, None, within).await
    }

    /// Sends a message from a plain thread, as [`Addr::tell_blocking`].
    pub fn tell_blocking(&self, message: M, within: Duration) -> Result<(), TellError<M>> {
        self.target.send_blocking(message, None, within)
    }

    /// Sends a message and waits for the reply, as [`Addr::call`].
    pub async fn call(&self, message: M, within: Duration) -> Result<R, CallError> {
        let deadline = Instant::now() + within;
        let (reply, answer) = Reply::new();
        self.target.send(message, Some(reply), within).await.map_err(|error| error.call_error())?;
        timeout_at(deadline, answer).await.map_or(Err(CallError::Timeout), outcome)
    }

    /// Sends a message and waits for the reply on a plain thread, as [`Addr::call_blocking`].
    pub fn call_blocking(&self, message: M, within: Duration) -> Result<R, CallError> {
        let begun = ThreadInstant::now();
        let (reply, answer) = Reply::new();
        self.target.send_blocking(message, Some(reply), within).map_err(|error| error.call_error())?;
        let left = within.saturating_sub(begun.elapsed());
        park::wait(std::pin::pin!(answer), left).map_or(Err(CallError::Timeout), outcome)
    }
}

impl<M: Send + 'static, A: Handle<M>> Target<M, A::Reply> for Addr<A> {
    fn name(&self) -> &str {
        Addr::name(self)
    }

    fn stats(&self) -> Arc<Stats> {
        Addr::stats(self)
    }

    fn offer(&self, message: M) -> Result<(), TellError<M>> {
        self.try_tell(message)
    }

    fn send(
        &self,
        message: M,
        reply: Option<Reply<A::Reply>>,
        within: Duration,
    ) -> BoxFuture<'_, Result<(), TellError<M>>> {
        Box::pin(Addr::send(self, envelope(message, reply), within))
    }

    fn send_blocking(
        &self,
        message: M,
        reply: Option<Reply<A::Reply>>,
        within: Duration,
    ) -> Result<(), TellError<M>> {
        Addr::send_blocking(self, envelope(message, reply), within)
    }
}

fn envelope<M: Send + 'static, A: Handle<M>>(message: M, reply: Option<Reply<A::Reply>>) -> Envelope<A> {
    match reply {
        Some(reply) => Box::new(Call { message, reply }),
        None => Box::new(Tell(message)),
    }
}

impl<M, R> Clone for Recipient<M, R> {
    fn clone(&self) -> Self {
        Recipient { target: self.target.clone() }
    }
}

impl<M, R> std::fmt::Debug for Recipient<M, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Recipient").field(&self.target.name()).finish()
    }
}
