//! `POST /api/v1/positions`: reports over HTTP, one or many, which go the same way as those of the doors.
//!
//! The answer names the fate of each report, in the order sent. It comes when every fate is known: a stored report is in the
//! log, and an incident is on disk.

pub(crate) mod intake;

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use vagn_wire::dialect::json::BadBody;
use vagn_wire::dialect::{Reports, TooMany, json, msgpack};
use vagn_wire::{Fate, Reject};

use self::intake::{Prepared, Sender};
use crate::Api;
use vagn_flow::proof::{NoProof, Proof};
use vagn_flow::readiness::Readiness;
use vagn_flow::receipt::Outcome;
use vagn_http::account::Portion;
use vagn_http::body::{media_type, plain};
use vagn_http::caller::Caller;
use vagn_http::params::NoParams;
use vagn_http::pieces;
use vagn_http::principal::Principal;
use vagn_http::problem::{Kind, Problem};

pub(crate) const ROUTE: &str = "/api/v1/positions";

/// Pause after which a call for help that was not taken is to be sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Format of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// One object, a list of them, or one after another.
    Json,
    /// An object on each line.
    Lines,
    Msgpack,
}

#[derive(Serialize)]
struct ReportFate<'a> {
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident_id: Option<&'a str>,
}

pub(crate) async fn post(
    State(api): State<Api>,
    caller: Caller,
    principal: Principal,
    _: NoParams,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Before the body, which may be long and is not read for nothing.
    let format = format(&headers)?;
    plain(&headers)?;
    let held = api.bodies.read(&caller, body).await?;
    let reports = split(format, &held.bytes)?;
    let sender =
        Sender { source: caller.source(), proof: proof(&principal), may_seal: format == Format::Msgpack };
    let prepared = Prepared::new(&api.intake, &reports, sender).map_err(|too_many| too_large(&too_many))?;
    let room = caller.deed_room(prepared.len() * size_of::<Outcome>())?;
    let has_call = prepared.has_call();
    let outcomes = intake::publish(&api.intake, prepared).await?;
    untaken(has_call, &outcomes, &api.readiness).map_or_else(|| Ok(fates(outcomes, room)), Err)
}

/// Returns the proof that a request itself brings: a token, whose role lets it send reports.
fn proof(principal: &Principal) -> Proof {
    if principal.has_token() { Proof::Token } else { Proof::None }
}

fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    let given = media_type(headers);
    match given.as_str() {
        "application/json" => Ok(Format::Json),
        "application/x-ndjson" | "application/ndjson" => Ok(Format::Lines),
        "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => Ok(Format::Msgpack),
        _ => Err(Problem::new(
            Kind::UnsupportedMediaType,
            format!(
                "Content-Type is {given:?}; send application/json, application/x-ndjson or application/msgpack"
            ),
        )),
    }
}

fn split(format: Format, body: &[u8]) -> Result<Reports, Problem> {
    let reports = match format {
        Format::Json => json::split(body).map_err(|bad| refused(&bad))?,
        Format::Lines => json::split_lines(body).map_err(|bad| refused(&bad))?,
        Format::Msgpack => msgpack::split(body).map_err(|too_many| too_large(&too_many))?,
    };
    if reports.is_empty() {
        return Err(Problem::new(Kind::InvalidBody, "the body holds no report"));
    }
    Ok(reports)
}

fn refused(bad: &BadBody) -> Problem {
    match bad {
        BadBody::NotReports(_) => Problem::new(Kind::InvalidBody, bad.to_string()),
        BadBody::TooMany(too_many) => too_large(too_many),
    }
}

fn too_large(too_many: &TooMany) -> Problem {
    Problem::new(Kind::TooLarge, too_many.to_string())
}

/// Returns the problem when no report at all was taken. The status then says so, and a client that reads nothing else tries
/// again.
fn untaken(has_call: bool, outcomes: &[Outcome], readiness: &Readiness) -> Option<Problem> {
    if !outcomes.iter().all(is_lost) {
        return None;
    }
    if outcomes.iter().any(|outcome| outcome.fate == Fate::Shed) {
        let why = "there was no room for any of the reports; none was stored";
        return Some(Problem::new(Kind::Overloaded, why));
    }
    // Whatever the reason: a vehicle that calls for help is to try again.
    if has_call {
        let why = "no call for help in it was taken, or recorded in time (it may go out all the same); send it again until it is taken";
        // A call that went out already goes on as the same incident when it comes again.
        return Some(Problem::new(Kind::InDoubt, why).again_after(AGAIN_AFTER));
    }
    if readiness.is_out_of_space() {
        let why = "none of the reports could be stored: the disk has too little free space";
        return Some(Problem::new(Kind::InsufficientStorage, why));
    }
    let why = "none of the reports could be stored, through a fault of the service";
    Some(Problem::new(Kind::Internal, why))
}

fn is_lost(outcome: &Outcome) -> bool {
    matches!(outcome.fate, Fate::Shed | Fate::Failed) && outcome.incident.is_none()
}

/// Answers with the fates of the reports: their counts, and one by one.
fn fates(outcomes: Vec<Outcome>, room: Portion) -> Response {
    let mut counts = serde_json::Map::new();
    for fate in Fate::ALL {
        let count = outcomes.iter().filter(|outcome| outcome.fate == fate).count();
        if count > 0 {
            counts.insert(fate.as_str().to_owned(), count.into());
        }
    }
    let counts = serde_json::Value::Object(counts);
    let head = format!("{{\"received\":{},\"fates\":{counts},\"reports\":[", outcomes.len());
    let write = |out: &mut Vec<u8>, outcome: &Outcome| {
        serde_json::to_writer(out, &report_fate(outcome)).expect("words can always be written");
    };
    pieces::live("application/json", room, pieces::list(head.into(), outcomes, b",", write, b"]}".to_vec()))
}

fn report_fate(outcome: &Outcome) -> ReportFate<'_> {
    ReportFate {
        fate: outcome.fate.as_str(),
        reason: outcome.reject.map(Reject::reason).or(outcome.no_proof.map(NoProof::as_str)),
        detail: outcome
            .reject
            .map(|reject| reject.to_string())
            .or(outcome.no_proof.map(|it| it.detail().into())),
        incident_id: outcome.incident.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_wire::Report;
    use vagn_wire::dialect::REPORTS_MAX;

    #[test]
    fn the_description_lists_the_keys_of_a_report() {
        let description: serde_json::Value =
            serde_json::from_str(include_str!("../openapi.json")).expect("the description is json");
        let listed = description["components"]["schemas"]["Position"]["properties"].as_object().unwrap();
        let mut keys = Report::KEYS.to_vec();
        keys.sort_unstable();
        assert_eq!(listed.keys().collect::<Vec<_>>(), keys);
    }

    #[test]
    fn more_reports_than_one_request_may_hold_are_too_large_in_every_format() {
        for (format, report) in [
            (Format::Json, "{}"),
            (Format::Json, "{},"),
            (Format::Lines, "{}\n"),
            (Format::Lines, "{},\n"),
            (Format::Msgpack, "\u{1}"),
        ] {
            let problem = split(format, report.repeat(REPORTS_MAX + 1).as_bytes()).unwrap_err();
            assert_eq!(problem.kind, Kind::TooLarge, "{format:?}");
            assert_eq!(problem.detail, "one request may hold at most 50000 reports; nothing of it was taken");
        }
    }
}
