//! The way back of a call. It always answers: with the reply, or, when dropped, with what went wrong.

use tokio::sync::oneshot;

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There was no room for it.
    #[error("the mailbox is full")]
    Full,
    /// Nobody will handle it any more.
    #[error("the process has ended")]
    Down,
    /// Whoever handled it crashed meanwhile, and may have done a part of it.
    #[error("the process crashed while it handled the call")]
    Crashed,
    /// No answer in time. It will not be handled if it was still waiting.
    #[error("no answer in time")]
    Timeout,
}

/// Answers one caller. Dropped unused, it tells the caller at once.
pub struct Reply<R> {
    caller: Option<oneshot::Sender<Result<R, CallError>>>,
    begun: bool,
}

/// What the caller waits on.
pub(crate) type Answer<R> = oneshot::Receiver<Result<R, CallError>>;

impl<R> Reply<R> {
    pub(crate) fn new() -> (Reply<R>, Answer<R>) {
        let (caller, answer) = oneshot::channel();
        (Reply { caller: Some(caller), begun: false }, answer)
    }

    /// Says that work has begun: from now on, being dropped means a crash.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Answers. A caller that has gone does not mind.
    pub fn send(mut self, reply: R) {
        self.answer(Ok(reply));
    }

    /// True when the caller waits no longer; the work can be spared.
    pub fn is_unwanted(&self) -> bool {
        self.caller.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn answer(&mut self, answer: Result<R, CallError>) {
        if let Some(caller) = self.caller.take() {
            drop(caller.send(answer));
        }
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        let crashed = self.begun || std::thread::panicking();
        self.answer(Err(if crashed { CallError::Crashed } else { CallError::Down }));
    }
}

impl<R> std::fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// What an ended wait for an answer means.
pub(crate) fn outcome<R>(
    answer: Result<Result<R, CallError>, oneshot::error::RecvError>,
) -> Result<R, CallError> {
    answer.unwrap_or(Err(CallError::Crashed))
}
