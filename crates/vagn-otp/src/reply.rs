//! The way back of a call. It always answers: with the reply, or with an error when it is dropped.

use tokio::sync::oneshot;

/// The reason why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The mailbox had no room for it.
    #[error("the mailbox is full")]
    Full,
    /// The process has ended for good.
    #[error("the process has ended")]
    Down,
    /// The process crashed while it handled the call, and may have done a part of it.
    #[error("the process crashed while it handled the call")]
    Crashed,
    /// No answer came in time. A call that was still waiting is not handled.
    #[error("no answer in time")]
    Timeout,
}

/// Answers one caller. If it is dropped unused, the caller is told at once.
pub struct Reply<R> {
    caller: Option<oneshot::Sender<Result<R, CallError>>>,
    begun: bool,
}

/// The caller's end, to wait on.
pub(crate) type Answer<R> = oneshot::Receiver<Result<R, CallError>>;

impl<R> Reply<R> {
    pub(crate) fn new() -> (Reply<R>, Answer<R>) {
        let (caller, answer) = oneshot::channel();
        (Reply { caller: Some(caller), begun: false }, answer)
    }

    /// Notes that the work has begun: a drop means a crash from now on.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Answers the caller, if it still waits.
    pub fn send(mut self, reply: R) {
        self.answer(Ok(reply));
    }

    /// Returns true if the caller waits no longer, so that the work can be spared.
    pub fn is_unwanted(&self) -> bool {
        self.caller.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn answer(&mut self, answer: Result<R, CallError>) {
        if let Some(caller) = self.caller.take() {
            caller.send(answer).ok();
        }
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        // A panic that unwinds through its holder is a crash, even before the work has begun.
        let crashed = self.begun || std::thread::panicking();
        self.answer(Err(if crashed { CallError::Crashed } else { CallError::Down }));
    }
}

impl<R> std::fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// Turns the end of a wait for an answer into the outcome of the call.
pub(crate) fn outcome<R>(
    answer: Result<Result<R, CallError>, oneshot::error::RecvError>,
) -> Result<R, CallError> {
    answer.unwrap_or(Err(CallError::Crashed))
}
