//! `incidents`: the actor that lets alarms in, records them, and does what people request about incidents. It has a
//! thread of its own, where it may wait for the disk.
//!
//! It keeps nothing: what one incarnation leaves undone the next finds in the inbox, at the desk and in the store.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};
use vagn_flow::rfc3339::rfc3339;
use vagn_otp::{Actor, Context, Failure, Handle, Pulse};
use vagn_seal::KeyId;

use crate::desk::{Merged, Refusal, Request, RequestKind};
use crate::id::IncidentId;
use crate::intake::inbox::TAKES_MAX;
use crate::lane::{Attend, Lane};
use crate::raise::{Raise, Raised};
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::progress::State;
use crate::search::{Unreadable, find_record, look_up};
use crate::selection::Selection;
use crate::show::view::Detail;

/// Most incidents in one transaction. A group of this size takes a few milliseconds beside the sync, and several times that
/// where the processor is shared with a flood.
const GROUP: usize = 1_024;

/// Most incidents in a transaction that known vehicles may have to wait for: those of strangers, and changes.
const OTHERS_GROUP: usize = 64;

/// Incidents of an earlier run that are taken in together, under the desk's lock: a few milliseconds, for which notices have to wait.
const RESTORED_AT_ONCE: usize = 512;

/// Time between two rounds that record what is not urgent, end what is over, and look after the store.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Actor that writes incidents.
pub(crate) struct Incidents {
    lane: Arc<Lane>,
    /// Sign of life, from the start on: what an earlier run has left may be much.
    pulse: Option<Pulse>,
}

/// Result of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestOutcome {
    /// It is done; this is the incident now.
    Done(Box<Detail>),
    /// There is no such incident.
    NotFound,
    /// Another person was first.
    Refused {
        /// State of the incident.
        state: State,
        /// Name of that person.
        by: Box<str>,
        /// Time of that decision.
        at: String,
        /// Reason for that decision.
        note: Box<str>,
    },
}

impl From<Refusal> for RequestOutcome {
    fn from(Refusal { state, decision }: Refusal) -> Self {
        Self::Refused { state, by: decision.by, at: rfc3339(decision.at_ms), note: decision.note }
    }
}

impl Incidents {
    /// Returns an actor that works on `lane`.
    pub(crate) fn new(lane: Arc<Lane>) -> Self {
        Self { lane, pulse: None }
    }

    fn beat(&self) {
        self.pulse.iter().for_each(Pulse::beat);
    }

    /// Lets alarms in and records what is urgent. Every request begins with this, so that a queue of requests holds up
    /// no record. Known vehicles come first each time, into a transaction of their own; then strangers, a few at a time.
    fn attend(&self) {
        let mut has_more = true;
        for _ in 0..TAKES_MAX {
            self.attend_known();
            self.admit_others();
            let urgent = self.lane.desk.lock().is_urgent();
            has_more = urgent && self.record(OTHERS_GROUP);
            if !self.lane.inbox.has_some() {
                break;
            }
        }
        if has_more || self.lane.inbox.has_some() {
            self.lane.signals.ring();
        }
    }

    /// Lets known vehicles in and records their incidents.
    pub(crate) fn attend_known(&self) {
        self.begin();
        self.lane.admit_known();
        let drafts = self.lane.desk.lock().drafts_of_known(GROUP);
        if !drafts.is_empty() {
            self.write(&drafts);
        }
    }

    fn admit_others(&self) {
        self.begin();
        self.lane.inbox.begin_turn();
        self.lane.admit_others();
        self.lane.locate();
    }

    /// Notes that what comes from here on must ring again. No alarm is let in before the store has been asked.
    fn begin(&self) {
        self.lane.signals.begun();
        if !self.lane.is_recalled() {
            self.open();
        }
    }

    /// Writes one group. Returns true when more waits that is urgent.
    fn record(&self, group: usize) -> bool {
        let drafts = self.lane.desk.lock().drafts(group);
        self.write(&drafts) && self.lane.desk.lock().is_urgent()
    }

    /// Writes these drafts. Returns true when there was something to write and a store to write it to.
    fn write(&self, drafts: &[Draft]) -> bool {
        let Some(store) = self.lane.shelf.store() else {
            self.lane.store_down();
            return false;
        };
        if drafts.is_empty() {
            self.lane.saved();
            return false;
        }
        store.doubt_clock(!self.lane.moment().is_sure);
        match store.save(drafts) {
            Ok(head) => {
                self.lane.set_head(head);
                self.lane.shelf.saved();
                self.lane.desk.lock().recorded(drafts);
                self.lane.saved();
            }
            Err(err) => self.lane.store_failed(&err),
        }
        self.lane.signals.wake_notifier();
        true
    }

