//! `/api/v1/incidents`: the incidents that vehicles raised by their alarms, what persons request about them, the events of
//! all of them, and the vehicles near one.

pub(crate) mod events;
pub(crate) mod fields;
pub(crate) mod many;
pub(crate) mod requests;
pub(crate) mod responders;
pub(crate) mod searches;
pub(crate) mod unproven;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::Api;
use vagn_emergency::show::view::PAGE_MAX;
use vagn_emergency::{self, Detail, Filter, IncidentId, IncidentView, Page};
use vagn_flow::rfc3339::rfc3339;
use vagn_http::account::Portion;
use vagn_http::answer;
use vagn_http::body::Budget;
use vagn_http::caller::Caller;
use vagn_http::params::{InPath, NoParams, Params};
use vagn_http::pieces;
use vagn_http::problem::{Kind, Problem};

pub(crate) const ROUTE: &str = "/api/v1/incidents";
pub(crate) const ONE_ROUTE: &str = "/api/v1/incidents/{id}";

/// Incidents in an answer unless `limit` is given.
const LIMIT_DEFAULT: u64 = 100;

/// Bytes that an incident takes in memory, in general: some 20 texts, a track, and the latest attempts.
const INCIDENT_BYTES: usize = 4 << 10;

/// Incidents that fit into an answer that does not count as large.
const FEW: usize = 4;

/// Words of the parameter `state`.
const STATES: [(&str, vagn_emergency::State); 4] = [
    ("open", vagn_emergency::State::Open),
    ("notified", vagn_emergency::State::Notified),
    ("acknowledged", vagn_emergency::State::Acknowledged),
    ("resolved", vagn_emergency::State::Resolved),
];

/// Words of a parameter that is true or false.
const EITHER: [(&str, bool); 2] = [("true", true), ("false", false)];

/// Makes the budget for the bodies of persons' requests.
pub(crate) fn request_bodies() -> Budget {
    fields::budget()
}

/// Lists incidents, newest first.
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["limit", "after", "vehicle_id", "state", "test", "quiet", "dead_letter"])?;
    let limit = params.count("limit", PAGE_MAX as u64, LIMIT_DEFAULT)?;
    let after = params.one("after")?.map(|text| id("after", text)).transpose()?;
    let filter = filter(&params)?;
    let room = PageRoom::take(&caller, limit)?;
    let _search =
        filter.vehicle_id.is_some().then(|| searches::begin(api.searches(), &caller)).transpose()?;
    let asked = api.incidents.list(filter, room.most, after);
    let page = api.ask(ROUTE, |page| page.incidents.len(), asked).await?;
    let room = room.keep(&page)?;
    let Page { incidents, next, complete } = page;
    let head = format!(r#"{{"time":"{}","incidents":["#, rfc3339(api.clock.now_ms()));
    let mut tail = b"],".to_vec();
    tail.extend_from_slice(&in_json(&PageEnd { next, complete })[1..]);
    let write = |out: &mut Vec<u8>, incident: &IncidentView| out.append(&mut in_json(incident));
    Ok(pieces::live("application/json", room, pieces::list(head.into(), incidents, b",", write, tail)))
}

/// Room for a page of incidents.
struct PageRoom {
    portion: Portion,
    /// Most incidents that it is for.
    most: usize,
    /// Reason why it is not for as many as were asked for.
    full: Option<Problem>,
}

impl PageRoom {
    /// Takes room for `limit` incidents, or only for a few where answers hold too much memory: who looks for calls must see them as long
    /// as they fit into a small answer.
    fn take(caller: &Caller, limit: usize) -> Result<Self, Problem> {
        match caller.room(limit * INCIDENT_BYTES) {
            Ok(portion) => Ok(Self { portion, most: limit, full: None }),
            Err(full) if limit > FEW => {
                let portion = caller.room(FEW * INCIDENT_BYTES)?;
                Ok(Self { portion, most: FEW, full: Some(full) })
            }
            Err(full) => Err(full),
        }
    }

    /// Keeps the room that `page` takes. A page that is cut short for lack of memory is refused: it would pass for all that there is.
    fn keep(self, page: &Page) -> Result<Portion, Problem> {
        let Self { mut portion, full, .. } = self;
        if let Some(full) = full.filter(|_| page.next.is_some()) {
            return Err(full);
        }
        portion.shrink(page.incidents.len() * INCIDENT_BYTES);
        Ok(portion)
    }
}

/// What follows the incidents of a page.
#[derive(Serialize)]
struct PageEnd {
    next: Option<IncidentId>,
    complete: bool,
}

fn in_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("incidents are made of strings, numbers and lists")
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
