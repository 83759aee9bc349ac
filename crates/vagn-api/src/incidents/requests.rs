//! Requests of persons about incidents: acknowledge, resolve, comment, and replay, which sends refused notices again.
//!
//! The first request wins: one that comes too late gets 409, with the name and the time of the first. The answer comes when
//! the change is on disk.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::fields::Fields;
use super::{id, unknown};
use crate::Api;
use vagn_emergency::{Request, RequestKind, RequestOutcome};
use vagn_http::answer;
use vagn_http::params::InPath;
use vagn_http::problem::{First, Problem};

pub(crate) const ACKNOWLEDGE_ROUTE: &str = "/api/v1/incidents/{id}/acknowledge";
pub(crate) const RESOLVE_ROUTE: &str = "/api/v1/incidents/{id}/resolve";
pub(crate) const COMMENT_ROUTE: &str = "/api/v1/incidents/{id}/comments";
pub(crate) const REPLAY_ROUTE: &str = "/api/v1/incidents/{id}/replay";
pub(crate) const REPLAY_ALL_ROUTE: &str = "/api/v1/incidents/replay";

pub(crate) async fn acknowledge(
    State(api): State<Api>,
    InPath(id): InPath,
    fields: Fields,
) -> Result<Response, Problem> {
    request(&api, ACKNOWLEDGE_ROUTE, &id, of_person(RequestKind::Acknowledge, &fields)?).await
}

pub(crate) async fn resolve(
    State(api): State<Api>,
    InPath(id): InPath,
    fields: Fields,
) -> Result<Response, Problem> {
    request(&api, RESOLVE_ROUTE, &id, of_person(RequestKind::Resolve, &fields)?).await
}

/// Sends the dead letters of one incident again.
pub(crate) async fn replay(
    State(api): State<Api>,
    InPath(id): InPath,
    fields: Fields,
) -> Result<Response, Problem> {
    request(&api, REPLAY_ROUTE, &id, with_note(RequestKind::Replay, &fields)?).await
}

pub(crate) async fn comment(
    State(api): State<Api>,
    InPath(id): InPath,
    fields: Fields,
) -> Result<Response, Problem> {
    fields.only(&["by", "text"])?;
    let comment = Request { action: RequestKind::Comment, by: fields.by()?, note: fields.comment()? };
    request(&api, COMMENT_ROUTE, &id, comment).await
}

/// Count of the dead letters that are sent again.
#[derive(Serialize)]
struct Replayed {
    replayed: u64,
}

/// Sends the dead letters of all incidents again.
pub(crate) async fn replay_all(State(api): State<Api>, fields: Fields) -> Result<Response, Problem> {
    fields.only(&["by"])?;
    let asked = api.incidents.replay(fields.by()?);
    let replayed = api.ask(REPLAY_ALL_ROUTE, |replayed| *replayed as usize, asked).await?;
    Ok(answer::json("application/json", &Replayed { replayed }))
}

/// A request that ends an escalation.
fn of_person(action: RequestKind, fields: &Fields) -> Result<Request, Problem> {
    fields.only(&["by", "note"])?;
    Ok(Request { action, by: fields.by_person()?, note: fields.note()? })
}

fn with_note(action: RequestKind, fields: &Fields) -> Result<Request, Problem> {
    fields.only(&["by", "note"])?;
    Ok(Request { action, by: fields.by()?, note: fields.note()? })
}

/// Passes a request on to the emergency lane, and answers with the incident as it stands then.
async fn request(
    api: &Api,
    route: &'static str,
    incident: &str,
    request: Request,
) -> Result<Response, Problem> {
    let id = id("id", incident)?;
    match api.ask(route, |_| 1, api.incidents.request(id, request)).await? {
        RequestOutcome::Done(detail) => Ok(answer::json("application/json", &detail)),
        RequestOutcome::NotFound => Err(unknown(id)),
        RequestOutcome::Refused { state, by, at, note } => {
            Err(too_late(First { state: state.as_str(), by, at, note }))
        }
    }
}

fn too_late(first: First) -> Problem {
    let detail = format!("it has been {} since {}, by {}", first.state, first.at, first.by);
    Problem::conflict(first, detail)
}