    /// Opens the store if it is not open and it is time to try, and restores what an earlier run left in it.
    fn open(&self) {
        let lane = &*self.lane;
        if let Some(live) = lane.shelf.open(lane.clock.monotonic(), &|| self.beat()) {
            self.beat();
            self.learn_calls();
            if let Some(Ok((ends, _))) = lane.shelf.store().map(|store| store.trail(0, 0)) {
                lane.set_head(ends.head);
            }
            let merged = self.restore(live);
            for Merged { id, into } in merged {
                info!(incident_id = %id, %into, "goes on as an incident of an earlier run");
            }
            lane.signals.wake_notifier();
        }
        // Even without a store: alarms do not wait for one that cannot be opened.
        lane.set_recalled();
    }

    /// Learns which sealed calls earlier runs have taken.
    fn learn_calls(&self) {
        let Some(store) = self.lane.shelf.store() else { return };
        match store.call_windows() {
            Ok(windows) => self.lane.replays.learn(windows),
            Err(err) => {
                warn!(error = %err, "sealed calls of earlier runs are not known; one that comes again may make an incident")
            }
        }
    }

    /// Takes in what is live in the store, or in the journal alone as long as there is no store. Not all at once: notices go out
    /// meanwhile.
    fn restore(&self, live: Vec<Incident>) -> Vec<Merged> {
        let now = self.lane.moment();
        match self.lane.shelf.store() {
            None => self.lane.desk.lock().begin_salvage(&live, now),
            Some(store) => {
                let salvaged = self.lane.desk.lock().salvaged();
                // Not under the desk's lock: the disk may be slow.
                let recorded = salvaged.into_iter().filter_map(|id| store.get(id).ok().flatten()).collect();
                let mut desk = self.lane.desk.lock();
                desk.learn(recorded, now);
                desk.begin_restore(now);
            }
        }
        let mut live = live.into_iter();
        while live.len() > 0 {
            self.beat();
            self.lane.desk.lock().restore_part(live.by_ref().take(RESTORED_AT_ONCE), now);
            self.lane.signals.wake_notifier();
        }
        self.lane.desk.lock().end_restore(now)
    }

    fn tidy(&self) {
        self.lane.mark_known();
        self.lane.decide();
        self.lane.follow();
        let now = self.lane.moment();
        self.lane.desk.lock().tidy(now);
        if let Some(store) = self.lane.shelf.store() {
            store.mend_journal();
        }
        self.lane.announce();
        self.lane.announce_stirred();
        self.lane.show();
    }

    /// Does what a person requests, and writes that down before the answer.
    fn act(&self, id: IncidentId, request: &Request) -> Result<RequestOutcome, Unreadable> {
        let Some(incident) = find_record(&self.lane, id)? else { return Ok(RequestOutcome::NotFound) };
        if let Some(decision) = incident.progress.resolved.clone() {
            if request.action != RequestKind::Comment {
                return Ok(Refusal { state: incident.progress.state, decision }.into());
            }
            let now = self.lane.moment();
            self.lane.desk.lock().bring_back(incident, now);
        }
        if let Err(refusal) = self.lane.act(id, request) {
            return Ok(refusal.into());
        }
        // Before all other drafts, because a person waits.
        let draft = self.lane.desk.lock().draft(id);
        self.write(draft.as_slice());
        let detail = look_up(&self.lane, id)?;
        Ok(detail.map_or(RequestOutcome::NotFound, |detail| RequestOutcome::Done(Box::new(detail))))
    }
}

impl Incidents {
    /// Resolves these incidents, and writes that down before the answer.
    fn resolve(&self, ids: &[IncidentId], (selection, request): &(Selection, Request)) -> ResolvedThese {
        // They may have changed since they were chosen.
        let is_chosen =
            |id| self.lane.desk.lock().get(id).is_some_and(|incident| selection.chooses(incident));
        let resolve = |id: &&IncidentId| is_chosen(**id) && self.lane.act(**id, request).is_ok();
        let resolved: Vec<_> = ids.iter().filter(resolve).copied().collect();
        let drafts: Vec<_> = {
            let desk = self.lane.desk.lock();
            resolved.iter().filter_map(|id| desk.draft(*id)).collect()
        };
        self.write(&drafts);
        let desk = self.lane.desk.lock();
        let recorded = resolved.iter().all(|id| desk.is_recorded(*id));
        ResolvedThese { resolved: resolved.len() as u64, recorded }
    }
}

