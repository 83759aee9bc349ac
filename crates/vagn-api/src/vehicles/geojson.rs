//! Vehicles as GeoJSON (RFC 7946), each with the age of its position.
//!
//! Written by hand: these answers are asked for most, and serde takes four times as long.

use axum::response::Response;
use vagn_store::{Hit, Sight, Vehicle, Whole};

use super::json;
use super::partial::{self, marked};
use crate::services::Odd;
use vagn_flow::rfc3339;
use vagn_http::account::Portion;
use vagn_http::{answer, pieces};

/// Media type of the answers made here.
const MEDIA_TYPE: &str = "application/geo+json";

/// Bytes set aside for a vehicle; few take more, and the answer then grows.
const FEATURE_LEN: usize = 320;
/// Bytes set aside for the frame around all vehicles.
const FRAME_LEN: usize = 128;

/// Most vehicles of an answer that is made at once.
const WHOLE_MAX: usize = 40;

/// Answers with all vehicles near a point, nearest first. `room` is for the hits, which are held until all of a long answer is
/// taken.
pub(crate) fn hits(hits: Whole<Vec<Hit>>, sight: Sight, now_ms: i64, room: Portion) -> Response {
    match sight {
        Sight::Exact => all(hits, false, now_ms, room, exact_hit),
        Sight::Coarse => all(hits, false, now_ms, room, coarse_hit),
    }
}

/// Answers at once with vehicles near a point, of a fleet that has all its parts.
pub fn nearby(hits: &[Hit], truncated: bool, now_ms: i64) -> Response {
    answer::live(MEDIA_TYPE, collection(hits, Frame { truncated, now_ms, missing_shards: &[] }, exact_hit))
}

/// Answers at once with vehicles near a point.
pub(crate) fn responders(hits: Whole<Vec<Hit>>, truncated: bool, now_ms: i64) -> Response {
    let (hits, extent) = hits.split();
    let frame = Frame { truncated, now_ms, missing_shards: &extent.missing_shards };
    marked(answer::live(MEDIA_TYPE, collection(&hits, frame, exact_hit)), &extent)
}

/// Answers with the first `limit` of `vehicles`, and tells if there are more. `room` is for the vehicles.
pub(crate) fn vehicles(
    mut vehicles: Whole<Vec<Vehicle>>,
    limit: usize,
    sight: Sight,
    now_ms: i64,
    room: Portion,
) -> Response {
    let truncated = vehicles.value.len() > limit;
    vehicles.value.truncate(limit);
    match sight {
        Sight::Exact => all(vehicles, truncated, now_ms, room, exact),
        Sight::Coarse => all(vehicles, truncated, now_ms, room, coarse),
    }
}

/// Answers with all that was found, at once where it is little.
fn all<T: Send + 'static>(
    found: Whole<Vec<T>>,
    truncated: bool,
    now_ms: i64,
    mut room: Portion,
    write: impl Fn(&mut Vec<u8>, &T, i64) + Send + 'static,
) -> Response {
    let (found, extent) = found.split();
    let frame = Frame { truncated, now_ms, missing_shards: &extent.missing_shards };
    let response = if found.len() <= WHOLE_MAX {
        answer::live(MEDIA_TYPE, collection(&found, frame, write))
    } else {
        room.shrink(found.len() * size_of::<T>());
        in_pieces(found, frame, room, write)
    };
    marked(response, &extent)
}

fn exact(out: &mut Vec<u8>, vehicle: &Vehicle, now_ms: i64) {
    feature(out, vehicle, None, &[], now_ms);
}

fn exact_hit(out: &mut Vec<u8>, hit: &Hit, now_ms: i64) {
    feature(out, &hit.vehicle, Some(hit.distance_m), &[], now_ms);
}

fn coarse(out: &mut Vec<u8>, vehicle: &Vehicle, now_ms: i64) {
    coarse_feature(out, vehicle, None, now_ms);
}

fn coarse_hit(out: &mut Vec<u8>, hit: &Hit, now_ms: i64) {
    coarse_feature(out, &hit.vehicle, Some(hit.distance_m), now_ms);
}

fn in_pieces<T: Send + 'static>(
    found: Vec<T>,
    frame: Frame<'_>,
    room: Portion,
    write: impl Fn(&mut Vec<u8>, &T, i64) + Send + 'static,
) -> Response {
    let mut head = Vec::with_capacity(FRAME_LEN);
    begin(&mut head, found.len(), frame);
    let now_ms = frame.now_ms;
    let write = move |out: &mut Vec<u8>, one: &T| write(out, one, now_ms);
    pieces::live(MEDIA_TYPE, room, pieces::list(head, found, b",", write, END.to_vec()))
}

