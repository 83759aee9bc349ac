//! Group: what a leader's desk appends to the trail at once, and what every node applies to its store.
//!
//! Byte form: version u8, flags u8, salt (16 bytes), then drafts, alarms, deeds and results, each list with its count (4 bytes) and each thing in it with
//! its length (4 bytes); all numbers big-endian.

use crate::id::IncidentId;
use crate::record::alarms::AlarmState;
use crate::record::draft::Draft;

const VERSION: u8 = 1;

/// Bytes of a length, or of a count.
const LENGTH_LEN: usize = 4;

/// Bytes of version, flags and salt, and of the four counts.
const HEAD_LEN: usize = 18 + 4 * LENGTH_LEN;

/// A group of drafts, with the names of what it records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// Random number of which the salts of new subjects are made, so that the trails of all stores are equal.
    pub(crate) salt: u128,
    /// The wall clock of the leader may be wrong: the ids of this time may be too old or too new to go by.
    pub(crate) is_clock_doubted: bool,
    /// What is to be written.
    pub(crate) drafts: Vec<Draft>,
    /// Alarms, with all that is recorded of each with this group.
    pub(crate) alarms: Vec<(IncidentId, AlarmState)>,
    /// Deeds that are done with this group, and how many incidents each changed.
    pub(crate) deeds: Vec<u128>,
    /// What came of each deed that said so, by the tag that its asker gave it.
    pub(crate) results: Vec<(u64, DeedResult)>,
}

/// What came of a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeedResult {
    /// Incidents that it changed.
    pub(crate) count: u64,
    /// The last of these.
    pub(crate) incident: Option<IncidentId>,
}

/// The bytes are no group that this version knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a group of the trail cannot be read: {0}")]
pub(crate) struct BadGroup(pub(crate) String);

impl Group {
    /// Returns the byte form.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.is_clock_doubted.into()];
        out.extend(self.salt.to_be_bytes());
        put_list(&mut out, &self.drafts, Draft::to_bytes);
        put_list(&mut out, &self.alarms, |(alarm, state)| {
            [&alarm.as_u128().to_be_bytes()[..], &state.to_bytes()].concat()
        });
        put_list(&mut out, &self.deeds, |deed| deed.to_be_bytes().to_vec());
        put_list(&mut out, &self.results, |(tag, result)| {
            let mut bytes = tag.to_be_bytes().to_vec();
            bytes.extend(result.count.to_be_bytes());
            bytes.extend(result.incident.into_iter().flat_map(|id| id.as_u128().to_be_bytes()));
            bytes
        });
        out
    }

    /// Reads the byte form.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, BadGroup> {
        let mut rest = bytes;
        let [version, flags] = take(&mut rest)?;
        if version != VERSION {
            return Err(BadGroup(format!(
                "it has format {version}, and this version reads format {VERSION} only"
            )));
        }
        let is_clock_doubted = match flags {
            0 => false,
            1 => true,
            _ => return Err(BadGroup("it has flags that are not known".into())),
        };
        let group = Self {
            salt: u128::from_be_bytes(take(&mut rest)?),
            is_clock_doubted,
            drafts: list(&mut rest, |bytes| {
                Draft::from_bytes(bytes).map_err(|err| BadGroup(err.to_string()))
            })?,
            alarms: list(&mut rest, |mut bytes| {
                let alarm = IncidentId::from_u128(u128::from_be_bytes(take(&mut bytes)?));
                let state = AlarmState::from_bytes(bytes).map_err(|_| cut_off())?;
                Ok((alarm, state))
            })?,
            deeds: list(&mut rest, |mut bytes| Ok(u128::from_be_bytes(take(&mut bytes)?)))?,
            results: list(&mut rest, |mut bytes| {
                let tag = u64::from_be_bytes(take(&mut bytes)?);
                let count = u64::from_be_bytes(take(&mut bytes)?);
                let incident =
                    if bytes.is_empty() { None } else { Some(u128::from_be_bytes(take(&mut bytes)?)) };
                Ok((tag, DeedResult { count, incident: incident.map(IncidentId::from_u128) }))
            })?,
        };
        if rest.is_empty() { Ok(group) } else { Err(BadGroup("something follows it".into())) }
    }
}

/// Length of a draft in a group.
pub(crate) fn draft_len(draft: &Draft) -> usize {
    draft.to_bytes().len() + LENGTH_LEN
}

/// Length of an alarm, or of a deed with its result, at most.
pub(crate) const NAME_LEN_MAX: usize = 16 + 16 + 4 * 16 + LENGTH_LEN;

/// Length of a group without anything in it.
pub(crate) const EMPTY_LEN: usize = HEAD_LEN;

fn put_list<T>(out: &mut Vec<u8>, all: &[T], bytes_of: impl Fn(&T) -> Vec<u8>) {
    put_len(out, all.len());
    for one in all {
        let bytes = bytes_of(one);
        put_len(out, bytes.len());
        out.extend(bytes);
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend(u32::try_from(len).expect("a group has some hundred kilobytes").to_be_bytes());
}

fn list<T>(rest: &mut &[u8], read: impl Fn(&[u8]) -> Result<T, BadGroup>) -> Result<Vec<T>, BadGroup> {
    let count = u32::from_be_bytes(take(rest)?);
    let mut all = Vec::new();
    for _ in 0..count {
        let len = u32::from_be_bytes(take(rest)?) as usize;
        let (bytes, behind) = rest.split_at_checked(len).ok_or_else(cut_off)?;
        all.push(read(bytes)?);
        *rest = behind;
    }
    Ok(all)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BadGroup> {
    let (bytes, behind) = rest.split_first_chunk::<N>().ok_or_else(cut_off)?;
    *rest = behind;
    Ok(*bytes)
}

fn cut_off() -> BadGroup {
    BadGroup("it is cut off".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::incident::Incident;

    #[test]
    fn a_group_is_read_as_it_was_written_and_one_that_was_cut_off_is_not() {
        let id = IncidentId::from_u128;
        let mut state = AlarmState::new(id(1));
        state.note(5, 2);
        let group = Group {
            salt: 9,
            is_clock_doubted: true,
            drafts: vec![Incident::example(id(1), "bus 7").into(), Incident::example(id(2), "bus 8").into()],
            alarms: vec![(id(1), state.clone()), (id(3), state)],
            deeds: vec![4, 5],
            results: vec![
                (6, DeedResult { count: 1, incident: Some(id(1)) }),
                (7, DeedResult { count: 0, incident: None }),
            ],
        };
        let bytes = group.to_bytes();
        assert_eq!(Group::from_bytes(&bytes), Ok(group));
        for end in 0..bytes.len() {
            assert!(Group::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert!(Group::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        let newer = [&[2], &bytes[1..]].concat();
        assert!(Group::from_bytes(&newer).unwrap_err().to_string().contains("format 2"));
    }
}
