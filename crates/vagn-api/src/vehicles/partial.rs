//! Answers that lack a part of the fleet, and how they say so.
//!
//! Over many machines a shard may have no owner that answers in time. What the others know is shown, and said to be a part.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use vagn_http::problem::{Kind, Problem};
use vagn_store::{Age, Whole};

use super::json;

/// Says that a part of the fleet did not answer.
const PARTIAL: HeaderName = HeaderName::from_static("vagn-partial");
/// Names the shards that did not answer.
const MISSING_SHARDS: HeaderName = HeaderName::from_static("vagn-missing-shards");
/// Age of the content of the oldest shard that answered, in ms; or that it is unknown.
const SHARD_AGE_MS: HeaderName = HeaderName::from_static("vagn-shard-age-ms");

/// What an answer is known to lack: it is that of a [`Whole`] without its value.
pub(crate) type Extent = Whole<()>;

/// Says in the headers of an answer what it lacks, whatever its body is. One of this machine's whole fleet stays as it is.
#[inline]
pub(crate) fn marked(response: Response, extent: &Extent) -> Response {
    if extent.missing_shards.is_empty() && extent.age == Age::Now {
        return response;
    }
    with_headers(response, extent)
}

#[cold]
fn with_headers(mut response: Response, extent: &Extent) -> Response {
    let headers = response.headers_mut();
    if extent.is_partial() {
        headers.insert(PARTIAL, HeaderValue::from_static("true"));
        let numbers = HeaderValue::from_str(&listed(&extent.missing_shards));
        headers.insert(MISSING_SHARDS, numbers.expect("digits and commas can stand in a header"));
    }
    let age = match extent.age {
        Age::Now => None,
        Age::Ms(age_ms) => Some(age_ms.into()),
        Age::Unknown => Some(HeaderValue::from_static("unknown")),
    };
    if let Some(age) = age {
        headers.insert(SHARD_AGE_MS, age);
    }
    response
}

/// Appends the members of a JSON object that say what is missing, each behind a comma; nothing, if nothing is.
#[inline]
pub(super) fn members(out: &mut Vec<u8>, missing_shards: &[u16]) {
    if missing_shards.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"partial\":true,\"missing_shards\":[");
    for (at, shard) in missing_shards.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::integer(out, u64::from(*shard));
    }
    out.push(b']');
}

/// Explains why nothing can be said about a vehicle: its shard, and no other, would know it.
pub(super) fn unknown_for_now(id: &str, missing_shards: &[u16]) -> Problem {
    let why = format!(
        "vehicle {id:?} belongs to shard {} of the fleet, which does not answer now, so nobody can say whether it is known; \
         ask again, and see /readyz on the ops port",
        listed(missing_shards)
    );
    Problem::new(Kind::NotReady, why)
}

fn listed(shards: &[u16]) -> String {
    let shards: Vec<_> = shards.iter().map(u16::to_string).collect();
    shards.join(",")
}
