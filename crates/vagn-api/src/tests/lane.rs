//! A stand-in for the emergency lane: it has one incident, of `bus 3`, and remembers the requests about it.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::services::{Asked, Incidents};
use super::NOW_MS;
use vagn_emergency::record::attempt::Outcome;
use vagn_emergency::show::feed::Feed;
use vagn_emergency::show::targets::{TargetReport, TargetState};
use vagn_emergency::show::view::{
    AttemptView, DecisionView, EscalationView, LedgerView, NoticeStatus, NoticesView, PositionView,
    TargetView, TrailView,
};
use vagn_emergency::{
    Detail, Filter, IncidentId, IncidentView, Page, Raise, Raised, Request, RequestKind, RequestOutcome,
    ResolvedMany, Selection, State, TrailPage,
};
use vagn_flow::clock::ManualClock;

pub(super) const ID: &str = "019a0000-0000-7000-8000-000000000001";

/// Time of every change.
pub(super) const AT: &str = "2026-09-21T14:13:19.000Z";

/// Events that the feed keeps.
pub(super) const KEPT: usize = 4;

pub(super) struct SmallLane {
    pub(super) feed: Arc<Feed>,
    /// Requests that were carried out, in order.
    pub(super) done: Mutex<Vec<Request>>,
    /// Selections of incidents to be resolved together, in order.
    pub(super) chosen: Mutex<Vec<Selection>>,
    /// Limits of the lists that were asked for, in order.
    pub(super) limits: Mutex<Vec<usize>>,
    /// Start of the next page of every list.
    pub(super) next: Option<IncidentId>,
    /// Vehicles with an open incident besides `bus 3`.
    pub(super) in_need: HashSet<String>,
    /// Position of `bus 3`.
    pub(super) position: Option<PositionView>,
    /// Number of entries in the trail; `None` when the store cannot be read.
    pub(super) trail: Option<u64>,
}

impl SmallLane {
    pub(super) fn new() -> Self {
        Self {
            feed: Arc::new(Feed::new(Arc::new(ManualClock::at(NOW_MS)), KEPT)),
            done: Mutex::default(),
            chosen: Mutex::default(),
            limits: Mutex::default(),
            next: None,
            in_need: HashSet::new(),
            position: Some(PositionView {
                lat: 30.37,
                lon: -97.74,
                time: AT.to_owned(),
                trusted: true,
                unsure: false,
            }),
            trail: Some(5),
        }
    }

    /// Finds the first request of one of these kinds.
    fn first(&self, actions: &[RequestKind]) -> Option<Request> {
        self.done.lock().iter().find(|request| actions.contains(&request.action)).cloned()
    }

    fn state(&self) -> State {
        match (self.first(&[RequestKind::Acknowledge]), self.first(&[RequestKind::Resolve])) {
            (_, Some(_)) => State::Resolved,
            (Some(_), None) => State::Acknowledged,
            (None, None) => State::Open,
        }
    }

    fn view(&self) -> IncidentView {
        let at = AT.to_owned();
        let view = |done: Request| DecisionView { by: done.by, at: AT.to_owned(), note: done.note };
        let outcome = Outcome::Refused { status: 503, retry_after_s: None };
        IncidentView {
            id: ID.parse().unwrap(),
            vehicle_id: "bus 3".into(),
            state: self.state(),
            quiet: false,
            drill: false,
            kind: Some("manual"),
            vehicle_incident: None,
            raised_at: at.clone(),
            opened_at: at.clone(),
            updated_at: at.clone(),
            accepted_at: None,
            acknowledged: self.first(&[RequestKind::Acknowledge]).map(view),
            resolved: self.first(&[RequestKind::Resolve]).map(view),
            reports: 3,
            position: self.position.clone(),
            recent_positions: Vec::new(),
            recorded: true,
            notices: NoticesView {
                status: NoticeStatus::Pending,
                attempts: 1,
                unrecorded: false,
                latest: vec![AttemptView {
                    number: 1,
                    target: "primary".into(),
                    at: at.clone(),
                    took_ms: 12,
                    outcome,
                }],
                targets: vec![TargetView {
                    name: "primary".into(),
                    status: NoticeStatus::Pending,
                    accepted_at: None,
                    next_at: Some(at),
                }],
                escalation: EscalationView { level: 0, next_at: None },
            },
        }
    }

