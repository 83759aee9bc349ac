//! The mailbox of an actor. It belongs to the address, not to the incarnation, and therefore survives a crash.

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

/// A message on its way. Boxed, for one mailbox takes messages of many types.
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

    /// Refuses messages from now on, and counts those that are left as lost.
    pub(crate) fn close(&self) {
        self.queue.close();
        // To drop a call tells its caller.
        let left = self.queue.drain();
        self.process.stats.add_lost(left.len() as u64);
    }
}

/// A message that can be delivered to an actor.
pub(crate) trait Deliver<A: Actor>: Send {
    /// Notes that the actor has it in hand: a caller that gets no answer is told of a crash from now on.
    fn begin(&mut self);
    /// Lets the actor handle the message.
    fn deliver<'a>(self: Box<Self>, actor: &'a mut A, ctx: &'a mut Context<A>) -> BoxFuture<'a, ()>;
    /// Gives the message back to a sender that could not send it.
    fn unpack(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// A message without an answer.
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

/// A message with a caller that waits for the answer.
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
            // Work for a caller that has given up only delays the others.
            if !reply.is_unwanted() {
                reply.send(actor.handle(message, ctx).await);
            }
        })
    }

    fn unpack(self: Box<Self>) -> Box<dyn Any + Send> {
        Box::new(self.message)
    }
}
