//! The question who of these vehicles is known, as it passes between nodes. What answers it is no part of a shard's content: each owner counts for
//! itself whom it has heard for long, and its [`Outlet`](crate::Outlet) says so.

use vagn_cluster::Damaged;
use vagn_cluster::bytes::Write;
use vagn_store::{Key, VehicleIdBuf};
use vagn_wire::VehicleId;

use super::{VERSION, begin, id, put_id};

/// Most vehicles in a question.
pub const KNOWN_MAX: usize = 256;

const KIND: u8 = 5;

/// Fewest bytes of an id: one behind its length.
const ID_MIN: usize = 2;

/// Appends the question for vehicles, at most [`KNOWN_MAX`].
pub fn write_known_question<'a>(
    vehicle_ids: impl ExactSizeIterator<Item = VehicleId<'a>>,
    out: &mut Vec<u8>,
) {
    out.put_u8(VERSION);
    out.put_u8(KIND);
    out.put_count(vehicle_ids.len());
    vehicle_ids.for_each(|vehicle_id| put_id(&VehicleIdBuf::from(vehicle_id), out));
}

/// Reads what [`write_known_question`] wrote: all of `bytes`.
pub(crate) fn read_known_question(bytes: &[u8]) -> Result<Vec<VehicleIdBuf>, Damaged> {
    let (kind, mut bytes) = begin(bytes)?;
    if kind != KIND {
        return Err(Damaged);
    }
    let count = bytes.count(KNOWN_MAX, ID_MIN)?;
    let ids = (0..count).map(|_| id(&mut bytes)).collect::<Result<_, _>>()?;
    bytes.end()?;
    Ok(ids)
}

/// Appends the answer to the question in these bytes, if it is this one: of each vehicle whether it is known, or nothing where `known` does not
/// tell. Returns false for another question.
pub(crate) fn answer_known(
    question: &[u8],
    known: impl FnOnce(&[Key<'_>]) -> Vec<Option<bool>>,
    out: &mut Vec<u8>,
) -> bool {
    let Ok(ids) = read_known_question(question) else { return false };
    let keys: Vec<_> = ids.iter().map(VehicleIdBuf::key).collect();
    let known = known(&keys);
    out.put_u8(VERSION);
    out.put_u8(KIND);
    out.put_count(known.len());
    known.into_iter().for_each(|known| out.put_u8(known.map_or(0, |known| 1 + u8::from(known))));
    true
}

/// Reads the answer of a shard: in the order of the question, whether each vehicle is known; `None` for those of which it does not tell.
///
/// # Errors
/// [`Damaged`] when no shard wrote such bytes.
pub fn read_known_answer(bytes: &[u8]) -> Result<Vec<Option<bool>>, Damaged> {
    let (kind, mut bytes) = begin(bytes)?;
    if kind != KIND {
        return Err(Damaged);
    }
    let count = bytes.count(KNOWN_MAX, 1)?;
    let read = |_| match bytes.u8()? {
        0 => Ok(None),
        1 => Ok(Some(false)),
        2 => Ok(Some(true)),
        _ => Err(Damaged),
    };
    let known = (0..count).map(read).collect::<Result<_, _>>()?;
    bytes.end()?;
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(ids: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_known_question(ids.iter().map(|id| VehicleId::new(id).unwrap()), &mut bytes);
        bytes
    }

    #[test]
    fn each_vehicle_has_its_answer() {
        let ids = ["bus", "0f7e3a52-0000-4000-8000-000000000001", "tram"];
        let mut out = Vec::new();
        let told = vec![Some(true), None, Some(false)];
        assert!(answer_known(
            &question(&ids),
            |keys| {
                assert_eq!(keys, ids.map(|id| Key::of(VehicleId::new(id).unwrap())));
                told.clone()
            },
            &mut out
        ));
        assert_eq!(read_known_answer(&out), Ok(told));
    }

    #[test]
    fn what_is_cut_off_or_too_long_or_of_another_kind_is_refused() {
        let whole = question(&["bus", "tram"]);
        assert!((0..whole.len()).all(|len| read_known_question(&whole[..len]).is_err()));
        assert!(read_known_question(&question(&["bus"; KNOWN_MAX + 1])).is_err());
        let mut count = Vec::new();
        super::super::write_question(&vagn_store::Question::Count, &mut count);
        assert!(read_known_question(&count).is_err() && read_known_answer(&count).is_err());
    }
}
