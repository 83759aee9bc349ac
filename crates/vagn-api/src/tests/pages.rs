//! The pages as browsers get them: what caches may do, which form is sent, and what a page may load.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::super::map::{Basemap, StyleUrl};
use super::super::{page, router};
use super::fleet::SmallFleet;
use super::{austin, get, send, services};

/// The name of an asset.
pub(super) fn asset() -> &'static str {
    page::assets().next().expect("the pages have a script")
}

/// Asks without reading the body, which may be compressed.
async fn head(path: &str, headers: &[(&str, &str)]) -> Response {
    let request =
        headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    TowerToHyperService::new(austin()).call(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// A router with one share, that of [`LINK`].
fn shared() -> Router {
    let services = services(SmallFleet::austin());
    services.entry.credentials.insert_share(LINK, 0, "bus 1", i64::MAX);
    router(services)
}

/// The secret of a share that lasts.
const LINK: &str = "a-link-to-bus-1";

#[tokio::test]
async fn a_link_that_has_ended_is_not_found_and_has_the_page_that_says_so() {
    let lasts = get(&shared(), "/s/a-link-to-bus-1").await;
    assert_eq!(lasts.status, StatusCode::OK);
    // Without the share the browser may have the page already.
    let etag = lasts.header("etag").to_owned();
    for (path, status) in
        [("/s/a-link-to-bus-1", StatusCode::NOT_MODIFIED), ("/s/another", StatusCode::NOT_FOUND)]
    {
        let request = Request::get(path).header("if-none-match", &etag).body(Body::empty()).unwrap();
        let reply = send(&shared(), request).await;
        assert_eq!((reply.status, reply.header("referrer-policy")), (status, "no-referrer"), "{path}");
        assert_eq!(reply.body == lasts.body, status == StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_console_is_found_with_a_slash_behind_its_address() {
    for (path, to) in [("/incidents/", "/incidents"), ("/incidents/?a=%2F&b", "/incidents?a=%2F&b")] {
        let reply = get(&austin(), path).await;
        assert_eq!((reply.status, reply.header("location")), (StatusCode::PERMANENT_REDIRECT, to), "{path}");
    }
}

#[tokio::test]
async fn all_pages_load_only_files_that_are_there() {
    for path in [
        "/",
        "/?x=1#12/30.2/-97.7",
        "/incidents",
        "/incidents?open=1",
        "/s/a-link-to-bus-1",
        "/s/a-link-to-bus-1?fbclid=1&x=%zz",
    ] {
        let page = get(&shared(), path).await;
        assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
        let loaded = page.body.split('"').filter(|text| text.starts_with('/'));
        let loaded: Vec<_> = loaded.collect();
        assert!(loaded.iter().any(|path| path.ends_with(".js")), "{path} has no script");
        for file in loaded {
            assert_eq!(get(&austin(), file).await.status, StatusCode::OK, "{file}");
        }
        assert!(!page.body.contains("://") && !page.body.contains("<style"), "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn no_script_stands_in_a_page() {
    for path in ["/", "/incidents", "/s/a-link-to-bus-1"] {
        let body = get(&shared(), path).await.body;
        let scripts: Vec<_> = body.split("<script").skip(1).collect();
        assert!(!scripts.is_empty(), "{path} has no script at all");
        for script in scripts {
            let (_, content) = script.split_once('>').unwrap();
            assert!(content.starts_with("</script>"), "{path} has a script that its policy forbids");
        }
    }
}

#[tokio::test]
async fn a_page_names_all_it_may_load_and_leaks_no_address() {
    for path in ["/", "/incidents", "/s/a-link-to-bus-1"] {
        let page = get(&shared(), path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
    }
    // A worker asks for tiles under the policy of its own script.
    let script = head(&format!("/assets/{}", asset()), &[]).await;
    let policy = text(script.headers(), "content-security-policy");
    assert!(policy.contains("connect-src *") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let mut services = services(SmallFleet::austin());
    let style = StyleUrl::parse("https://maps.example/style.json").unwrap();
    services.basemap = Arc::new(Basemap { style: Some(style), archive: None });
    let policy = get(&router(services), "/").await.header("content-security-policy").to_owned();
    assert!(policy.contains("connect-src 'self' https://maps.example;"), "{policy}");
}

#[tokio::test]
async fn caches_keep_an_asset_for_good_and_ask_again_for_a_page() {
    let asset = format!("/assets/{}", asset());
    for (path, expected) in [
        ("/", "no-cache"),
        ("/incidents", "no-cache"),
        ("/licenses.txt", "no-cache"),
        (&asset, "public, max-age=31536000, immutable"),
    ] {
        let answer = head(path, &[]).await;
        assert_eq!(text(answer.headers(), "cache-control"), expected, "{path}");
        assert_eq!(text(answer.headers(), "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(text(answer.headers(), "vary"), "Accept-Encoding", "{path}");
        let etag = text(answer.headers(), "etag").to_owned();
        let known = head(path, &[("if-none-match", &etag)]).await;
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(text(known.headers(), "etag"), etag, "{path}");
        assert_eq!(text(known.headers(), "cache-control"), expected, "{path}");
        assert_eq!(head(path, &[("if-none-match", "\"another\"")]).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn each_form_has_its_own_etag() {
    let mut etags = Vec::new();
    for (accepted, encoding) in [("br, gzip", "br"), ("gzip", "gzip"), ("identity", "")] {
        let answer = head("/licenses.txt", &[("accept-encoding", accepted)]).await;
        assert_eq!(text(answer.headers(), "content-encoding"), encoding, "{accepted}");
        assert_eq!(text(answer.headers(), "content-type"), "text/plain; charset=utf-8", "{accepted}");
        let etag = text(answer.headers(), "etag").to_owned();
        assert!(!etags.contains(&etag), "{accepted}");
        etags.push(etag);
    }
}

#[tokio::test]
async fn a_file_of_another_version_is_not_found() {
    for name in ["map-00000000.js", "..%2Findex.html", "index.html", ""] {
        let reply = get(&austin(), &format!("/assets/{name}")).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{name}");
        assert_ne!(reply.header("cache-control"), "public, max-age=31536000, immutable", "{name}");
    }
}
