//! An actor: a state, and one handler per kind of message.

use std::future::{Future, ready};

use crate::context::Context;
use crate::exit::Failure;

/// A state that handles its messages one after another. [`ChildSpec::actor`](crate::ChildSpec::actor) runs one.
pub trait Actor: Sized + Send + 'static {
    /// Runs before the first message of each incarnation. The child counts as started when this is done, and as not started
    /// when it returns an error.
    fn started(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = ctx;
        ready(Ok(()))
    }

    /// Runs after the last message of a graceful stop.
    fn stopped(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// An actor that handles one kind of message.
///
/// A handler on the runtime must not block the thread; an actor [on its own thread](crate::ChildSpec::on_thread) may.
pub trait Handle<M: Send + 'static>: Actor {
    /// Answer to a caller; `()` for messages that are only told.
    type Reply: Send + 'static;

    /// Handles one message. A panic ends this incarnation; the message is lost, the mailbox is not.
    fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> impl Future<Output = Self::Reply> + Send;
}