impl Actor for Incidents {
    /// Ready before the store is: a disk that takes long to open must not hold up alarms.
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), Failure> {
        self.pulse = Some(ctx.pulse());
        ctx.tell_self_after(Duration::ZERO, Tidy);
        Ok(())
    }

    async fn stopped(&mut self) {
        self.begin();
        (0..TAKES_MAX).for_each(|_| self.lane.admit());
        self.lane.locate();
        while self.record(GROUP) {}
        self.lane.show();
        self.lane.shelf.put_away();
    }
}

impl Handle<Attend> for Incidents {
    type Reply = ();

    async fn handle(&mut self, _: Attend, _: &mut Context<Self>) {
        self.attend();
    }
}

/// Begins a round.
struct Tidy;

impl Handle<Tidy> for Incidents {
    type Reply = ();

    async fn handle(&mut self, _: Tidy, ctx: &mut Context<Self>) {
        ctx.tell_self_after(TIDY_EVERY, Tidy);
        self.open();
        self.attend_known();
        self.admit_others();
        self.tidy();
        self.attend_known();
        if self.record(OTHERS_GROUP) || self.lane.inbox.has_some() {
            self.lane.signals.ring();
        }
    }
}

/// Passes on what a person requests about an incident.
pub(crate) struct CarryOut {
    pub(crate) id: IncidentId,
    pub(crate) request: Request,
}

impl Handle<CarryOut> for Incidents {
    type Reply = Result<RequestOutcome, Unreadable>;

    async fn handle(&mut self, CarryOut { id, request }: CarryOut, _: &mut Context<Self>) -> Self::Reply {
        self.attend();
        self.act(id, &request)
    }
}

impl Handle<Raise> for Incidents {
    type Reply = Result<Raised, Unreadable>;

    async fn handle(&mut self, raise: Raise, _: &mut Context<Self>) -> Self::Reply {
        self.attend();
        let Some(id) = self.lane.raise(raise) else { return Ok(Raised::NoRoom) };
        // Before all other drafts, because a person waits.
        let draft = self.lane.desk.lock().draft(id);
        self.write(draft.as_slice());
        let detail = look_up(&self.lane, id)?;
        Ok(detail.map_or(Raised::NoRoom, |detail| Raised::Done(Box::new(detail))))
    }
}

/// Forgets the windows of keys that were revoked.
pub(crate) struct ForgetKeys(pub(crate) Box<[KeyId]>);

impl Handle<ForgetKeys> for Incidents {
    type Reply = ();

    async fn handle(&mut self, ForgetKeys(key_ids): ForgetKeys, _: &mut Context<Self>) {
        self.lane.replays.forget(&key_ids);
        if let Some(Err(err)) = self.lane.shelf.store().map(|store| store.forget_keys(&key_ids)) {
            // It costs some bytes: nothing that the keys seal is opened any more.
            warn!(error = %err, "failed to remove the windows of revoked keys");
        }
    }
}

/// Requests that every dead letter is sent again. The reply is how many there were.
pub(crate) struct ReplayAll {
    /// Name of the person.
    pub(crate) by: Box<str>,
}

impl Handle<ReplayAll> for Incidents {
    type Reply = u64;

    async fn handle(&mut self, ReplayAll { by }: ReplayAll, _: &mut Context<Self>) -> u64 {
        self.attend();
        let replayed = self.lane.replay(&by);
        self.record(GROUP);
        replayed as u64
    }
}

/// Requests that these incidents are resolved, as far as they are still chosen.
pub(crate) struct ResolveThese {
    pub(crate) ids: Box<[IncidentId]>,
    pub(crate) choice: Arc<(Selection, Request)>,
}

/// Result for some of many.
pub(crate) struct ResolvedThese {
    pub(crate) resolved: u64,
    /// All of these are on disk.
    pub(crate) recorded: bool,
}

impl Handle<ResolveThese> for Incidents {
    type Reply = ResolvedThese;

    async fn handle(
        &mut self,
        ResolveThese { ids, choice }: ResolveThese,
        _: &mut Context<Self>,
    ) -> ResolvedThese {
        self.attend();
        self.resolve(&ids, &choice)
    }
}
