//! `/api/v1/incidents`: calls for help, newest first, and one of them by its id.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::params::{InPath, NoParams, Params};
use super::problem::{Kind, Problem};
use super::services::{Asked, Incidents};
use super::{Web, answer};
use crate::emergency::view::PAGE_MAX;
use crate::emergency::{self, EmergencyHandle, Filter, IncidentId, IncidentView, Page};
use crate::rfc3339::rfc3339;

/// The route of all.
pub const ROUTE: &str = "/api/v1/incidents";
/// The route of one.
pub const ONE_ROUTE: &str = "/api/v1/incidents/{id}";

/// Incidents in one answer when the caller does not say.
const LIMIT_DEFAULT: u64 = 100;

/// How long a question may take. The lane is recording first and answering second.
const WITHIN: Duration = Duration::from_secs(5);

/// A page, and when it was true.
#[derive(Serialize)]
struct DatedPage {
    time: String,
    #[serde(flatten)]
    page: Page,
}

/// Incidents, newest first.
pub async fn list(State(web): State<Web>, params: Params) -> Result<Response, Problem> {
    params.only(&["limit", "after", "vehicle_id", "state", "test", "over"])?;
    let limit = params.count("limit", PAGE_MAX as u64, LIMIT_DEFAULT)?;
    let after = params.one("after")?.map(|text| id("after", text)).transpose()?;
    let asked = web.incidents.list(filter(&params)?, limit, after);
    let page = web.ask(ROUTE, |page| page.incidents.len(), asked).await?;
    Ok(answer::json("application/json", &DatedPage { time: rfc3339(web.clock.now_ms()), page }))
}

/// One incident.
pub async fn get(State(web): State<Web>, InPath(text): InPath, _: NoParams) -> Result<Response, Problem> {
    let id = id("id", &text)?;
    let found = web.ask(ONE_ROUTE, |found| usize::from(found.is_some()), web.incidents.one(id)).await?;
    let incident = found.ok_or_else(|| Problem::new(Kind::NotFound, format!("no incident {id} is known")))?;
    Ok(answer::json("application/json", &incident))
}

fn id(name: &'static str, text: &str) -> Result<IncidentId, Problem> {
    text.parse()
        .map_err(|_| Problem::parameter(name, format!("`{name}` is not the id of an incident, a UUID")))
}

fn filter(params: &Params) -> Result<Filter, Problem> {
    Ok(Filter {
        vehicle_id: params.one("vehicle_id")?.map(str::to_owned),
        state: params
            .word("state", &[("open", emergency::State::Open), ("notified", emergency::State::Notified)])?,
        test: params.word("test", &[("true", true), ("false", false)])?,
        over: params.word("over", &[("true", true), ("false", false)])?,
    })
}

impl Incidents for EmergencyHandle {
    fn list(&self, filter: Filter, limit: usize, after: Option<IncidentId>) -> Asked<'_, Page> {
        Box::pin(async move { Ok(EmergencyHandle::list(self, filter, limit, after, WITHIN).await?) })
    }

    fn one(&self, id: IncidentId) -> Asked<'_, Option<IncidentView>> {
        Box::pin(async move { Ok(self.get(id, WITHIN).await?) })
    }
}
