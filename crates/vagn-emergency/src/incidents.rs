//! `incidents`: lets calls for help in, records them, and does what people want done about them. On a thread of its own,
//! where it may wait for the disk.
//!
//! It keeps nothing: whatever one incarnation leaves undone the next finds in the inbox, at the desk and in the store.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info};
use vagn_otp::{Actor, Context, Failure, Handle};

use crate::desk::{Merged, Refusal, Request, RequestKind};
use crate::handle::RequestOutcome;
use crate::id::IncidentId;
use crate::lane::Lane;
use crate::record::draft::Draft;
use crate::search::{Unreadable, look_up, record};
use vagn_flow::rfc3339::rfc3339;

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

    /// Sees to calls for help. Persons' deeds do so first, so that a queue of them holds up no record.
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
        let drafts = self.lane.desk.lock().drafts(GROUP);
        self.write(&drafts) && self.lane.desk.lock().is_urgent()
    }

    /// Returns whether the store works.
    fn write(&self, drafts: &[Draft]) -> bool {
        let Some(store) = self.lane.shelf.store() else {
            self.give_way();
            return false;
        };
        if drafts.is_empty() {
            self.lane.saved();
            return false;
        }
        match store.save(drafts) {
            Ok(head) => {
                self.lane.set_head(head);
                self.lane.shelf.saved();
                self.lane.desk.lock().recorded(drafts);
                self.lane.saved();
            }
            Err(err) => self.lane.store_failed(&err),
        }
        self.lane.news.notify_one();
        true
    }

    fn give_way(&self) {
        self.lane.desk.lock().store_down();
        self.lane.news.notify_one();
    }

    fn open(&self) {
        let Lane { shelf, clock, desk, news, .. } = &*self.lane;
        if let Some(live) = shelf.open(clock.monotonic()) {
            if let Some(Ok((ends, _))) = shelf.store().map(|store| store.trail(0, 0)) {
                self.lane.set_head(ends.head);
            }
            let folded = desk.lock().restore(live, self.lane.moment());
            for Merged { id, into } in folded {
                info!(incident_id = %id, %into, "goes on as an incident of an earlier run");
            }
            news.notify_one();
        }
        self.lane.set_recalled();
    }

    fn tidy(&self) {
        self.lane.mark_known();
        self.lane.follow();
        self.lane.desk.lock().tidy(self.lane.moment());
        self.lane.tell();
        self.lane.tell_stirred();
        self.lane.show();
    }

    /// Does what a person wants done, and writes that down before it is answered.
    fn act(&self, id: IncidentId, request: &Request) -> Result<RequestOutcome, Unreadable> {
        let Some(incident) = record(&self.lane, id)? else { return Ok(RequestOutcome::NotFound) };
        if request.action == RequestKind::Comment && incident.is_resolved() {
            self.lane.desk.lock().recall(incident, self.lane.moment());
        } else if let Some(decision) =
            incident.progress.resolved.as_ref().filter(|_| request.action != RequestKind::Comment)
        {
            return Ok(refused(Refusal { state: incident.progress.state, decision: decision.clone() }));
        }
        if let Err(refusal) = self.lane.act(id, request) {
            return Ok(refused(refusal));
        }
        // Before everybody else's: a person waits.
        let draft = self.lane.desk.lock().draft(id);
        self.write(draft.as_slice());
        Ok(look_up(&self.lane, id)?
            .map_or(RequestOutcome::NotFound, |detail| RequestOutcome::Done(Box::new(detail))))
    }
}

fn refused(Refusal { state, decision }: Refusal) -> RequestOutcome {
    RequestOutcome::Refused { state, by: decision.by, at: rfc3339(decision.at_ms), note: decision.note }
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

/// There are calls for help in the inbox, or an outcome to record. Who waits for the reply has what arrived before let in.
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

/// Asks for something to be done about an incident.
pub struct Do {
    /// About which.
    pub id: IncidentId,
    /// What.
    pub request: Request,
}

impl Handle<Do> for Incidents {
    type Reply = Result<RequestOutcome, Unreadable>;

    async fn handle(&mut self, Do { id, request }: Do, _: &mut Context<Self>) -> Self::Reply {
        self.attend();
        self.act(id, &request)
    }
}

/// Asks for every dead letter to be sent again. Says how many there were.
pub struct Replay {
    /// Who asks.
    pub by: Box<str>,
}

impl Handle<Replay> for Incidents {
    type Reply = u64;

    async fn handle(&mut self, Replay { by }: Replay, _: &mut Context<Self>) -> u64 {
        self.attend();
        let replayed = self.lane.replay(&by);
        self.record();
        replayed as u64
    }
}
