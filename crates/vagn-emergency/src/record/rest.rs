//! A part of a rest: what a store knew of one incident before a copy took its place, for the desk of the leader.
//!
//! Byte form: 2, which no deed of a person begins with; the length of the first draft (4 bytes, big-endian) and that draft: the incident as
//! the store knew it, with the events that the copy does not have; then, of one that is over in the copy, a draft of that.

use vagn_cluster::trail::ALARM_MAX;

use crate::record::draft::Draft;
use crate::record::incident::Incident;

/// First byte of a part.
const REST: u8 = 2;

/// A part of a rest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RestPart {
    /// The incident as the store knew it, with the events that the copy lacks.
    pub(crate) knew: Draft,
    /// The incident as the copy has it, if it is over there.
    pub(crate) over: Option<Incident>,
}

/// Returns the parts that tell all of an incident, each with some of the events.
pub(crate) fn parts_of(knew: &Draft, now: Option<Incident>) -> Vec<Vec<u8>> {
    let over =
        now.filter(Incident::is_resolved).map(|now| Draft::of_record(now).to_bytes()).unwrap_or_default();
    let mut parts = Vec::new();
    let mut events = knew.events.as_slice();
    loop {
        let mut count = events.len();
        let part = loop {
            let draft = Draft { events: events[..count].to_vec(), ..knew.clone() }.to_bytes();
            let mut part = vec![REST];
            part.extend((draft.len() as u32).to_be_bytes());
            part.extend(draft);
            part.extend(&over);
            // An event alone is short enough: a person's note is bounded where it comes in.
            if part.len() <= ALARM_MAX || count <= 1 {
                break part;
            }
            count /= 2;
        };
        parts.push(part);
        events = &events[count..];
        if events.is_empty() {
            return parts;
        }
    }
}

impl RestPart {
    /// Returns true for the bytes of a part, whether it can be read or not.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        bytes.first() == Some(&REST)
    }

    /// Reads the byte form; `None` if this version does not know it.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[REST])?;
        let (len, rest) = rest.split_first_chunk()?;
        let (knew, over) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        let knew = Draft::from_bytes(knew).ok()?;
        let over = if over.is_empty() { None } else { Some(Draft::from_bytes(over).ok()?.incident) };
        Some(Self { knew, over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IncidentId;
    use crate::trail::{Event, EventKind, SubjectId};

    #[test]
    fn parts_are_short_and_tell_all_events_once() {
        let id = IncidentId::from_u128(7);
        let event = |number: usize| Event {
            at_ms: number as i64,
            subject: SubjectId::Incident(id),
            action: EventKind::Commented,
            by: "Anna".into(),
            reason: "x".repeat(900).into(),
        };
        let events: Vec<Event> = (0..60).map(event).collect();
        let knew = Draft { events: events.clone(), ..Draft::of_record(Incident::example(id, "bus 7")) };
        let parts = parts_of(&knew, None);
        assert!(
            parts.len() > 3 && parts.iter().all(|part| part.len() <= ALARM_MAX && RestPart::is_one(part))
        );
        let read = parts.iter().flat_map(|part| RestPart::from_bytes(part).unwrap().knew.events);
        assert_eq!(read.collect::<Vec<_>>(), events);
        let mut over = Incident::example(id, "bus 7");
        assert_eq!(RestPart::from_bytes(&parts_of(&knew, Some(over.clone()))[0]).unwrap().over, None);
        over.resolve(crate::record::progress::Decision { by: "Bo".into(), at_ms: 5, note: "".into() });
        let part = &parts_of(&knew, Some(over.clone()))[0];
        assert_eq!(RestPart::from_bytes(part).unwrap().over, Some(over));
        assert!(
            (0..part.len())
                .all(|end| RestPart::from_bytes(&part[..end]).is_none_or(|cut| cut.over.is_none()))
        );
    }
}
