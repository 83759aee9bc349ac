//! Byte forms of questions and answers, as they pass between nodes.
//!
//! Each begins with its version. A node that does not know the version of a question gives no answer, and one that cannot read an
//! answer takes it for none: the shard then counts as missing, and another version of the service is asked for nothing.

mod known;
#[cfg(test)]
pub(crate) mod tests;

use vagn_cluster::Damaged;
use vagn_cluster::bytes::{Reader as Bytes, Write};
use vagn_store::{Answer, BBox, Hit, Key, Nearby, Question, Reader, Sight, Sighting, Vehicle, VehicleIdBuf};
use vagn_wire::{Position, VehicleId};

pub(crate) use known::answer_known;
pub use known::{KNOWN_MAX, read_known_answer, write_known_question};

const VERSION: u8 = 1;

/// Most vehicles that a question may ask for. A question for more is written, but not read.
pub const ASKED_MAX: usize = 100_000;

/// Fewest bytes of a vehicle: an id of one byte behind its length, a place, two times, the receive number, and flags.
const VEHICLE_MIN: usize = 2 + 2 * 8 + 2 * 8 + 8 + 1;

/// Length of an id that stands for a UUID in 16 bytes. No id is empty.
const UUID: u8 = 0;

const NEAREST: u8 = 1;
const INSIDE: u8 = 2;
const ONE: u8 = 3;
const COUNT: u8 = 4;

const HAS_SEQ: u8 = 1;
const HAS_SPEED: u8 = 2;
const HAS_HEADING: u8 = 4;
const EMERGENCY: u8 = 8;
const OWN_TIME: u8 = 16;
const UNSURE: u8 = 32;
const FLAGS: u8 = 63;

/// Appends the answer of a shard to the question in these bytes; nothing, if that cannot be read.
pub fn answer(question: &[u8], reader: &Reader, out: &mut Vec<u8>) {
    if let Ok(question) = read_question(question) {
        write_answer(&question.ask_shard(reader), out);
    }
}

/// Appends a question.
pub fn write_question(question: &Question, out: &mut Vec<u8>) {
    out.put_u8(VERSION);
    match question {
        Question::Nearest { sight, nearby } => {
            out.put(&[NEAREST, sight_code(*sight)]);
            put_position(nearby.center, out);
            put_most(nearby.k, out);
            put_f64(nearby.max_m, out);
            out.put_u8(nearby.newer_than_ms.is_some().into());
            if let Some(time_ms) = nearby.newer_than_ms {
                out.put_i64(time_ms);
            }
        }
        Question::Inside { sight, bbox, limit } => {
            out.put(&[INSIDE, sight_code(*sight)]);
            for edge in bbox.edges() {
                put_f64(edge, out);
            }
            put_most(*limit, out);
        }
        Question::One { sight, id } => {
            out.put(&[ONE, sight_code(*sight)]);
            put_id(id, out);
        }
        Question::Count => out.put_u8(COUNT),
    }
}

/// Reads what [`write_question`] wrote: all of `bytes`.
///
/// # Errors
/// [`Damaged`] when it wrote no such bytes, or they ask for more than [`ASKED_MAX`] vehicles.
pub fn read_question(bytes: &[u8]) -> Result<Question, Damaged> {
    let (kind, mut bytes) = begin(bytes)?;
    let question = match kind {
        NEAREST => Question::Nearest { sight: sight(&mut bytes)?, nearby: nearby(&mut bytes)? },
        INSIDE => {
            let sight = sight(&mut bytes)?;
            let [west, south, east, north] =
                [f64(&mut bytes)?, f64(&mut bytes)?, f64(&mut bytes)?, f64(&mut bytes)?];
            let bbox = BBox::new(west, south, east, north).map_err(|_| Damaged)?;
            Question::Inside { sight, bbox, limit: most(&mut bytes)? }
        }
        ONE => Question::One { sight: sight(&mut bytes)?, id: id(&mut bytes)? },
        COUNT => Question::Count,
        _ => return Err(Damaged),
    };
    bytes.end()?;
    Ok(question)
}

