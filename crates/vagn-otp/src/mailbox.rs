//! The mailbox of an actor. It belongs to the address, not to the incarnation, and so survives a crash.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::actor::{Actor, Handle};
use crate::context::Context;
use crate::process::Process;
use crate::queue::Queue;
use crate::reply::Reply;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A message on its way, its type known only to itself.
pub(crate) type Envelope<A> = Box<dyn Deliver<A>>;

pub(crate) struct Mailbox<A: Actor> {
    pub(crate) process: Arc<Process>,
    pub(crate) queue: Queue<Envelope<A>>,
}

impl<A: Actor> Mailbox<A> {
    pub(crate) fn new(process: Arc<Process>, capacity: usize) -> Arc<Self> {
        let queue: Queue<Envelope<A>> = Queue::new(capacity);
        let watched = queue.clone();
        process.stats.watch_mailbox(Box::new(move || watched.backlog()));
        Arc::new(Mailbox { process, queue })
    }

    /// Nobody will handle what comes or what is left.
    pub(crate) fn close(&self) {
        self.queue.close();
        let left = self.queue.drain();
        self.process.stats.add_lost(left.len() as u64);
    }
}

/// What an envelope can do with an actor.
pub(crate) trait Deliver<A: Actor>: Send {
    /// The actor has it in hand: from now on, a caller who gets no answer is told of a crash.
    fn begin(&mut self);
    /// Handles the message.
    fn deliver<'a>(self: Box<Self>, actor: &'a mut A, ctx: &'a mut Context<A>) -> BoxFuture<'a, ()>;
    /// Gives the message back, for a sender that could not send it.
    fn unpack(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// A message that wants no answer.
pub(crate) struct Tell<M>(pub(crate) M);

impl<M: Send + 'static, A: Handle<M>> Deliver<A> for Tell<M> {
    fn begin(&mut self) {}

    fn deliver<'a>(self: Box<Self>, actor: &'a mut A, ctx: &'a mut Context<A>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            actor.handle(self.0, ctx).await;
        })
    }

    fn unpack(self: Box<Self>) -> Box<dyn Any + Send> {
        Box::new(self.0)
    }
}

/// A message whose sender waits.
pub(crate) struct Call<M, R> {
    pub(crate) message: M,
    pub(crate) reply: Reply<R>,
}

impl<M: Send + 'static, A: Handle<M>> Deliver<A> for Call<M, A::Reply> {
    fn begin(&mut self) {
        self.reply.begin();
    }

    fn deliver<'a>(self: Box<Self>, actor: &'a mut A, ctx: &'a mut Context<A>) -> BoxFuture<'a, ()> {
        let Call { message, reply } = *self;
        Box::pin(async move {
            // Work for a caller who has given up only delays the others.
            if !reply.is_unwanted() {
                reply.send(actor.handle(message, ctx).await);
            }
        })
    }

    fn unpack(self: Box<Self>) -> Box<dyn Any + Send> {
        Box::new(self.message)
    }
}
