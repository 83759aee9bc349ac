//! `/` as the original has it: the nearest vehicles to `lat` and `lon`, by any method; without both, the live map.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use vagn_store::{Hit, Nearby, Sight};

use super::go_json;
use super::params::FleetParams;
use super::partial::marked;
use crate::sight::sight;
use crate::{Api, page};
use vagn_http::answer;
use vagn_http::caller::Caller;
use vagn_http::params::Params;
use vagn_http::pieces;
use vagn_http::principal::Principal;
use vagn_http::problem::Problem;

pub(crate) const ROUTE: &str = "/";

/// Parameters with which it is asked for vehicles.
pub(crate) const POINT: [&str; 2] = ["lat", "lon"];

const MEDIA_TYPE: &str = "application/json";

/// Most vehicles of an answer that is made at once.
const WHOLE_MAX: usize = 100;

/// Bytes set aside for a vehicle, with the comma behind it; few take more.
const ENTRY_LEN: usize = 112;

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    principal: Result<Principal, Problem>,
    asked: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    // Other parameters are ignored, as by the original.
    match POINT.map(|name| params.has(name)) {
        [false, false] => Ok(page::map(&api, &asked)),
        [true, true] => {
            // The page is open to all, the fleet is not.
            nearest(&api, sight(&principal?), &caller, &params).await
        }
        [has_lat, _] => Err(cut_off(if has_lat { "lon" } else { "lat" })),
    }
}

async fn nearest(api: &Api, sight: Sight, caller: &Caller, params: &Params) -> Result<Response, Problem> {
    let question =
        Nearby { center: params.point()?, k: params.k()?, max_m: f64::INFINITY, newer_than_ms: None };
    let mut room = caller.room(question.k * size_of::<Hit>())?;
    let asked = api.vehicles.nearest(sight, question);
    let (hits, extent) = api.ask(ROUTE, |hits| hits.value.len(), asked).await?.split();
    // The original's array has no room for what is missing: its headers tell.
    if hits.len() <= WHOLE_MAX {
        return Ok(marked(answer::live(MEDIA_TYPE, body(&hits)), &extent));
    }
    room.shrink(hits.len() * size_of::<Hit>());
    let pieces = pieces::list(b"[".to_vec(), hits, b",", entry, b"]".to_vec());
    Ok(marked(pieces::live(MEDIA_TYPE, room, pieces), &extent))
}

/// Explains a missing half of the point: an unquoted `&` ends the command in a shell, and the rest never gets here.
fn cut_off(missing: &'static str) -> Problem {
    let why = format!(
        "`{missing}` is missing; in a shell the URL must be quoted, or it ends at the &: \
         curl -k 'https://localhost:9090/?lat=30.27&lon=-97.74'"
    );
    Problem::parameter(missing, why)
}

/// Writes `[{"ID":"…","Lat":…,"Lon":…,"Date":…}]`, byte for byte as Go does; `Date` is the event time in ms.
pub fn body(hits: &[Hit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + hits.len() * ENTRY_LEN);
    out.push(b'[');
    for (at, hit) in hits.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        entry(&mut out, hit);
    }
    out.push(b']');
    out
}

fn entry(out: &mut Vec<u8>, hit: &Hit) {
    let seen = &hit.vehicle.sighting;
    out.extend_from_slice(b"{\"ID\":");
    go_json::string(out, &hit.vehicle.id);
    out.extend_from_slice(b",\"Lat\":");
    go_json::number(out, seen.position.lat());
    out.extend_from_slice(b",\"Lon\":");
    go_json::number(out, seen.position.lon());
    out.extend_from_slice(b",\"Date\":");
    go_json::integer(out, seen.event_time_ms);
    out.push(b'}');
}
