//! Deeds of persons at the desk of a leader.

use vagn_cluster::trail::{DeedId, DeedTaken};

use crate::desk::{Request, RequestKind};
use crate::id::IncidentId;
use crate::office::alarm_form::AlarmForm;
use crate::office::deed_form::{Deed, DeedForm, DeedRefusal};
use crate::office::trail_desk::{TakenDeed, TrailDesk};
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::selection::Selection;

/// What a deed has changed.
struct Done {
    ids: Vec<IncidentId>,
    count: u64,
}

impl TrailDesk {
    /// Does what a person wants.
    pub(super) fn carry_out(&mut self, deed: DeedId, bytes: &[u8]) -> Result<DeedTaken, DeedRefusal> {
        let DeedForm { tag, deed: what } = DeedForm::from_bytes(bytes).ok_or(DeedRefusal::Unknown)?;
        let Done { ids, count } = match what {
            Deed::Act { id, request, over } => self.act(id, &request, over.as_deref())?,
            Deed::Raise { id, alarm } => self.raise(id, &alarm)?,
            Deed::ReplayAll { by } => {
                let now = self.now();
                Done { ids: Vec::new(), count: self.desk.replay_all(&by, now) as u64 }
            }
            Deed::ResolveThese { ids, selection, by, note } => {
                let request = Request { action: RequestKind::Resolve, by, note };
                self.resolve_these(&ids, &selection, &request)
            }
        };
        // Also one that changed nothing: its asker waits to hear that.
        self.deeds.insert(deed, TakenDeed { tag, ids, count, recorded_at: None });
        self.changed();
        Ok(DeedTaken::Open)
    }

    fn act(&mut self, id: IncidentId, request: &Request, over: Option<&[u8]>) -> Result<Done, DeedRefusal> {
        let id = self.living(id);
        if self.desk.get(id).is_none() {
            let incident = over.and_then(|draft| past(id, draft)).ok_or(DeedRefusal::NotFound)?;
            let now = self.now();
            self.desk.bring_back(incident, now);
            self.brought_back(id);
        }
        let now = self.now();
        let waited = self.desk.act(id, request, now)?;
        if let Some(waited) = waited {
            self.room.metrics.emergency_acknowledged.observe(waited.as_secs_f64());
        }
        Ok(Done { ids: vec![id], count: 1 })
    }

    fn raise(&mut self, id: IncidentId, form: &AlarmForm) -> Result<Done, DeedRefusal> {
        let now = self.now();
        let raised = self.desk.raise(form.alarm(id, now.at), form.last_fix);
        let incident = raised.map_err(|_| DeedRefusal::NoRoom)?;
        self.raised(id, incident, form);
        Ok(Done { ids: vec![incident], count: 1 })
    }

    fn resolve_these(&mut self, ids: &[IncidentId], selection: &Selection, request: &Request) -> Done {
        let now = self.now();
        let mut resolved = Vec::new();
        for id in ids {
            // They may have changed since they were chosen.
            let is_chosen = self.desk.get(*id).is_some_and(|incident| selection.chooses(incident));
            if is_chosen && self.desk.act(*id, request, now).is_ok() {
                resolved.push(*id);
            }
        }
        Done { count: resolved.len() as u64, ids: resolved }
    }
}

/// Returns an incident that is over, as the store of the asker has it.
fn past(id: IncidentId, draft: &[u8]) -> Option<Incident> {
    let draft = Draft::from_bytes(draft).ok()?;
    Some(draft.incident).filter(|incident| incident.id == id && incident.is_resolved())
}