/// Answers with one vehicle, and with what is odd about it.
pub(crate) fn vehicle(vehicle: &Vehicle, odd: &[Odd], now_ms: i64) -> Response {
    let mut out = Vec::with_capacity(FEATURE_LEN);
    feature(&mut out, vehicle, None, odd, now_ms);
    answer::live(MEDIA_TYPE, out)
}

/// Answers with one vehicle as it is seen coarsely.
pub(crate) fn coarse_vehicle(vehicle: &Vehicle, now_ms: i64) -> Response {
    let mut out = Vec::with_capacity(FEATURE_LEN);
    coarse_feature(&mut out, vehicle, None, now_ms);
    answer::live(MEDIA_TYPE, out)
}

/// What an answer says of its vehicles together.
#[derive(Clone, Copy)]
struct Frame<'a> {
    /// More vehicles match than were let through or searched.
    truncated: bool,
    /// Time of the answer.
    now_ms: i64,
    /// Shards whose vehicles are not among them.
    missing_shards: &'a [u16],
}

/// Writes a feature collection.
fn collection<T>(found: &[T], frame: Frame<'_>, write: impl Fn(&mut Vec<u8>, &T, i64)) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_LEN + found.len() * FEATURE_LEN);
    begin(&mut out, found.len(), frame);
    for (at, one) in found.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(&mut out, one, frame.now_ms);
    }
    out.extend_from_slice(END);
    out
}

/// Writes what stands in front of the first vehicle.
fn begin(out: &mut Vec<u8>, count: usize, frame: Frame<'_>) {
    out.extend_from_slice(b"{\"type\":\"FeatureCollection\",\"time\":\"");
    rfc3339::push(out, frame.now_ms);
    out.extend_from_slice(b"\",\"returned\":");
    json::integer(out, count as u64);
    out.extend_from_slice(b",\"truncated\":");
    json::boolean(out, frame.truncated);
    partial::members(out, frame.missing_shards);
    out.extend_from_slice(b",\"features\":[");
}

/// What stands behind the last vehicle.
const END: &[u8] = b"]}";

/// Writes one vehicle. `emergency_flag` is that of a real alarm or of a drill; the sighting does not know which.
pub(super) fn feature(
    out: &mut Vec<u8>,
    vehicle: &Vehicle,
    distance_m: Option<f64>,
    odd: &[Odd],
    now_ms: i64,
) {
    place_and_time(out, vehicle, distance_m, now_ms);
    let seen = &vehicle.sighting;
    out.extend_from_slice(b",\"speed_mps\":");
    json::number_or_null(out, seen.speed_mps);
    out.extend_from_slice(b",\"heading_deg\":");
    json::number_or_null(out, seen.heading_deg);
    out.extend_from_slice(b",\"emergency_flag\":");
    json::boolean(out, seen.emergency);
    if !odd.is_empty() {
        oddities(out, odd);
    }
    out.extend_from_slice(b"}}");
}

/// Writes one vehicle as it is seen coarsely: what it does not tell is left out, and not told as null or false.
pub(super) fn coarse_feature(out: &mut Vec<u8>, vehicle: &Vehicle, distance_m: Option<f64>, now_ms: i64) {
    place_and_time(out, vehicle, distance_m, now_ms);
    out.extend_from_slice(b"}}");
}

/// Writes a vehicle up to the properties that are not told coarsely.
#[inline]
fn place_and_time(out: &mut Vec<u8>, vehicle: &Vehicle, distance_m: Option<f64>, now_ms: i64) {
    let seen = &vehicle.sighting;
    out.extend_from_slice(b"{\"type\":\"Feature\",\"id\":");
    json::string(out, &vehicle.id);
    // GeoJSON has the longitude first.
    out.extend_from_slice(b",\"geometry\":{\"type\":\"Point\",\"coordinates\":[");
    json::number(out, seen.position.lon());
    out.push(b',');
    json::number(out, seen.position.lat());
    out.extend_from_slice(b"]},\"properties\":{");
    if let Some(distance_m) = distance_m {
        out.extend_from_slice(b"\"distance_m\":");
        json::number(out, distance_m);
        out.push(b',');
    }
    out.extend_from_slice(b"\"age_s\":");
    json::number(out, now_ms.saturating_sub(seen.event_time_ms) as f64 / 1e3);
    out.extend_from_slice(b",\"time\":\"");
    rfc3339::push(out, seen.event_time_ms);
    out.push(b'"');
}