/// Appends an answer.
pub fn write_answer(answer: &Answer, out: &mut Vec<u8>) {
    out.put_u8(VERSION);
    match answer {
        Answer::Nearest(hits) => {
            out.put_u8(NEAREST);
            out.put_count(hits.len());
            for hit in hits {
                put_vehicle(&hit.vehicle, out);
                put_f64(hit.distance_m, out);
            }
        }
        Answer::Inside(vehicles) => {
            out.put_u8(INSIDE);
            out.put_count(vehicles.len());
            for vehicle in vehicles {
                put_vehicle(vehicle, out);
            }
        }
        Answer::One(vehicle) => {
            out.put_u8(ONE);
            out.put_u8(vehicle.is_some().into());
            if let Some(vehicle) = vehicle {
                put_vehicle(vehicle, out);
            }
        }
        Answer::Count(count) => {
            out.put_u8(COUNT);
            out.put_u64(*count);
        }
    }
}

/// Reads what [`write_answer`] wrote: all of `bytes`. They may come from another node, and take memory only as they have vehicles.
///
/// # Errors
/// [`Damaged`] when it wrote no such bytes.
pub fn read_answer(bytes: &[u8]) -> Result<Answer, Damaged> {
    let (kind, mut bytes) = begin(bytes)?;
    let answer = match kind {
        NEAREST => Answer::Nearest(list(&mut bytes, VEHICLE_MIN + 8, hit)?),
        INSIDE => Answer::Inside(list(&mut bytes, VEHICLE_MIN, vehicle)?),
        ONE => Answer::One(if bytes.flag()? { Some(vehicle(&mut bytes)?) } else { None }),
        COUNT => Answer::Count(bytes.u64()?),
        _ => return Err(Damaged),
    };
    bytes.end()?;
    Ok(answer)
}

/// Reads version and kind.
fn begin(bytes: &[u8]) -> Result<(u8, Bytes<'_>), Damaged> {
    let mut bytes = Bytes::new(bytes);
    if bytes.u8()? != VERSION {
        return Err(Damaged);
    }
    Ok((bytes.u8()?, bytes))
}

