//! The context of a handler: its own actor, from the inside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::actor::{Actor, Handle};
use crate::addr::Addr;
use crate::exit::Failure;
use crate::life::Life;
use crate::mailbox::{Envelope, Mailbox, Tell};
use crate::sync::time::Instant;
use crate::task::{IdleGuard, PatientGuard};

/// The actor as its handlers see it. The context and its timers live as long as the incarnation.
pub struct Context<A: Actor> {
    pub(crate) life: Arc<Life>,
    pub(crate) mailbox: Arc<Mailbox<A>>,
    pub(crate) own_end: Option<OwnEnd>,
    /// Messages by the time they are due. The number keeps those that are due at the same time apart, and in order.
    timers: BTreeMap<(Instant, u64), Envelope<A>>,
    next_timer: u64,
}

/// The end that a handler has decided on for its own incarnation.
pub(crate) enum OwnEnd {
    Stop,
    Fail(Failure),
}

/// Tells the watchdog that a long handler makes progress, also where there is no context.
#[derive(Clone)]
pub struct Pulse {
    life: Arc<Life>,
}

impl Pulse {
    /// Lets the watchdog measure from now. For the time of a handler only: an actor that waits for messages is idle.
    pub fn beat(&self) {
        self.life.beat();
    }
}

impl<A: Actor> Context<A> {
    pub(crate) fn new(life: Arc<Life>, mailbox: Arc<Mailbox<A>>) -> Self {
        Context { life, mailbox, own_end: None, timers: BTreeMap::new(), next_timer: 0 }
    }

    /// Returns the actor's name.
    pub fn name(&self) -> &str {
        &self.life.process.name
    }

    /// Returns the actor's own address.
    pub fn addr(&self) -> Addr<A> {
        Addr { mailbox: self.mailbox.clone() }
    }

    /// Ends this incarnation normally after the present handler.
    pub fn stop_self(&mut self) {
        self.own_end.get_or_insert(OwnEnd::Stop);
    }

    /// Ends this incarnation as a crash after the present handler. The caller of that handler is still answered.
    pub fn fail(&mut self, failure: impl Into<Failure>) {
        self.own_end = Some(OwnEnd::Fail(failure.into()));
    }

    /// Handles `message` after this delay. It takes no room in the mailbox and so cannot be refused; it is forgotten when the
    /// incarnation ends.
    pub fn tell_self_after<M: Send + 'static>(&mut self, delay: Duration, message: M)
    where
        A: Handle<M>,
    {
        self.next_timer += 1;
        self.timers.insert((Instant::now() + delay, self.next_timer), Box::new(Tell(message)));
    }

    /// Returns true once the actor was told to stop. A long handler may want to hurry.
    pub fn is_stopping(&self) -> bool {
        self.life.is_stopping()
    }

    /// Tells the watchdog that a long handler makes progress. Injected faults act here, too.
    pub async fn beat(&mut self) {
        self.life.beat();
        self.life.suffer().await;
    }

    /// Returns the means to beat in functions that have no context.
    pub fn pulse(&self) -> Pulse {
        Pulse { life: self.life.clone() }
    }

    /// Keeps the watchdog away while the guard is held, for work that may take any time, such as reading a large store.
    pub fn idle(&self) -> IdleGuard {
        IdleGuard::new(self.life.clone())
    }

    /// Keeps the watchdog away while the guard is held, for a wait that should end but must not be broken off, such as one for a
    /// disk. Beyond the limit of the watchdog the process counts as [hung](crate::ProcessInfo::hung), which is logged once.
    pub fn patient(&self) -> PatientGuard {
        PatientGuard::new(self.life.clone())
    }

    pub(crate) fn take_due(&mut self) -> Option<Envelope<A>> {
        // Most actors have no timer; they should not have to look at the clock.
        let entry = self.timers.first_entry()?;
        (entry.key().0 <= Instant::now()).then(|| entry.remove())
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(at, _)| *at)
    }
}
