//! Messages about alarms and deeds between nodes, and their byte form: version, kind, fields, and a hash of it all. The kinds are none
//! of those between nodes for shards, so a driver gives what comes to both.

use crate::bytes::{Reader, Write, seal};
use crate::hash::hash;
use crate::ids::Incarnation;
use crate::state::Damaged;
use crate::trail::entry::{name, put_name, put_versions, versions};
use crate::trail::ids::{AlarmId, AlarmVersion, DeedId, TrailId};
use crate::trail::mark::{MARK_LEN, Mark};
use crate::trail::state::Refusal;

/// Longest alarm, deed, or answer to a deed, in bytes.
pub const ALARM_MAX: usize = 16 << 10;

/// Longest note of what a door did about an alarm by itself, in bytes.
pub const NOTE_MAX: usize = 4 << 10;

/// Longest piece of a copy, in bytes.
pub(crate) const PIECE_MAX: usize = 128 << 10;

/// Longest place in a copy, in bytes.
pub const PLACE_MAX: usize = 64;

const VERSION: u8 = 1;

/// A message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrailMessage {
    /// A door hands an alarm to the leader.
    Alarm(Alarm),
    /// These alarms are in the trail, in these versions.
    Recorded { trail: TrailId, alarms: Vec<AlarmVersion> },
    /// The leader called without a record.
    Called { alarm: AlarmId },
    /// The leader has no room for it.
    NoRoom { alarm: AlarmId },
    /// A limit is for it. A node that does not know this message goes on as if the leader were silent.
    Refused(AlarmVersion, Refusal),
    /// The incident of this alarm is over, and this version says more: it is to come again under a new id.
    Over(AlarmVersion),
    /// A person wants something done.
    Deed { deed: DeedId, bytes: Vec<u8> },
    /// It is in the trail.
    DeedDone { deed: DeedId },
    /// The desk refused it.
    DeedRefused { deed: DeedId, answer: Vec<u8> },
    /// It could not be recorded.
    DeedUnavailable { deed: DeedId },
    /// A part of a node's rest: what its store had before a copy took its place. Answered like a deed.
    Rest { deed: DeedId, bytes: Vec<u8> },
    /// How far a node's store has the trail. Goes to all nodes.
    Progress(Progress),
    /// A node asks for a piece of a copy: of this trail, from its beginning or behind what it has.
    AskCopy { trail: TrailId, least: u64, of: Option<Mark>, from: Vec<u8> },
    /// A piece of a copy, from a place on.
    Piece { mark: Mark, from: Vec<u8>, bytes: Vec<u8>, next: Option<Vec<u8>> },
    /// The copy with this mark is not held any more.
    NoCopy { of: Mark },
}

/// How far a node's store has the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) trail: TrailId,
    /// Last entry that is in its store, on disk.
    pub(crate) saved: u64,
    pub(crate) state: Standing,
    /// Its clock, ms since 1970.
    pub(crate) wall_ms: i64,
    /// Hash of its settings that must be equal on all nodes; `None`: it calls nobody.
    pub(crate) settings_hash: Option<u64>,
}

impl Progress {
    /// Returns true if its node follows this trail, and entries of a leader come.
    pub(crate) fn follows(&self, trail: TrailId) -> bool {
        self.state == Standing::Follows && self.trail == trail
    }
}

/// What a node does with the trail that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It follows, and entries of a leader come.
    Follows,
    /// It found it broken.
    Stopped,
    /// It waits for a copy.
    Lacks,
    /// It copies, and goes on behind `saved`.
    Copies,
    /// It would follow, and no entries of a leader come. Whether the trail is as this node has it is not known yet.
    Waits,
}

/// An alarm, as a door hands it to the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Its id.
    pub id: AlarmId,
    /// The alarm itself, at most [`ALARM_MAX`] bytes.
    pub bytes: Vec<u8>,
    /// The door called by itself: it is to be marked `unrecorded`.
    pub unrecorded: bool,
    /// What came of the door's own call, as its driver tells it; empty while nothing did. At most [`NOTE_MAX`] bytes.
    pub note: Vec<u8>,
}

impl Alarm {
    pub(crate) fn version(&self) -> AlarmVersion {
        let hash = hash(&[&self.bytes, &self.note, &[self.unrecorded.into()]]);
        AlarmVersion { alarm: self.id, hash }
    }
}

