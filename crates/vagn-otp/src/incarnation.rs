//! One incarnation of an actor: start, messages, stop.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use crate::actor::Actor;
use crate::child::{Body, Launch};
use crate::context::{Context, OwnEnd};
use crate::exit::Failure;
use crate::life::{Life, Order};
use crate::mailbox::{Envelope, Mailbox};
use crate::queue::Queue;
use crate::sync::time::{Instant, sleep_until};

/// Messages after which an actor that is never idle yields to other tasks, and to a kill. Each yield
/// is a way through the scheduler, which does not count once it is spread over so many.
const YIELD_EVERY: u32 = 64;

pub(crate) struct ActorBody<A: Actor, F> {
    mailbox: Arc<Mailbox<A>>,
    new: Arc<F>,
}

impl<A: Actor, F: Fn() -> A + Send + Sync + 'static> ActorBody<A, F> {
    pub(crate) fn new(mailbox: Arc<Mailbox<A>>, new: F) -> Self {
        ActorBody { mailbox, new: Arc::new(new) }
    }
}

impl<A: Actor, F: Fn() -> A + Send + Sync + 'static> Body for ActorBody<A, F> {
    fn start(&mut self, launch: Launch) {
        let new = self.new.clone();
        let mailbox = self.mailbox.clone();
        let life = launch.life.clone();
        launch.future(async move {
            // Here and not before, so that a panic in it counts as one of the incarnation.
            let actor = new();
            live(actor, Context::new(life, mailbox)).await
        });
    }

    fn open(&mut self) {
        self.mailbox.queue.reopen();
    }

    fn close(&mut self) {
        self.mailbox.close();
    }
}

impl<A: Actor, F> Drop for ActorBody<A, F> {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

async fn live<A: Actor>(mut actor: A, mut ctx: Context<A>) -> Result<(), Failure> {
    actor.started(&mut ctx).await?;
    ctx.life.ready();
    let mut pace = Pace { now: Instant::now(), since_yield: 0 };
    loop {
        match next(&mut ctx, &mut pace).await {
            Next::Message(message) => handle(message, &mut actor, &mut ctx, &mut pace).await,
            Next::Order(order) => {
                // Before a restart the messages stay in the mailbox for the next incarnation.
                if matches!(order, Order::Remove | Order::Shutdown) {
                    drain(&mut actor, &mut ctx, &mut pace).await?;
                }
                break;
            }
        }
        match ctx.own_end.take() {
            None => {}
            Some(OwnEnd::Stop) => break,
            Some(OwnEnd::Fail(failure)) => return Err(failure),
        }
    }
    // A killed actor must end at once.
    if ctx.life.order() < Order::Kill {
        actor.stopped().await;
    }
    Ok(())
}

enum Next<A> {
    Message(Envelope<A>),
    Order(Order),
}

async fn next<A: Actor>(ctx: &mut Context<A>, pace: &mut Pace) -> Next<A> {
    loop {
        let order = ctx.life.order();
        if order > Order::Run {
            return Next::Order(order);
        }
        if let Some(message) = ctx.take_due().or_else(|| ctx.mailbox.queue.try_pop_at(pace.now)) {
            return Next::Message(message);
        }
        let message = wait(&ctx.life, &ctx.mailbox.queue, ctx.next_due()).await;
        pace.now = Instant::now();
        ctx.life.process.stats.add_wakeup();
        if let Some(message) = message {
            return Next::Message(message);
        }
    }
}

/// Waits for a message, an order or a timer. `None`: an order, which wakes the task, or a timer.
async fn wait<T>(life: &Life, mailbox: &Queue<T>, due: Option<Instant>) -> Option<T> {
    let mut message = mailbox.pop();
    let mut timer = std::pin::pin!(due.map(sleep_until));
    poll_fn(|cx| {
        let rung = timer.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready());
        if life.is_stopping() || rung {
            return Poll::Ready(None);
        }
        match Pin::new(&mut message).poll(cx) {
            Poll::Ready(Some(message)) => Poll::Ready(Some(message)),
            // Closed: the order that explains it is on its way.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Handles all messages that were accepted before the stop. Timers are forgotten.
async fn drain<A: Actor>(actor: &mut A, ctx: &mut Context<A>, pace: &mut Pace) -> Result<(), Failure> {
    let mailbox = ctx.mailbox.clone();
    // Otherwise senders could keep the actor from ever ending.
    mailbox.queue.close();
    while ctx.life.order() < Order::Kill {
        let Some(message) = mailbox.queue.try_pop_at(pace.now) else { break };
        handle(message, actor, ctx, pace).await;
        // The other end, by `stop_self`, is what happens here anyway.
        if let Some(OwnEnd::Fail(failure)) = ctx.own_end.take() {
            return Err(failure);
        }
    }
    Ok(())
}

async fn handle<A: Actor>(mut message: Envelope<A>, actor: &mut A, ctx: &mut Context<A>, pace: &mut Pace) {
    // First, so that the watchdog sees an injected hang, too.
    let handling = Handling::begin(&ctx.life, pace.now);
    message.begin();
    ctx.life.suffer().await;
    message.deliver(actor, ctx).await;
    pace.now = Instant::now();
    handling.finish(pace.now);
    pace.rest().await;
}

/// The time, read only once per message, and the messages since the last yield.
struct Pace {
    now: Instant,
    since_yield: u32,
}

impl Pace {
    async fn rest(&mut self) {
        self.since_yield += 1;
        if self.since_yield >= YIELD_EVERY {
            self.since_yield = 0;
            crate::sync::yield_now().await;
            // Others have run meanwhile.
            self.now = Instant::now();
        }
    }
}

/// A message being handled. It counts as lost if this is dropped before the end.
pub(crate) struct Handling {
    life: Arc<Life>,
    finished: bool,
}

impl Handling {
    pub(crate) fn begin(life: &Arc<Life>, at: Instant) -> Self {
        life.begin(at);
        Handling { life: life.clone(), finished: false }
    }

    pub(crate) fn finish(mut self, at: Instant) {
        self.finished = true;
        self.life.finish(at);
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if !self.finished {
            self.life.process.stats.add_lost(1);
        }
    }
}
