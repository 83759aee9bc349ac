//! The map under the vehicles: its settings, and an operator's map file in ranges.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;
use vagn_flow::proof::DeviceMode;

use super::super::map::{Archive, Basemap, StyleUrl};
use super::super::router;
use super::fleet::SmallFleet;
use super::{Reply, austin, get, send, services};

/// A map file that is longer than what is read at a time.
fn content() -> String {
    let lines = (0..30_000).map(|line| format!("tile {line:05}\n"));
    format!("PMTiles\x03{}", lines.collect::<String>())
}

/// A map file and no style. The file stays open when its folder is removed.
pub(super) fn basemap(dir: &Path) -> Basemap {
    let path = dir.join("base.pmtiles");
    std::fs::write(&path, content()).unwrap();
    Basemap { style: None, archive: Some(Archive::open(&path).unwrap()) }
}

fn with(basemap: Basemap) -> Router {
    let mut services = services(SmallFleet::austin());
    services.basemap = Arc::new(basemap);
    router(services)
}

async fn ask(method: Method, headers: &[(&str, &str)]) -> Reply {
    ask_at(&austin(), method, headers).await
}

async fn ask_at(router: &Router, method: Method, headers: &[(&str, &str)]) -> Reply {
    let request = Request::builder().method(method).uri("/map/base.pmtiles");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    send(router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_pages_are_told_what_to_draw_on() {
    let version = env!("CARGO_PKG_VERSION");
    let style = Some(StyleUrl::parse("https://maps.example/style.json").unwrap());
    for (basemap, style_url, pmtiles) in [
        (Basemap::default(), json!(null), json!(null)),
        (Basemap { style, archive: None }, json!("https://maps.example/style.json"), json!(null)),
        (basemap(tempfile::tempdir().unwrap().path()), json!(null), json!("/map/base.pmtiles")),
    ] {
        let reply = get(&with(basemap), "/map/settings.json").await;
        let told = json!({"version": version, "style_url": style_url, "pmtiles": pmtiles, "udp": 9092});
        assert_eq!(reply.json(), told);
        assert_eq!(reply.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn the_pages_are_told_of_no_udp_port_where_a_report_in_clear_is_refused() {
    let services = services(SmallFleet::austin());
    services.intake.guard().set_mode(DeviceMode::Required);
    let reply = get(&router(services), "/map/settings.json").await;
    assert_eq!(reply.json()["udp"], json!(null));
}

#[tokio::test]
async fn without_a_map_file_there_is_none_to_give_out() {
    let reply = get(&with(Basemap::default()), "/map/base.pmtiles").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
    assert!(reply.body.contains("map.pmtiles"), "{}", reply.body);
}

#[tokio::test]
async fn the_whole_file_comes_without_a_range() {
    let (whole, len) = (content(), content().len().to_string());
    for (method, headers, body) in [
        (Method::GET, &[][..], whole.as_str()),
        (Method::GET, &[("range", "bytes=0-1,5-6")], &whole),
        (Method::GET, &[("range", "bytes=5-9"), ("if-range", "\"another\"")], &whole),
        (Method::HEAD, &[("range", "bytes=5-9")], ""),
    ] {
        let reply = ask(method.clone(), headers).await;
        assert_eq!(
            (reply.status, reply.header("content-length")),
            (StatusCode::OK, len.as_str()),
            "{headers:?}"
        );
        assert_eq!(reply.header("accept-ranges"), "bytes");
        assert!(reply.body == body, "{method} {headers:?} gives {} bytes", reply.body.len());
    }
}

#[tokio::test]
async fn a_range_gives_just_its_bytes() {
    let whole = content();
    let len = whole.len();
    for (range, first, end) in [
        ("bytes=0-7".to_owned(), 0, 8),
        ("bytes=100-200099".to_owned(), 100, 200_100),
        (format!("bytes={}-", len - 11), len - 11, len),
        ("bytes=-11".to_owned(), len - 11, len),
    ] {
        let reply = ask(Method::GET, &[("range", &range)]).await;
        assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(reply.header("content-range"), format!("bytes {first}-{}/{len}", end - 1));
        assert_eq!(reply.header("content-length"), (end - first).to_string());
        assert!(reply.body == whole[first..end], "{range} gives other bytes");
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_is_refused_with_the_length() {
    let reply = ask(Method::GET, &[("range", "bytes=99999999-")]).await;
    assert_eq!((reply.status, reply.body.as_str()), (StatusCode::RANGE_NOT_SATISFIABLE, ""));
    assert_eq!(reply.header("content-range"), format!("bytes */{}", content().len()));
}

#[tokio::test]
async fn the_etag_tells_if_the_file_is_still_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let router = with(basemap(dir.path()));
    let etag = ask_at(&router, Method::GET, &[]).await.header("etag").to_owned();
    let known = ask_at(&router, Method::GET, &[("if-none-match", &etag), ("range", "bytes=0-7")]).await;
    assert_eq!((known.status, known.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let range = [("range", "bytes=0-7"), ("if-range", etag.as_str())];
    assert_eq!(ask_at(&router, Method::GET, &range).await.status, StatusCode::PARTIAL_CONTENT);
    // Written in place, which changes the open file.
    std::fs::write(dir.path().join("base.pmtiles"), "PMTiles\x03 another").unwrap();
    let changed = ask_at(&router, Method::GET, &range).await;
    assert_eq!((changed.status, changed.body.as_str()), (StatusCode::OK, "PMTiles\x03 another"));
    assert_ne!(changed.header("etag"), etag);
}