impl TrailMessage {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Alarm(alarm) => {
                out.put_u8(65);
                put_name(&mut out, alarm.id.0);
                out.put_u8(alarm.unrecorded.into());
                out.put_long(&alarm.note);
                out.put_long(&alarm.bytes);
            }
            Self::Recorded { trail, alarms } => {
                out.put_u8(66);
                put_trail(&mut out, *trail);
                put_versions(&mut out, alarms);
            }
            Self::Called { alarm } => put_named(&mut out, 67, alarm.0),
            Self::NoRoom { alarm } => put_named(&mut out, 68, alarm.0),
            Self::Deed { deed, bytes } => {
                put_named(&mut out, 69, deed.0);
                out.put_long(bytes);
            }
            Self::DeedDone { deed } => put_named(&mut out, 70, deed.0),
            Self::DeedRefused { deed, answer } => {
                put_named(&mut out, 71, deed.0);
                out.put_long(answer);
            }
            Self::DeedUnavailable { deed } => put_named(&mut out, 72, deed.0),
            Self::Over(version) => {
                put_named(&mut out, 73, version.alarm.0);
                out.put_u64(version.hash);
            }
            Self::Rest { deed, bytes } => {
                put_named(&mut out, 74, deed.0);
                out.put_long(bytes);
            }
            Self::Progress(Progress { trail, saved, state, wall_ms, settings_hash }) => {
                out.put_u8(75);
                put_trail(&mut out, *trail);
                out.put_u64(*saved);
                out.put_u8(*state as u8);
                out.put_i64(*wall_ms);
                put_hash(&mut out, *settings_hash);
            }
            Self::AskCopy { trail, least, of, from } => {
                out.put_u8(76);
                put_trail(&mut out, *trail);
                out.put_u64(*least);
                out.put_long(&of.map_or(Vec::new(), |mark| mark.write()));
                out.put_long(from);
            }
            Self::Piece { mark, from, bytes, next } => {
                out.put_u8(77);
                out.put_long(&mark.write());
                out.put_long(from);
                out.put_long(bytes);
                out.put_u8(next.is_some().into());
                out.put_long(next.as_deref().unwrap_or_default());
            }
            Self::NoCopy { of } => {
                out.put_u8(78);
                out.put_long(&of.write());
            }
            Self::Refused(version, Refusal { limit, ends }) => {
                out.put_u8(79);
                put_name(&mut out, version.alarm.0);
                out.put_u64(version.hash);
                out.put_u8(*limit);
                out.put_u8((*ends).into());
            }
        }
        seal(&mut out);
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::unseal(bytes)?;
        if reader.u8()? != VERSION {
            return Err(Damaged);
        }
        let message = match reader.u8()? {
            65 => Self::Alarm(Alarm {
                id: AlarmId(name(&mut reader)?),
                unrecorded: reader.flag()?,
                note: reader.long(NOTE_MAX)?.to_vec(),
                bytes: reader.long(ALARM_MAX)?.to_vec(),
            }),
            66 => Self::Recorded { trail: trail(&mut reader)?, alarms: versions(&mut reader)? },
            67 => Self::Called { alarm: AlarmId(name(&mut reader)?) },
            68 => Self::NoRoom { alarm: AlarmId(name(&mut reader)?) },
            69 => Self::Deed { deed: DeedId(name(&mut reader)?), bytes: reader.long(ALARM_MAX)?.to_vec() },
            70 => Self::DeedDone { deed: DeedId(name(&mut reader)?) },
            71 => Self::DeedRefused {
                deed: DeedId(name(&mut reader)?),
                answer: reader.long(ALARM_MAX)?.to_vec(),
            },
            72 => Self::DeedUnavailable { deed: DeedId(name(&mut reader)?) },
            73 => Self::Over(AlarmVersion { alarm: AlarmId(name(&mut reader)?), hash: reader.u64()? }),
            74 => Self::Rest { deed: DeedId(name(&mut reader)?), bytes: reader.long(ALARM_MAX)?.to_vec() },
            75 => Self::Progress(Progress {
                trail: trail(&mut reader)?,
                saved: reader.u64()?,
                state: standing(reader.u8()?)?,
                wall_ms: reader.i64()?,
                settings_hash: hash_or_none(&mut reader)?,
            }),
            76 => Self::AskCopy {
                trail: trail(&mut reader)?,
                least: reader.u64()?,
                of: match reader.long(MARK_LEN)? {
                    [] => None,
                    mark => Some(Mark::read(mark)?),
                },
                from: reader.long(PLACE_MAX)?.to_vec(),
            },
            77 => Self::Piece {
                mark: Mark::read(reader.long(MARK_LEN)?)?,
                from: reader.long(PLACE_MAX)?.to_vec(),
                bytes: reader.long(PIECE_MAX)?.to_vec(),
                next: match (reader.flag()?, reader.long(PLACE_MAX)?) {
                    (true, next) => Some(next.to_vec()),
                    (false, []) => None,
                    (false, _) => return Err(Damaged),
                },
            },
            78 => Self::NoCopy { of: Mark::read(reader.long(MARK_LEN)?)? },
            79 => {
                let version = AlarmVersion { alarm: AlarmId(name(&mut reader)?), hash: reader.u64()? };
                Self::Refused(version, Refusal { limit: reader.u8()?, ends: reader.flag()? })
            }
            _ => return Err(Damaged),
        };
        reader.end()?;
        Ok(message)
    }
}

