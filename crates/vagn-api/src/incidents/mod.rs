//! `/api/v1/incidents`: the incidents that vehicles raised by their alarms, what persons request about them, the events of
//! all of them, and the vehicles near one.

pub(crate) mod events;
pub(crate) mod fields;
pub(crate) mod many;
pub(crate) mod requests;
pub(crate) mod responders;
pub(crate) mod unproven;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::Api;
use vagn_emergency::show::view::PAGE_MAX;
use vagn_emergency::{self, Detail, Filter, IncidentId, Page};
use vagn_flow::rfc3339::rfc3339;
use vagn_http::answer;
use vagn_http::body::Budget;
use vagn_http::params::{InPath, NoParams, Params};
use vagn_http::problem::{Kind, Problem};

pub(crate) const ROUTE: &str = "/api/v1/incidents";
pub(crate) const ONE_ROUTE: &str = "/api/v1/incidents/{id}";

/// Incidents in an answer unless `limit` is given.
const LIMIT_DEFAULT: u64 = 100;

/// Words of the parameter `state`.
const STATES: [(&str, vagn_emergency::State); 4] = [
    ("open", vagn_emergency::State::Open),
    ("notified", vagn_emergency::State::Notified),
    ("acknowledged", vagn_emergency::State::Acknowledged),
    ("resolved", vagn_emergency::State::Resolved),
];

/// Words of a parameter that is true or false.
const EITHER: [(&str, bool); 2] = [("true", true), ("false", false)];

/// A page of incidents with the time of the answer.
#[derive(Serialize)]
struct DatedPage {
    time: String,
    #[serde(flatten)]
    page: Page,
}

/// Makes the budget for the bodies of persons' requests.
pub(crate) fn request_bodies() -> Budget {
    fields::budget()
}

/// Lists incidents, newest first.
pub(crate) async fn list(State(api): State<Api>, params: Params) -> Result<Response, Problem> {
    params.only(&["limit", "after", "vehicle_id", "state", "test", "quiet", "dead_letter"])?;
    let limit = params.count("limit", PAGE_MAX as u64, LIMIT_DEFAULT)?;
    let after = params.one("after")?.map(|text| id("after", text)).transpose()?;
    let asked = api.incidents.list(filter(&params)?, limit, after);
    let page = api.ask(ROUTE, |page| page.incidents.len(), asked).await?;
    Ok(answer::json("application/json", &DatedPage { time: rfc3339(api.clock.now_ms()), page }))
}

/// Shows one incident, with its ledger and its trail.
pub(crate) async fn get(
    State(api): State<Api>,
    InPath(text): InPath,
    _: NoParams,
) -> Result<Response, Problem> {
    let detail = one(&api, ONE_ROUTE, id("id", &text)?).await?;
    Ok(answer::json("application/json", &detail))
}

async fn one(api: &Api, route: &'static str, id: IncidentId) -> Result<Detail, Problem> {
    let found = api.ask(route, |found| usize::from(found.is_some()), api.incidents.one(id)).await?;
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