fn list<T>(
    bytes: &mut Bytes<'_>,
    least: usize,
    read: impl Fn(&mut Bytes<'_>) -> Result<T, Damaged>,
) -> Result<Vec<T>, Damaged> {
    let count = bytes.count(ASKED_MAX, least)?;
    (0..count).map(|_| read(bytes)).collect()
}

fn sight_code(sight: Sight) -> u8 {
    match sight {
        Sight::Exact => 0,
        Sight::Coarse => 1,
    }
}

fn sight(bytes: &mut Bytes<'_>) -> Result<Sight, Damaged> {
    Ok(if bytes.flag()? { Sight::Coarse } else { Sight::Exact })
}

fn nearby(bytes: &mut Bytes<'_>) -> Result<Nearby, Damaged> {
    let center = position(bytes)?;
    let k = most(bytes)?;
    let max_m = f64(bytes)?;
    let newer_than_ms = if bytes.flag()? { Some(bytes.i64()?) } else { None };
    Ok(Nearby { center, k, max_m, newer_than_ms })
}

fn put_most(most: usize, out: &mut Vec<u8>) {
    out.put_u32(u32::try_from(most).unwrap_or(u32::MAX));
}

fn most(bytes: &mut Bytes<'_>) -> Result<usize, Damaged> {
    let most = bytes.u32()? as usize;
    if most > ASKED_MAX { Err(Damaged) } else { Ok(most) }
}

fn put_f64(value: f64, out: &mut Vec<u8>) {
    out.put_u64(value.to_bits());
}

fn f64(bytes: &mut Bytes<'_>) -> Result<f64, Damaged> {
    bytes.u64().map(f64::from_bits)
}

/// Reads a speed or a heading.
fn amount(bytes: &mut Bytes<'_>) -> Result<f32, Damaged> {
    let value = f32::from_bits(bytes.u32()?);
    if value.is_finite() { Ok(value) } else { Err(Damaged) }
}

fn put_position(position: Position, out: &mut Vec<u8>) {
    put_f64(position.lat(), out);
    put_f64(position.lon(), out);
}

fn position(bytes: &mut Bytes<'_>) -> Result<Position, Damaged> {
    Position::new(f64(bytes)?, f64(bytes)?).map_err(|_| Damaged)
}

fn put_id(id: &VehicleIdBuf, out: &mut Vec<u8>) {
    match id.key() {
        Key::Uuid(uuid) => {
            out.put_u8(UUID);
            out.put(&uuid);
        }
        Key::Text(text) => {
            out.put_u8(text.len() as u8);
            out.put(text.as_bytes());
        }
    }
}

fn id(bytes: &mut Bytes<'_>) -> Result<VehicleIdBuf, Damaged> {
    let key = match bytes.u8()? {
        UUID => Key::Uuid(bytes.take(16)?.try_into().expect("sixteen were taken")),
        len => {
            let text = VehicleId::from_bytes(bytes.take(len.into())?).map_err(|_| Damaged)?;
            let key = Key::of(text);
            // A UUID has one form only.
            if matches!(key, Key::Uuid(_)) {
                return Err(Damaged);
            }
            key
        }
    };
    Ok(VehicleIdBuf::from(key))
}

fn put_vehicle(vehicle: &Vehicle, out: &mut Vec<u8>) {
    let seen = &vehicle.sighting;
    put_id(&vehicle.id, out);
    put_position(seen.position, out);
    out.put_i64(seen.event_time_ms);
    out.put_i64(seen.receive_time_ms);
    out.put_u64(seen.receive_seq);
    let flags = [
        (seen.seq.is_some(), HAS_SEQ),
        (seen.speed_mps.is_some(), HAS_SPEED),
        (seen.heading_deg.is_some(), HAS_HEADING),
        (seen.emergency, EMERGENCY),
        (seen.own_time, OWN_TIME),
        (seen.unsure, UNSURE),
    ];
    out.put_u8(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
    if let Some(seq) = seen.seq {
        out.put_u64(seq);
    }
    for value in [seen.speed_mps, seen.heading_deg].into_iter().flatten() {
        out.put_u32(value.to_bits());
    }
}

fn vehicle(bytes: &mut Bytes<'_>) -> Result<Vehicle, Damaged> {
    let id = id(bytes)?;
    let position = position(bytes)?;
    let event_time_ms = bytes.i64()?;
    let receive_time_ms = bytes.i64()?;
    let receive_seq = bytes.u64()?;
    let flags = bytes.u8()?;
    if flags & !FLAGS != 0 {
        return Err(Damaged);
    }
    let has = |flag| flags & flag != 0;
    let sighting = Sighting {
        position,
        event_time_ms,
        receive_time_ms,
        receive_seq,
        seq: if has(HAS_SEQ) { Some(bytes.u64()?) } else { None },
        speed_mps: if has(HAS_SPEED) { Some(amount(bytes)?) } else { None },
        heading_deg: if has(HAS_HEADING) { Some(amount(bytes)?) } else { None },
        emergency: has(EMERGENCY),
        own_time: has(OWN_TIME),
        unsure: has(UNSURE),
    };
    Ok(Vehicle { id, sighting })
}

fn hit(bytes: &mut Bytes<'_>) -> Result<Hit, Damaged> {
    let vehicle = vehicle(bytes)?;
    let distance_m = f64(bytes)?;
    let is_distance = distance_m.is_finite() && distance_m >= 0.0;
    if is_distance { Ok(Hit { vehicle, distance_m }) } else { Err(Damaged) }
}
