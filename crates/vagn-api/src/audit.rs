//! `/api/v1/audit`: the trail of all changes to incidents, and its head, for `vagn audit verify`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::Api;
use vagn_emergency::TrailPage;
use vagn_http::answer;
use vagn_http::caller::Caller;
use vagn_http::params::{NoParams, Params};
use vagn_http::pieces;
use vagn_http::problem::{Kind, Problem};

pub(crate) const HEAD_ROUTE: &str = "/api/v1/audit/head";
pub(crate) const TRAIL_ROUTE: &str = "/api/v1/audit/trail";

/// Most entries in one answer.
const LIMIT_MAX: u64 = 10_000;
/// Entries in an answer unless `limit` is given.
const LIMIT_DEFAULT: u64 = 1_000;

/// Bytes that an entry takes in memory, in general: some texts, each with its length.
const ENTRY_BYTES: usize = 512;

/// A number behind every entry; the largest that the database can still count on from.
const BEHIND_ALL: u64 = i64::MAX as u64;

/// Number and hash of the last entry, `{"head":"<seq>:<hex>"}`: an answer, and the last line of every trail.
#[derive(Serialize)]
struct Head<'a> {
    head: &'a str,
}

/// Number and hash of the last entry that is gone, `{"base":"<seq>:<hex>"}`: the first line, once the oldest are deleted.
#[derive(Serialize)]
struct Base<'a> {
    base: &'a str,
}

pub(crate) async fn head(State(api): State<Api>, _: NoParams) -> Result<Response, Problem> {
    let page = page(&api, HEAD_ROUTE, BEHIND_ALL, 1).await?;
    Ok(answer::json("application/json", &Head { head: &page.head }))
}

/// Lists entries, oldest first, one in a line, between the base and the head.
pub(crate) async fn trail(
    State(api): State<Api>,
    caller: Caller,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["after", "limit"])?;
    let after = params.whole("after", 0, BEHIND_ALL, 0)?;
    let limit = params.count("limit", LIMIT_MAX, LIMIT_DEFAULT)?;
    let mut room = caller.room(limit * ENTRY_BYTES)?;
    let TrailPage { base, head, entries } = page(&api, TRAIL_ROUTE, after, limit).await?;
    room.shrink(entries.len() * ENTRY_BYTES);
    let (mut first, mut last) = (Vec::new(), Vec::new());
    if let Some(base) = &base {
        write_line(&mut first, &Base { base });
    }
    // Also of a page in the middle this is the head of the whole trail: it tells whether there are more pages.
    write_line(&mut last, &Head { head: &head });
    let lines = pieces::list(first, entries, b"", write_line, last);
    Ok(pieces::live("application/x-ndjson", room, lines))
}

async fn page(api: &Api, route: &'static str, after: u64, limit: usize) -> Result<TrailPage, Problem> {
    let page = api.ask(route, entries, api.incidents.trail(after, limit)).await?;
    page.ok_or_else(|| {
        Problem::new(Kind::NotReady, "the incident store cannot be read; /readyz on the ops port says why")
    })
}

fn entries(page: &Option<TrailPage>) -> usize {
    page.as_ref().map_or(0, |page| page.entries.len())
}

fn write_line(lines: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(&mut *lines, value).expect("entries are made of strings and numbers");
    lines.push(b'\n');
}
