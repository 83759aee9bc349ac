//! What people do about incidents: acknowledge, resolve, comment, and call again about dead letters.
//!
//! The first wins: who comes second gets 409, and reads who was first and when. The answer comes when the deed is on disk.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request as HttpRequest, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{id, unknown};
use crate::Web;
use vagn_emergency::{self, Request, RequestKind, RequestOutcome};
use vagn_http::answer;
use vagn_http::body::{Budget, media_type};
use vagn_http::params::{InPath, NoParams};
use vagn_http::principal::Principal;
use vagn_http::problem::{First, Kind, Problem};

/// Somebody has it.
pub const ACKNOWLEDGE_ROUTE: &str = "/api/v1/incidents/{id}/acknowledge";
/// It is over.
pub const RESOLVE_ROUTE: &str = "/api/v1/incidents/{id}/resolve";
/// Something is worth saying.
pub const COMMENT_ROUTE: &str = "/api/v1/incidents/{id}/comments";
/// Its dead letters are called again.
pub const REPLAY_ROUTE: &str = "/api/v1/incidents/{id}/replay";
/// All dead letters are called again.
pub const REPLAY_ALL_ROUTE: &str = "/api/v1/incidents/replay";

/// Most characters of a name, and of a note or a comment.
const NAME_MAX: usize = 64;
const NOTE_MAX: usize = 1_000;

/// Enough for a note of which every character is written as two escapes, and for a thousand who act at once.
const BODY_MAX: usize = 16 << 10;
const BODY_WITHIN: Duration = Duration::from_secs(10);
const BODIES_MAX: usize = 1 << 20;

/// What the bodies of deeds may cost.
pub fn budget() -> Budget {
    Budget::new(BODY_MAX, BODY_WITHIN, BODIES_MAX)
}

/// Acknowledges one incident.
pub async fn acknowledge(
    State(web): State<Web>,
    InPath(id): InPath,
    fields: Fields,
) -> Result<Response, Problem> {
    act(&web, ACKNOWLEDGE_ROUTE, &id, noted(RequestKind::Acknowledge, &fields)?).await
}

/// Resolves one incident.
pub async fn resolve(
    State(web): State<Web>,
    InPath(id): InPath,
    fields: Fields,
) -> Result<Response, Problem> {
    act(&web, RESOLVE_ROUTE, &id, noted(RequestKind::Resolve, &fields)?).await
}

/// Calls again about the dead letters of one incident.
pub async fn replay(State(web): State<Web>, InPath(id): InPath, fields: Fields) -> Result<Response, Problem> {
    act(&web, REPLAY_ROUTE, &id, noted(RequestKind::Replay, &fields)?).await
}

/// Adds a comment to one incident.
pub async fn comment(
    State(web): State<Web>,
    InPath(id): InPath,
    fields: Fields,
) -> Result<Response, Problem> {
    fields.only(&["by", "text"])?;
    let deed =
        Request { action: RequestKind::Comment, by: fields.by()?, note: fields.text("text", 1, NOTE_MAX)? };
    act(&web, COMMENT_ROUTE, &id, deed).await
}

/// How many dead letters are called again.
#[derive(Serialize)]
struct Replayed {
    replayed: u64,
}

/// Calls again about all dead letters.
pub async fn replay_all(State(web): State<Web>, fields: Fields) -> Result<Response, Problem> {
    fields.only(&["by"])?;
    let asked = web.incidents.replay(fields.by()?);
    let replayed = web.ask(REPLAY_ALL_ROUTE, |replayed| *replayed as usize, asked).await?;
    Ok(answer::json("application/json", &Replayed { replayed }))
}

fn noted(action: RequestKind, fields: &Fields) -> Result<Request, Problem> {
    fields.only(&["by", "note"])?;
    Ok(Request { action, by: fields.by()?, note: fields.text("note", 0, NOTE_MAX)? })
}

async fn act(web: &Web, route: &'static str, text: &str, deed: Request) -> Result<Response, Problem> {
    let id = id("id", text)?;
    match web.ask(route, |_| 1, web.incidents.act(id, deed)).await? {
        RequestOutcome::Done(detail) => Ok(answer::json("application/json", &detail)),
        RequestOutcome::NotFound => Err(unknown(id)),
        RequestOutcome::Refused { state, by, at, note } => {
            Err(second(First { state: state.as_str(), by, at, note }))
        }
    }
}

fn second(first: First) -> Problem {
    let detail = format!("it has been {} since {}, by {}", first.state, first.at, first.by);
    Problem::conflict(first, detail)
}

/// The fields of a body that is one JSON object, of a request without parameters, and the principal that sent it.
pub struct Fields {
    principal: Principal,
    fields: Map<String, Value>,
}

impl FromRequest<Web> for Fields {
    type Rejection = Problem;

    async fn from_request(request: HttpRequest, web: &Web) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        NoParams::from_request_parts(&mut parts, web).await?;
        let principal = Principal::from_request_parts(&mut parts, web).await?;
        let given = media_type(&parts.headers);
        // A page from elsewhere can make a browser send other types unasked, but not this one.
        if given != "application/json" {
            let why = format!("Content-Type is {given:?}; send application/json");
            return Err(Problem::new(Kind::UnsupportedMediaType, why));
        }
        let held = web.deeds.read(body).await?;
        let fields = serde_json::from_slice(&held.bytes);
        fields.map(|fields| Self { principal, fields }).map_err(|err| {
            Problem::new(Kind::InvalidBody, format!("the body is not one object in JSON: {err}"))
        })
    }
}

impl Fields {
    /// Refuses every field that is not in `known`: a mistyped `note` would otherwise quietly be lost.
    fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.fields.keys().find(|name| !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| {
            let name: String = name.chars().take(NAME_MAX).collect();
            let why = format!("`{name}` is unknown here; known are {}", known.join(", "));
            Err(Problem::field(format!("/{}", name.replace('~', "~0").replace('/', "~1")), why))
        })
    }

    /// Returns the name under which the request is recorded.
    fn by(&self) -> Result<Box<str>, Problem> {
        let by = self.text("by", 1, NAME_MAX)?;
        if by.contains(char::is_control) {
            return Err(bad("by", "must be in one line"));
        }
        Ok(self.principal.name(by))
    }

    /// The text of `name` without the blanks around it, in `least` to `most` characters; nothing is as good as an empty one.
    fn text(&self, name: &'static str, least: usize, most: usize) -> Result<Box<str>, Problem> {
        let text = match self.fields.get(name) {
            None | Some(Value::Null) => "",
            Some(Value::String(text)) => text.trim(),
            Some(_) => return Err(bad(name, "must be a text")),
        };
        let length = text.chars().count();
        if !(least..=most).contains(&length) {
            let why = format!("must have {least} to {most} characters, and has {length}");
            return Err(bad(name, &why));
        }
        if text.contains(|char: char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) {
            return Err(bad(name, "must not have control characters other than line breaks and tabs"));
        }
        Ok(text.into())
    }
}

fn bad(name: &str, why: &str) -> Problem {
    Problem::field(format!("/{name}"), format!("`{name}` {why}"))
}
