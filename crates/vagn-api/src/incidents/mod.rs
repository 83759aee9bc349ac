//! `/api/v1/incidents`: calls for help, newest first, and one of them by its id; what people do about them, what changes,
//! and who is near.

pub mod events;
pub mod requests;
pub mod responders;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::Web;
use vagn_emergency::show::view::PAGE_MAX;
use vagn_emergency::{self, Detail, Filter, IncidentId, Page};
use vagn_flow::rfc3339::rfc3339;
use vagn_http::answer;
use vagn_http::params::{InPath, NoParams, Params};
use vagn_http::problem::{Kind, Problem};

/// The route of all.
pub const ROUTE: &str = "/api/v1/incidents";
/// The route of one.
pub const ONE_ROUTE: &str = "/api/v1/incidents/{id}";

/// Incidents in one answer when the caller does not say.
const LIMIT_DEFAULT: u64 = 100;

/// The words for how far an incident has come.
const STATES: [(&str, vagn_emergency::State); 4] = [
    ("open", vagn_emergency::State::Open),
    ("notified", vagn_emergency::State::Notified),
    ("acknowledged", vagn_emergency::State::Acknowledged),
    ("resolved", vagn_emergency::State::Resolved),
];

/// What a filter that knows two cases can be.
const EITHER: [(&str, bool); 2] = [("true", true), ("false", false)];

/// A page, and when it was true.
#[derive(Serialize)]
struct DatedPage {
    time: String,
    #[serde(flatten)]
    page: Page,
}

/// Incidents, newest first.
pub async fn list(State(web): State<Web>, params: Params) -> Result<Response, Problem> {
    params.only(&["limit", "after", "vehicle_id", "state", "test", "quiet", "dead_letter"])?;
    let limit = params.count("limit", PAGE_MAX as u64, LIMIT_DEFAULT)?;
    let after = params.one("after")?.map(|text| id("after", text)).transpose()?;
    let asked = web.incidents.list(filter(&params)?, limit, after);
    let page = web.ask(ROUTE, |page| page.incidents.len(), asked).await?;
    Ok(answer::json("application/json", &DatedPage { time: rfc3339(web.clock.now_ms()), page }))
}

/// One incident, with its ledger and its trail.
pub async fn get(State(web): State<Web>, InPath(text): InPath, _: NoParams) -> Result<Response, Problem> {
    let detail = one(&web, ONE_ROUTE, id("id", &text)?).await?;
    Ok(answer::json("application/json", &detail))
}

async fn one(web: &Web, route: &'static str, id: IncidentId) -> Result<Detail, Problem> {
    let found = web.ask(route, |found| usize::from(found.is_some()), web.incidents.one(id)).await?;
    found.ok_or_else(|| unknown(id))
}

fn unknown(id: IncidentId) -> Problem {
    Problem::new(Kind::NotFound, format!("no incident {id} is known"))
}

fn id(name: &'static str, text: &str) -> Result<IncidentId, Problem> {
    text.parse()
        .map_err(|_| Problem::parameter(name, format!("`{name}` is not the id of an incident, a UUID")))
}

fn filter(params: &Params) -> Result<Filter, Problem> {
    Ok(Filter {
        vehicle_id: params.one("vehicle_id")?.map(str::to_owned),
        state: params.word("state", &STATES)?,
        drill: params.word("test", &EITHER)?,
        quiet: params.word("quiet", &EITHER)?,
        dead_letter: params.word("dead_letter", &EITHER)?,
    })
}