/// Writes the property `odd`.
fn oddities(out: &mut Vec<u8>, odd: &[Odd]) {
    out.extend_from_slice(b",\"odd\":[");
    for (at, odd) in odd.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"part\":");
        json::string(out, odd.oddity.part().as_str());
        out.extend_from_slice(b",\"what\":");
        json::string(out, odd.oddity.as_str());
        out.extend_from_slice(b",\"since\":\"");
        rfc3339::push(out, odd.since_ms);
        out.extend_from_slice(b"\",\"last\":\"");
        rfc3339::push(out, odd.last_ms);
        out.extend_from_slice(b"\",\"reports\":");
        json::integer(out, odd.reports);
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vagn_store::{Index, Key, Plan, Sighting, Updates, Writer};
    use vagn_wire::{Position, VehicleId};

    fn vehicle(id: &str, random: &mut fastrand::Rng) -> Vehicle {
        let position = Position::new(random.f64() * 180.0 - 90.0, random.f64() * 360.0 - 180.0).unwrap();
        let sighting = Sighting {
            position,
            event_time_ms: random.i64(0..4_000_000_000_000),
            receive_time_ms: 0,
            receive_seq: 1,
            seq: None,
            speed_mps: random.bool().then(|| random.f32() * 40.0),
            heading_deg: random.bool().then(|| random.u16(..360).into()),
            emergency: random.bool(),
            own_time: true,
            unsure: false,
        };
        let (mut updates, mut writer) = (Updates::new(), Writer::new(Index::new(1)));
        let key = Key::of(VehicleId::new(id).unwrap());
        updates.push(key, key.hash(), sighting);
        writer.write(&updates, &mut Plan::default());
        writer.reader().get(key).unwrap()
    }

    fn expected(vehicle: &Vehicle, distance_m: Option<f64>, now_ms: i64) -> serde_json::Value {
        let seen = &vehicle.sighting;
        // As text first: a `Value` would hold an f32 with the digits of an f64.
        let speed_mps: serde_json::Value =
            serde_json::from_str(&serde_json::to_string(&seen.speed_mps).unwrap()).unwrap();
        let mut properties = json!({
            "age_s": (now_ms - seen.event_time_ms) as f64 / 1e3,
            "time": rfc3339::rfc3339(seen.event_time_ms),
            "speed_mps": speed_mps,
            "heading_deg": seen.heading_deg,
            "emergency_flag": seen.emergency,
        });
        if let Some(distance_m) = distance_m {
            properties["distance_m"] = distance_m.into();
        }
        let coordinates = [seen.position.lon(), seen.position.lat()];
        json!({
            "type": "Feature",
            "id": vehicle.id.as_str(),
            "geometry": { "type": "Point", "coordinates": coordinates },
            "properties": properties,
        })
    }

    #[test]
    fn shows_what_is_known_of_every_vehicle() {
        let mut random = fastrand::Rng::with_seed(5);
        let ids = ["4e091396-62ae-4f3b-8715-7b4fc9c64d14", "bus 7", "a \"quoted\" \\ id", "båt <&>"];
        for round in 0..200 {
            let found: Vec<_> = ids.iter().map(|id| vehicle(id, &mut random)).collect();
            let now_ms = random.i64(0..4_000_000_000_000);
            let distance_m = (round % 2 == 0).then(|| random.f64() * 1e6);
            let write = |out: &mut Vec<u8>, vehicle: &Vehicle, now_ms| {
                feature(out, vehicle, distance_m, &[], now_ms);
            };
            let frame = Frame { truncated: round % 3 == 0, now_ms, missing_shards: &[] };
            let written: serde_json::Value =
                serde_json::from_slice(&collection(&found, frame, write)).unwrap();
            let features: Vec<_> =
                found.iter().map(|vehicle| expected(vehicle, distance_m, now_ms)).collect();
            let expected = json!({
                "type": "FeatureCollection",
                "time": rfc3339::rfc3339(now_ms),
                "returned": ids.len(),
                "truncated": round % 3 == 0,
                "features": features,
            });
            assert_eq!(written, expected);
        }
    }
}
