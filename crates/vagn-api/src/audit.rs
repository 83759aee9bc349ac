//! `/api/v1/audit`: the trail of all changes to incidents, and how far it goes, for `vagn audit verify`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::Web;
use vagn_emergency::TrailPage;
use vagn_http::answer;
use vagn_http::params::{NoParams, Params};
use vagn_http::problem::{Kind, Problem};

/// How far the trail goes.
pub const HEAD_ROUTE: &str = "/api/v1/audit/head";
/// Its entries.
pub const TRAIL_ROUTE: &str = "/api/v1/audit/trail";

/// Entries in one answer: at most, and when the caller does not say.
const LIMIT_MAX: u64 = 10_000;
const LIMIT_DEFAULT: u64 = 1_000;

/// Behind every entry, and still a number that the database can count on from.
const BEHIND_ALL: u64 = i64::MAX as u64;

/// `{"head":"<seq>:<hex>"}`: an answer, and the last line of every trail.
#[derive(Serialize)]
struct Head<'a> {
    head: &'a str,
}

/// `{"base":"<seq>:<hex>"}`: what came before the first entry, once the oldest are gone.
#[derive(Serialize)]
struct Base<'a> {
    base: &'a str,
}

/// How far the trail goes.
pub async fn head(State(web): State<Web>, _: NoParams) -> Result<Response, Problem> {
    let page = page(&web, HEAD_ROUTE, BEHIND_ALL, 1).await?;
    Ok(answer::json("application/json", &Head { head: &page.head }))
}

/// Entries, oldest first, one in a line, and the head in the last. The base is in the first, if the oldest are gone.
pub async fn trail(State(web): State<Web>, params: Params) -> Result<Response, Problem> {
    params.only(&["after", "limit"])?;
    let after = params.whole("after", 0, BEHIND_ALL, 0)?;
    let limit = params.count("limit", LIMIT_MAX, LIMIT_DEFAULT)?;
    let page = page(&web, TRAIL_ROUTE, after, limit).await?;
    let mut lines = Vec::new();
    page.base.iter().for_each(|base| line(&mut lines, &Base { base }));
    page.entries.iter().for_each(|entry| line(&mut lines, entry));
    line(&mut lines, &Head { head: &page.head });
    Ok(answer::live("application/x-ndjson", lines))
}

async fn page(web: &Web, route: &'static str, after: u64, limit: usize) -> Result<TrailPage, Problem> {
    let count = |page: &Option<TrailPage>| page.as_ref().map_or(0, |page| page.entries.len());
    let page = web.ask(route, count, web.incidents.trail(after, limit)).await?;
    page.ok_or_else(|| {
        Problem::new(Kind::NotReady, "the incident store cannot be read; /readyz on the ops port says why")
    })
}

fn line(lines: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(&mut *lines, value).expect("entries are made of strings and numbers");
    lines.push(b'\n');
}
