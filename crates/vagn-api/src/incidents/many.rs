//! `POST /api/v1/incidents/resolve`: resolves many incidents at once, all that the fields of the body choose.
//!
//! One request resolves so many that its answer comes in time; `left` says how many remain, for the next request.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::fields::Fields;
use super::{EITHER, STATES};
use crate::Api;
use vagn_emergency::record::standing::Standing;
use vagn_emergency::{ResolvedMany, Selection};
use vagn_http::answer;
use vagn_http::problem::Problem;

pub(crate) const ROUTE: &str = "/api/v1/incidents/resolve";

/// Fields that choose incidents.
const CHOOSE: [&str; 7] =
    ["vehicle_ids", "vehicle_id_prefix", "opened_from", "opened_until", "standing", "state", "test"];

/// Fields beside these.
const OTHERS: [&str; 3] = ["by", "note", "dry_run"];

/// Most ids in `vehicle_ids`.
const IDS_MAX: usize = 200;

/// Most characters of a vehicle id, or of the beginning of one.
const ID_MAX: usize = 64;

/// Words of `standing`.
const STANDINGS: [(&str, Standing); 3] =
    [("known", Standing::Known), ("undecided", Standing::Undecided), ("stranger", Standing::Stranger)];

/// The answer.
#[derive(Serialize)]
struct Resolved {
    dry_run: bool,
    matched: u64,
    resolved: u64,
    left: u64,
    recorded: bool,
}

pub(crate) async fn resolve(State(api): State<Api>, fields: Fields) -> Result<Response, Problem> {
    fields.only(&[&CHOOSE[..], &OTHERS].concat())?;
    let selection = selection(&fields)?;
    let by = fields.by_person()?;
    let note = fields.note()?;
    let dry_run = fields.word("dry_run", &EITHER)?.unwrap_or(false);
    let asked = api.incidents.resolve_many(selection, by, note, dry_run);
    let ResolvedMany { matched, resolved, recorded } =
        api.ask(ROUTE, |done| done.matched as usize, asked).await?;
    let left = matched - resolved;
    Ok(answer::json("application/json", &Resolved { dry_run, matched, resolved, left, recorded }))
}

fn selection(fields: &Fields) -> Result<Selection, Problem> {
    if !CHOOSE.iter().any(|name| fields.has(name)) {
        let why = format!("at least one of {} must choose the incidents", CHOOSE.join(", "));
        return Err(Problem::field(String::new(), why));
    }
    Ok(Selection {
        vehicle_ids: fields.texts("vehicle_ids", IDS_MAX, ID_MAX)?,
        vehicle_id_prefix: fields.part("vehicle_id_prefix", ID_MAX)?,
        opened_from_ms: fields.time_ms("opened_from")?,
        opened_until_ms: fields.time_ms("opened_until")?,
        standing: fields.word("standing", &STANDINGS)?,
        state: fields.word("state", &STATES)?,
        drill: fields.word("test", &EITHER)?,
    })
}
