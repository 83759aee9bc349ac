//! Views of the trail.

use serde::Serialize;

use crate::id::IncidentId;
use crate::trail::{Entry, Event};
use vagn_flow::rfc3339::rfc3339;

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrailView {
    /// Number of the entry, from 1; 0 while it is not on disk.
    pub seq: u64,
    /// Time of the event.
    pub time: String,
    /// Id of the incident; `None` once it is erased.
    pub incident_id: Option<IncidentId>,
    /// What the hash covers in place of the id; `None` while it is not on disk.
    pub subject: Option<String>,
    /// Salt that makes the subject together with the id; `None` while it is not on disk, and once the id is erased.
    pub salt: Option<String>,
    /// Kind of the event.
    pub action: &'static str,
    /// Author of the event: a person, a vehicle, a target or the service.
    pub by: Box<str>,
    /// Reason, or empty.
    pub reason: Box<str>,
    /// SHA-256 over this entry and all before it, in hex; `None` while it is not on disk.
    pub hash: Option<String>,
}

/// A part of the trail, oldest entry first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrailPage {
    /// Head of what came before the first entry, `<seq>:<hex>`, if the page begins with the oldest entry that is kept.
    pub base: Option<String>,
    /// Head of the whole trail, `<seq>:<hex>`.
    pub head: String,
    /// Entries of the page.
    pub entries: Vec<TrailView>,
}

impl TrailView {
    /// Returns true for views of the same event, written or not.
    pub(crate) fn tells_the_same(&self, other: &Self) -> bool {
        self.time == other.time
            && self.action == other.action
            && self.by == other.by
            && self.reason == other.reason
    }

    /// Returns the view of an event that waits to be written.
    pub(crate) fn pending(event: &Event) -> Self {
        Self {
            seq: 0,
            time: rfc3339(event.at_ms),
            incident_id: event.subject.incident(),
            subject: None,
            salt: None,
            action: event.action.as_str(),
            by: event.by.clone(),
            reason: event.reason.clone(),
            hash: None,
        }
    }
}

impl From<&Entry> for TrailView {
    fn from(entry: &Entry) -> Self {
        Self {
            seq: entry.seq,
            time: rfc3339(entry.at_ms),
            incident_id: entry.meaning.and_then(|meaning| meaning.id.incident()),
            subject: Some(entry.subject.to_string()),
            salt: entry.meaning.map(|meaning| meaning.salt_hex()),
            action: entry.action.as_str(),
            by: entry.by.clone(),
            reason: entry.reason.clone(),
            hash: Some(entry.head().hash_hex()),
        }
    }
}