    fn detail(&self) -> Detail {
        let outcome = Outcome::Refused { status: 503, retry_after_s: None };
        let (target, at) = ("primary".into(), AT.to_owned());
        let attempt =
            LedgerView { number: 1, target, kind: "opened", at, took_ms: 12, outcome, next_at: None };
        Detail { incident: self.view(), joined_id: None, ledger: vec![attempt], trail: vec![entry(1)] }
    }
}

pub(super) fn entry(seq: u64) -> TrailView {
    TrailView {
        seq,
        time: AT.to_owned(),
        incident_id: Some(ID.parse().unwrap()),
        subject: Some(format!("incident:{seq:032x}")),
        salt: Some(format!("{seq:032x}")),
        action: "opened",
        by: "vagn".into(),
        reason: "a vehicle calls".into(),
        hash: Some(format!("{seq:064x}")),
    }
}

fn answer<T: Send + 'static>(answer: T) -> Asked<'static, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl Incidents for SmallLane {
    fn list(&self, filter: Filter, limit: usize, after: Option<IncidentId>) -> Asked<'_, Page> {
        let lets = filter.vehicle_id.as_deref().is_none_or(|id| id == "bus 3")
            && filter.state.is_none_or(|state| state == self.state())
            && filter.drill != Some(true)
            && filter.quiet != Some(true)
            && filter.dead_letter != Some(true)
            && after.is_none();
        let incidents = if lets { vec![self.view()] } else { Vec::new() };
        assert!((1..=1_000).contains(&limit));
        if filter.vehicle_id.as_deref() == Some("slow") {
            return Box::pin(std::future::pending());
        }
        self.limits.lock().push(limit);
        answer(Page { incidents, next: self.next, complete: true })
    }

    fn one(&self, id: IncidentId) -> Asked<'_, Option<Detail>> {
        answer((id.to_string() == ID).then(|| self.detail()))
    }

    fn request(&self, id: IncidentId, request: Request) -> Asked<'_, RequestOutcome> {
        if id.to_string() != ID {
            return answer(RequestOutcome::NotFound);
        }
        let ends = match request.action {
            RequestKind::Acknowledge => &[RequestKind::Resolve, RequestKind::Acknowledge][..],
            RequestKind::Resolve => &[RequestKind::Resolve],
            RequestKind::Comment | RequestKind::Replay => &[],
        };
        if let Some(first) = ends.iter().find_map(|end| self.first(&[*end])) {
            let Request { by, note, .. } = first;
            return answer(RequestOutcome::Refused { state: self.state(), by, at: AT.to_owned(), note });
        }
        self.done.lock().push(request);
        answer(RequestOutcome::Done(Box::new(self.detail())))
    }

    fn raise(&self, raise: Raise) -> Asked<'_, Raised> {
        let Raise { by, vehicle_id, .. } = raise;
        self.done.lock().push(Request { action: RequestKind::Comment, by, note: vehicle_id });
        answer(Raised::Done(Box::new(self.detail())))
    }

    fn replay(&self, by: Box<str>) -> Asked<'_, u64> {
        self.done.lock().push(Request { action: RequestKind::Replay, by, note: "all".into() });
        answer(3)
    }

    fn resolve_many(
        &self,
        selection: Selection,
        by: Box<str>,
        note: Box<str>,
        dry_run: bool,
    ) -> Asked<'_, ResolvedMany> {
        self.chosen.lock().push(selection);
        if dry_run {
            return answer(ResolvedMany { matched: 12, resolved: 0, recorded: true });
        }
        self.done.lock().push(Request { action: RequestKind::Resolve, by, note });
        answer(ResolvedMany { matched: 12, resolved: 10, recorded: true })
    }

    fn trail(&self, after: u64, limit: usize) -> Asked<'_, Option<TrailPage>> {
        let page = self.trail.map(|last| TrailPage {
            base: None,
            head: format!("{last}:{last:064x}"),
            entries: (1..=last).filter(|seq| *seq > after).take(limit).map(entry).collect(),
        });
        answer(page)
    }

    fn feed(&self) -> Arc<Feed> {
        self.feed.clone()
    }

    fn targets(&self) -> TargetReport {
        let state = |name: &str, up| TargetState { name: name.into(), up, since: AT.to_owned() };
        TargetReport { targets: vec![state("primary", true), state("police", false)], drill: None }
    }

    fn has_open_incident(&self, vehicle_id: &str) -> bool {
        vehicle_id == "bus 3" || self.in_need.contains(vehicle_id)
    }
}
