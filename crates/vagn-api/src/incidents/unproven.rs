//! `GET /api/v1/incidents/unproven`: calls for help that could not be proved, and `POST …/unproven/{n}/raise`, by which a person
//! makes a real incident of one.
//!
//! The list is in memory, and a person who looks decides: a call that cannot be proved may still be one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::fields::Fields;
use crate::Api;
use vagn_emergency::{Raise, Raised};
use vagn_flow::guard::unproven::UnprovenCall;
use vagn_flow::rfc3339::rfc3339;
use vagn_http::answer;
use vagn_http::caller::Caller;
use vagn_http::params::{InPath, NoParams};
use vagn_http::pieces;
use vagn_http::problem::{Kind, Problem};

pub(crate) const ROUTE: &str = "/api/v1/incidents/unproven";
pub(crate) const RAISE_ROUTE: &str = "/api/v1/incidents/unproven/{n}/raise";

/// Bytes that a line takes in memory, in general.
const LINE_BYTES: usize = 512;

/// One line, as the console shows it.
#[derive(Serialize)]
struct UnprovenJson<'a> {
    n: u64,
    reason: &'static str,
    vehicle_id: Option<&'a str>,
    key_id: Option<String>,
    /// There is a key for its vehicle, or its key is one: anybody can make up the others without an end.
    has_key: bool,
    address: Option<String>,
    /// It says of itself that it is a drill; raised, it is one.
    test: bool,
    lat: Option<f64>,
    lon: Option<f64>,
    first_at: String,
    last_at: String,
    count: u64,
}

pub(crate) async fn list(State(api): State<Api>, caller: Caller, _: NoParams) -> Result<Response, Problem> {
    let unproven = api.intake.guard().unproven();
    let room = caller.room(unproven.len() * LINE_BYTES)?;
    let calls = unproven.list();
    let lines = pieces::list(br#"{"calls":["#.to_vec(), calls, b",", write, b"]}".to_vec());
    Ok(pieces::live("application/json", room, lines))
}

fn write(out: &mut Vec<u8>, call: &UnprovenCall) {
    serde_json::to_writer(out, &UnprovenJson::from(call)).expect("calls are made of strings and numbers");
}

pub(crate) async fn raise(
    State(api): State<Api>,
    InPath(n): InPath,
    fields: Fields,
) -> Result<Response, Problem> {
    fields.only(&["by"])?;
    let by = fields.by_person()?;
    let number = n.parse().map_err(|_| gone(&n))?;
    let unproven = api.intake.guard().unproven();
    let call = unproven.get(number).ok_or_else(|| gone(&n))?;
    let raised = api.ask(RAISE_ROUTE, |_| 1, api.incidents.raise(of_call(call, by))).await?;
    let Raised::Done(detail) = raised else {
        return Err(Problem::new(Kind::Overloaded, "all places for incidents are taken; resolve some first"));
    };
    unproven.remove(number);
    Ok((StatusCode::CREATED, answer::json("application/json", &detail)).into_response())
}

/// Returns what is raised of a call. One of an unknown vehicle goes under the id of its key.
fn of_call(line: UnprovenCall, by: Box<str>) -> Raise {
    let call = line.call;
    let key = call.key_id.map_or_else(|| "unknown caller".to_owned(), |key_id| format!("key {key_id}"));
    Raise {
        vehicle_id: call.vehicle_id.unwrap_or_else(|| key.into()),
        position: call.position,
        heard_ms: line.last_ms,
        kind: call.kind,
        vehicle_incident: call.vehicle_incident,
        by,
    }
}

fn gone(n: &str) -> Problem {
    let n: String = n.chars().take(20).collect();
    Problem::new(
        Kind::NotFound,
        format!("no call that could not be proved has the number {n}; it may have been raised already"),
    )
}

impl<'a> From<&'a UnprovenCall> for UnprovenJson<'a> {
    fn from(line: &'a UnprovenCall) -> Self {
        let UnprovenCall { number, reason, call, source, first_ms, last_ms, count, has_key } = line;
        Self {
            n: *number,
            test: call.is_test(),
            reason: reason.as_str(),
            vehicle_id: call.vehicle_id.as_deref(),
            key_id: call.key_id.map(|key_id| key_id.to_string()),
            has_key: *has_key,
            address: source.map(|source| source.to_string()),
            lat: call.position.map(|position| position.lat()),
            lon: call.position.map(|position| position.lon()),
            first_at: rfc3339(*first_ms),
            last_at: rfc3339(*last_ms),
            count: *count,
        }
    }
}
