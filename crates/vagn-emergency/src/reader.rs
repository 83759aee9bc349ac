//! `incident-reader`: the actor that finds incidents and reads their trails. It has a thread of its own, so that a
//! search through thousands of records holds up no new record: the store lets reading go on beside its one writer.
//!
//! It lets nothing in and changes nothing. For an answer that has all alarms of up to now in it, the
//! [`incidents`](crate::incidents) actor is asked to attend to them first.

use std::sync::Arc;

use vagn_otp::{Actor, Context, Handle};

use crate::id::IncidentId;
use crate::lane::Lane;
use crate::record::incident::Incident;
use crate::search::{IncidentQuery, Unreadable, find, find_record, look_up, trail};
use crate::show::view::{Detail, Page, TrailPage};

/// Actor that reads incidents.
pub(crate) struct Reader {
    lane: Arc<Lane>,
}

impl Reader {
    /// Returns an actor that reads the desk and the store of `lane`.
    pub(crate) fn new(lane: Arc<Lane>) -> Self {
        Self { lane }
    }
}

impl Actor for Reader {}

/// Asks for incidents, newest first.
pub(crate) struct FindIncidents(pub(crate) IncidentQuery);

impl Handle<FindIncidents> for Reader {
    type Reply = Page;

    async fn handle(&mut self, FindIncidents(query): FindIncidents, _: &mut Context<Self>) -> Page {
        find(&self.lane, &query)
    }
}

/// Asks for one incident.
pub(crate) struct GetIncident(pub(crate) IncidentId);

impl Handle<GetIncident> for Reader {
    type Reply = Result<Option<Detail>, Unreadable>;

    async fn handle(&mut self, GetIncident(id): GetIncident, _: &mut Context<Self>) -> Self::Reply {
        look_up(&self.lane, id)
    }
}

/// Asks for the record of one incident.
pub(crate) struct GetRecord(pub(crate) IncidentId);

impl Handle<GetRecord> for Reader {
    type Reply = Result<Option<Incident>, Unreadable>;

    async fn handle(&mut self, GetRecord(id): GetRecord, _: &mut Context<Self>) -> Self::Reply {
        find_record(&self.lane, id)
    }
}

/// Asks for entries of the trail.
pub(crate) struct ReadTrail {
    /// Number of the entry before the first one.
    pub(crate) after: u64,
    /// Most entries.
    pub(crate) limit: usize,
}

impl Handle<ReadTrail> for Reader {
    type Reply = Option<TrailPage>;

    async fn handle(&mut self, ask: ReadTrail, _: &mut Context<Self>) -> Option<TrailPage> {
        trail(&self.lane, ask.after, ask.limit)
    }
}
