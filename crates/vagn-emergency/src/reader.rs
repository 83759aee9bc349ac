//! `incident-reader`: finds incidents and reads what happened to them. On a thread of its own, so that a search through
//! thousands of records holds up no record of a new one: the store lets reading go on beside its one writer.
//!
//! It lets nothing in and changes nothing. Who wants an answer that has all calls of up to now in it asks
//! [`incidents`](crate::incidents) to attend to them first.

use std::sync::Arc;

use vagn_otp::{Actor, Context, Handle};

use crate::id::IncidentId;
use crate::lane::Lane;
use crate::search::{Unreadable, find, look_up, trail};
use crate::show::view::{Detail, Filter, Page, TrailPage};

/// The actor.
pub struct Reader {
    lane: Arc<Lane>,
}

impl Reader {
    /// Reads what is at the desk and in the store of `lane`.
    pub fn new(lane: Arc<Lane>) -> Self {
        Self { lane }
    }
}

impl Actor for Reader {}

/// Asks for incidents, newest first.
pub struct Find {
    /// Which ones.
    pub filter: Filter,
    /// At most so many.
    pub limit: usize,
    /// Only those older than this one.
    pub after: Option<IncidentId>,
}

impl Handle<Find> for Reader {
    type Reply = Page;

    async fn handle(&mut self, ask: Find, _: &mut Context<Self>) -> Page {
        find(&self.lane, &ask)
    }
}

/// Asks for one incident.
pub struct Get(pub IncidentId);

impl Handle<Get> for Reader {
    type Reply = Result<Option<Detail>, Unreadable>;

    async fn handle(&mut self, Get(id): Get, _: &mut Context<Self>) -> Self::Reply {
        look_up(&self.lane, id)
    }
}

/// Asks for changes of all incidents.
pub struct Trail {
    /// Only those behind this number.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
}

impl Handle<Trail> for Reader {
    type Reply = Option<TrailPage>;

    async fn handle(&mut self, ask: Trail, _: &mut Context<Self>) -> Option<TrailPage> {
        trail(&self.lane, ask.after, ask.limit)
    }
}