fn put_hash(out: &mut Vec<u8>, hash: Option<u64>) {
    out.put_u8(hash.is_some().into());
    out.put_u64(hash.unwrap_or(0));
}

fn hash_or_none(reader: &mut Reader<'_>) -> Result<Option<u64>, Damaged> {
    match (reader.flag()?, reader.u64()?) {
        (true, hash) => Ok(Some(hash)),
        (false, 0) => Ok(None),
        (false, _) => Err(Damaged),
    }
}

fn put_trail(out: &mut Vec<u8>, trail: TrailId) {
    out.put_u32(trail.epoch);
    out.put_u64(trail.incarnation.0);
}

fn trail(reader: &mut Reader<'_>) -> Result<TrailId, Damaged> {
    Ok(TrailId { epoch: reader.u32()?, incarnation: Incarnation(reader.u64()?) })
}

fn standing(number: u8) -> Result<Standing, Damaged> {
    let all = [Standing::Follows, Standing::Stopped, Standing::Lacks, Standing::Copies, Standing::Waits];
    all.get(usize::from(number)).copied().ok_or(Damaged)
}

fn put_named(out: &mut Vec<u8>, kind: u8, name: u128) {
    out.put_u8(kind);
    put_name(out, name);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bytes::{assert_damage_is_found, assert_no_damage_panics};
    use crate::message::Message;

    /// By the name that each has in the corpus.
    pub(crate) fn named() -> impl Iterator<Item = (&'static str, TrailMessage)> {
        let (alarm, deed) = (AlarmId(5), DeedId(6));
        let trail = TrailId { epoch: 1, incarnation: Incarnation(9) };
        let called = Alarm { id: alarm, bytes: vec![1, 2], unrecorded: true, note: vec![3] };
        [
            ("alarm", TrailMessage::Alarm(called.clone())),
            ("recorded", TrailMessage::Recorded { trail, alarms: vec![called.version()] }),
            ("called", TrailMessage::Called { alarm }),
            ("noroom", TrailMessage::NoRoom { alarm }),
            ("refused", TrailMessage::Refused(called.version(), Refusal { limit: 2, ends: true })),
            ("deed", TrailMessage::Deed { deed, bytes: vec![4] }),
            ("deeddone", TrailMessage::DeedDone { deed }),
            ("deedrefused", TrailMessage::DeedRefused { deed, answer: vec![7] }),
            ("deedunavailable", TrailMessage::DeedUnavailable { deed }),
            ("over", TrailMessage::Over(called.version())),
            ("rest", TrailMessage::Rest { deed, bytes: vec![4] }),
            (
                "progress",
                TrailMessage::Progress(Progress {
                    trail,
                    saved: 7,
                    state: Standing::Copies,
                    wall_ms: -3,
                    settings_hash: Some(5),
                }),
            ),
            ("askcopy", TrailMessage::AskCopy { trail, least: 3, of: None, from: Vec::new() }),
            (
                "askmore",
                TrailMessage::AskCopy { trail, least: 3, of: Some(Mark::begin(trail)), from: vec![8] },
            ),
            (
                "piece",
                TrailMessage::Piece {
                    mark: Mark::begin(trail),
                    from: vec![8],
                    bytes: vec![1, 2],
                    next: Some(vec![9]),
                },
            ),
            (
                "lastpiece",
                TrailMessage::Piece {
                    mark: Mark::begin(trail),
                    from: vec![9],
                    bytes: Vec::new(),
                    next: None,
                },
            ),
            ("nocopy", TrailMessage::NoCopy { of: Mark::begin(trail) }),
        ]
        .into_iter()
    }

    #[test]
    fn each_is_read_as_it_was_written_and_damage_is_found() {
        let mut chance = fastrand::Rng::with_seed(19);
        for (_, message) in named() {
            let bytes = message.write();
            assert!(Message::read(&bytes).is_err(), "no message of shards is one of these");
            assert_eq!(TrailMessage::read(&bytes), Ok(message));
            assert_damage_is_found(&bytes, TrailMessage::read);
            assert_no_damage_panics(&bytes, &mut chance, TrailMessage::read, TrailMessage::write);
        }
    }
}
