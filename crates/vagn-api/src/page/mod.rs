//! The pages for people, the live map, the incident console and the page of a shared place, as `make web` has built them. They
//! hold no data of the fleet; their scripts ask the API like any other client.

mod files;
mod forms;
pub(crate) mod policy;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Redirect, Response};

use crate::Api;
use files::{FILES, PageFile};
use vagn_http::params::{InPath, NoParams};
use vagn_http::problem::{Kind, Problem};

pub(crate) const CONSOLE_ROUTE: &str = "/incidents";
/// Address of the console with a slash behind it, as some type it.
pub(crate) const CONSOLE_SLASH_ROUTE: &str = "/incidents/";
pub(crate) const SHARE_ROUTE: &str = "/s/{secret}";
pub(crate) const ASSET_ROUTE: &str = "/assets/{name}";
pub(crate) const LICENSES_ROUTE: &str = "/licenses.txt";

/// Folder of the build whose files have the hash of their content in their names.
const HASHED: &str = "assets/";

/// Caches may keep it, but ask again each time, because an upgrade changes it.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// The content behind a name with a hash never changes. No cache needs to ask for it within a year.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Answers with the live map, for the handler of `/`.
pub(crate) fn map(api: &Api, asked: &HeaderMap) -> Response {
    page(api, asked, "index.html")
}

/// Answers with the incident console. Its parameters are for its script alone.
pub(crate) async fn console(State(api): State<Api>, asked: HeaderMap) -> Response {
    page(&api, &asked, "incidents.html")
}

/// Leads to the console; a browser keeps what follows `#`.
pub(crate) async fn to_console(RawQuery(query): RawQuery) -> Redirect {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("{CONSOLE_ROUTE}{query}"))
}

/// Answers with the page of a shared place; its script says the same as the status where the link has ended. Parameters mean nothing:
/// messengers append their own to a link.
pub(crate) async fn share(State(api): State<Api>, InPath(secret): InPath, mut asked: HeaderMap) -> Response {
    if api.entry.credentials.share(&secret).is_some() {
        return page(&api, &asked, "share.html");
    }
    // A page that the browser has already would say nothing of the end.
    asked.remove(header::IF_NONE_MATCH);
    let mut response = page(&api, &asked, "share.html");
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

pub(crate) async fn asset(InPath(name): InPath, asked: HeaderMap, _: NoParams) -> Result<Response, Problem> {
    let found = FILES.get(format!("{HASHED}{name}").as_str());
    found.map(|file| with_policy(answer(file, &asked, FOR_GOOD), policy::OF_ASSETS)).ok_or_else(|| {
        let why = "no page of this version uses a file of this name; load the page again";
        Problem::new(Kind::NotFound, why)
    })
}

/// Answers with the licences of what the pages are made of.
pub(crate) async fn licenses(asked: HeaderMap, _: NoParams) -> Response {
    answer(part("licenses.txt"), &asked, ASK_AGAIN)
}

fn page(api: &Api, asked: &HeaderMap, name: &str) -> Response {
    with_policy(answer(part(name), asked, ASK_AGAIN), api.page_policy().clone())
}

fn with_policy(mut response: Response, policy: HeaderValue) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Returns a file that every build has.
fn part(name: &str) -> &'static PageFile {
    FILES.get(name).expect("a test sees that the build has it")
}

fn answer(file: &PageFile, asked: &HeaderMap, cache: HeaderValue) -> Response {
    let mut response = file.answer(asked);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The address of a page may hold a place or a vehicle that was asked for.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Lists the names of the assets.
#[cfg(test)]
pub(crate) fn assets() -> impl Iterator<Item = &'static str> {
    FILES.keys().filter_map(|path| path.strip_prefix(HASHED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_has_all_pages_and_the_licences() {
        for name in ["index.html", "incidents.html", "share.html", "licenses.txt"] {
            assert!(FILES.contains_key(name), "{name} is missing in web/dist; `make web` builds it");
        }
    }

    #[test]
    fn every_asset_has_a_hash_in_its_name() {
        for name in assets() {
            let (stem, _) = name.rsplit_once('.').unwrap();
            let (_, hash) = stem.split_at(stem.len().saturating_sub(9));
            assert!(hash.len() == 9 && hash.starts_with('-'), "caches would keep {name} for good");
        }
    }
}
