//! Form of what a person wants done, on its way to the leader, and of the answer when it is refused.

use serde::{Deserialize, Serialize};

use crate::desk::{Refusal, Request, RequestKind};
use crate::id::IncidentId;
use crate::office::alarm_form::AlarmForm;
use crate::record::draft::Draft;
use crate::record::progress::{Decision, State};
use crate::selection::Selection;

/// Number of the form.
const FORMAT: u8 = 1;

/// A deed, as it is sent to the leader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeedForm {
    /// Random number by which its asker finds what came of it.
    pub(crate) tag: u64,
    /// What is to be done.
    pub(crate) deed: Deed,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Something about one incident.
    Act {
        /// The incident.
        id: IncidentId,
        /// What the person requests.
        request: Request,
        /// The incident as the asker's store has it, if it is over there: it is not at the desk any more.
        over: Option<Vec<u8>>,
    },
    /// A call that could not be proved becomes an incident.
    Raise {
        /// Id of the incident, if it opens one.
        id: IncidentId,
        /// The call.
        alarm: Box<AlarmForm>,
    },
    /// All dead letters are sent again.
    ReplayAll {
        /// Name of the person.
        by: Box<str>,
    },
    /// These incidents are resolved, as far as they are still chosen.
    ResolveThese {
        /// The incidents.
        ids: Vec<IncidentId>,
        /// Conditions that each must still meet.
        selection: Selection,
        /// Name of the person.
        by: Box<str>,
        /// Reason.
        note: Box<str>,
    },
}

/// Reason why a leader's desk refuses a deed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum DeedRefusal {
    /// Another person was first.
    Late {
        /// State of the incident by that.
        state: State,
        /// Decision of that person.
        decision: Decision,
    },
    /// There is no such incident.
    NotFound,
    /// All places for incidents are taken.
    NoRoom,
    /// This version does not know the deed.
    Unknown,
}

impl From<Refusal> for DeedRefusal {
    fn from(Refusal { state, decision }: Refusal) -> Self {
        Self::Late { state, decision }
    }
}

impl DeedForm {
    /// Returns the byte form: the number of the format, then JSON.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        serde_json::to_writer(&mut bytes, self).expect("numbers and texts can always be written");
        bytes
    }

    /// Reads the byte form; `None` if this version does not know it.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (format, json) = bytes.split_first()?;
        serde_json::from_slice(json).ok().filter(|_| *format == FORMAT)
    }
}

impl Deed {
    /// A request about one incident, with the incident if it is over.
    pub(crate) fn about(id: IncidentId, request: Request, over: Option<Draft>) -> Self {
        let over = over.filter(|_| request.action == RequestKind::Comment).map(|draft| draft.to_bytes());
        Self::Act { id, request, over }
    }

    /// Returns a word for it, and the incident that it is about, if it is about one.
    pub(crate) fn subject(&self) -> (&'static str, Option<IncidentId>) {
        match self {
            Self::Act { id, request, .. } => {
                let word = match request.action {
                    RequestKind::Acknowledge => "acknowledge",
                    RequestKind::Resolve => "resolve",
                    RequestKind::Comment => "comment",
                    RequestKind::Replay => "replay",
                };
                (word, Some(*id))
            }
            Self::Raise { id, .. } => ("raise", Some(*id)),
            Self::ReplayAll { .. } => ("replay_all", None),
            Self::ResolveThese { .. } => ("resolve_these", None),
        }
    }
}

impl DeedRefusal {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts can always be written")
    }

    /// Reads the answer of a leader. One of another version says that there was nothing to do.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_and_its_answer_are_read_as_they_were_written() {
        let id = IncidentId::from_u128(7);
        let request = Request { action: RequestKind::Comment, by: "Anna".into(), note: "car 4".into() };
        let incident = crate::record::incident::Incident::example(id, "bus 7");
        let selection =
            Selection { state: Some(State::Notified), drill: Some(false), ..Selection::default() };
        let many = Deed::ResolveThese { ids: vec![id], selection, by: "Anna".into(), note: "over".into() };
        for deed in [Deed::about(id, request, Some(incident.into())), many] {
            let form = DeedForm { tag: 9, deed };
            assert_eq!(DeedForm::from_bytes(&form.to_bytes()), Some(form.clone()));
            assert_eq!(DeedForm::from_bytes(&[&[2], &form.to_bytes()[1..]].concat()), None);
        }
        let decision = Decision { by: "Bo".into(), at_ms: 5, note: "".into() };
        let late = DeedRefusal::Late { state: State::Acknowledged, decision };
        assert_eq!(DeedRefusal::from_bytes(&late.to_bytes()), late);
        assert_eq!(DeedRefusal::from_bytes(b""), DeedRefusal::Unknown);
    }
}
