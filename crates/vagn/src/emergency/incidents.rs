//! `incidents`: lets calls for help in, records them, and answers for them. On a thread of its own, where it may wait for
//! the disk.
//!
//! It keeps nothing: whatever one incarnation leaves undone the next finds in the inbox, at the desk and in the store.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info};
use vagn_otp::{Actor, Context, Failure, Handle};

use super::desk::Folded;
use super::id::IncidentId;
use super::lane::Lane;
use super::view::{Filter, IncidentView, Page, find, look_up};

/// Most incidents in one transaction. A group of this size takes a few milliseconds beside the sync.
const GROUP: usize = 1_024;

/// How often to record what is not urgent, end what is over, and see to the store.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// The actor.
pub struct Incidents {
    lane: Arc<Lane>,
}

impl Incidents {
    /// At work on `lane`.
    pub fn new(lane: Arc<Lane>) -> Self {
        Self { lane }
    }

    /// Sees to calls for help. Questions do so first, so that a queue of them holds up no record.
    fn attend(&self) {
        self.admit();
        let urgent = self.lane.desk.lock().is_urgent();
        if urgent && self.record() {
            self.lane.ring();
        }
    }

    fn admit(&self) {
        self.lane.answer();
        if !self.lane.recalled() {
            self.open();
        }
        let admitted = self.lane.admit();
        debug!(opened = admitted.opened.len(), updated = admitted.updated, "took in calls for help");
        self.lane.locate();
    }

    /// Writes one group. Returns whether more is waiting that should not.
    fn record(&self) -> bool {
        let Some(store) = self.lane.shelf.store() else {
            self.give_way();
            return false;
        };
        let drafts = self.lane.desk.lock().drafts(GROUP);
        if drafts.is_empty() {
            return false;
        }
        match store.save(drafts.iter().map(|draft| &draft.incident)) {
            Ok(()) => {
                self.lane.shelf.saved();
                self.lane.desk.lock().recorded(&drafts);
            }
            Err(err) => self.lane.store_failed(&err),
        }
        self.lane.news.notify_one();
        self.lane.desk.lock().is_urgent()
    }

    fn give_way(&self) {
        self.lane.desk.lock().store_down();
        self.lane.news.notify_one();
    }

    fn open(&self) {
        let Lane { shelf, clock, desk, news, .. } = &*self.lane;
        if let Some(live) = shelf.open(clock.monotonic()) {
            let folded = desk.lock().restore(live, clock.now_ms(), clock.monotonic());
            for Folded { id, into } in folded {
                info!(incident_id = %id, %into, "goes on as an incident of an earlier run");
            }
            news.notify_one();
        }
        self.lane.set_recalled();
    }

    fn tidy(&self) {
        let (now_ms, now) = (self.lane.clock.now_ms(), self.lane.clock.monotonic());
        self.lane.desk.lock().tidy(now_ms, now);
        self.lane.show();
    }
}

impl Actor for Incidents {
    /// Ready before the store is: a disk that takes long to open must not hold up calls.
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), Failure> {
        ctx.tell_self_after(Duration::ZERO, Tidy);
        Ok(())
    }

    async fn stopped(&mut self) {
        self.admit();
        while self.record() {}
        self.lane.show();
        self.lane.shelf.put_away();
    }
}

/// There are calls for help in the inbox, or an outcome to record.
pub struct Round;

impl Handle<Round> for Incidents {
    type Reply = ();

    async fn handle(&mut self, _: Round, _: &mut Context<Self>) {
        self.attend();
    }
}

/// Time to look after everything.
struct Tidy;

impl Handle<Tidy> for Incidents {
    type Reply = ();

    async fn handle(&mut self, _: Tidy, ctx: &mut Context<Self>) {
        ctx.tell_self_after(TIDY_EVERY, Tidy);
        self.open();
        self.admit();
        self.tidy();
        if self.record() {
            self.lane.ring();
        }
    }
}

/// Asks for incidents, newest first.
pub struct Find {
    /// Which ones.
    pub filter: Filter,
    /// At most so many.
    pub limit: usize,
    /// Only those older than this one.
    pub after: Option<IncidentId>,
}

impl Handle<Find> for Incidents {
    type Reply = Page;

    async fn handle(&mut self, ask: Find, _: &mut Context<Self>) -> Page {
        self.attend();
        find(&self.lane, &ask)
    }
}

/// Asks for one incident.
pub struct Get(pub IncidentId);

impl Handle<Get> for Incidents {
    type Reply = Option<IncidentView>;

    async fn handle(&mut self, Get(id): Get, _: &mut Context<Self>) -> Option<IncidentView> {
        self.attend();
        look_up(&self.lane, id)
    }
}
