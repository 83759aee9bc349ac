//! Tiles over HTTP: headers, refusals, and what a client's own cache is told.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::json;

use super::fleet::SmallFleet;
use super::{austin, failing, get, router, services};
use crate::services::Unavailable;

/// Three vehicles around Austin.
const AUSTIN: &str = "/tiles/11/467/843";
/// Also one of its tiles.
const CLOSE: &str = "/tiles/14/3743/6745";

struct Tile {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Tile {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(router: &Router, method: Method, path: &str, known: Option<&str>) -> Tile {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(known) = known {
        request = request.header("if-none-match", known);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Tile { status: parts.status, headers: parts.headers, bytes: to_bytes(body, usize::MAX).await.unwrap() }
}

#[tokio::test]
async fn a_tile_may_be_kept_by_its_client_and_is_asked_for_again_by_its_tag() {
    let router = austin();
    for (ending, kind) in [("mvt", "application/vnd.mapbox-vector-tile"), ("bin", "application/octet-stream")]
    {
        let path = format!("{AUSTIN}.{ending}");
        let tile = ask(&router, Method::GET, &path, None).await;
        assert_eq!((tile.status, tile.header("content-type")), (StatusCode::OK, kind));
        assert_eq!(tile.header("cache-control"), "private, no-cache");
        assert_eq!(tile.header("x-content-type-options"), "nosniff");
        let etag = tile.header("etag");
        assert!(etag.len() == 18 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        for known in [etag, "*", &format!("\"other\", W/{etag}")] {
            let again = ask(&router, Method::GET, &path, Some(known)).await;
            assert_eq!((again.status, again.header("etag")), (StatusCode::NOT_MODIFIED, etag), "{known}");
            assert!(again.bytes.is_empty() && again.header("cache-control") == "private, no-cache");
        }
        let again = ask(&router, Method::GET, &path, Some("\"other\"")).await;
        assert_eq!((again.status, &again.bytes), (StatusCode::OK, &tile.bytes));
        let head = ask(&router, Method::HEAD, &path, None).await;
        assert_eq!((head.status, head.header("etag"), head.bytes.len()), (StatusCode::OK, etag, 0));
    }
}

#[tokio::test]
async fn a_tile_has_the_vehicles_that_are_in_it() {
    let router = austin();
    let count = async |path: &str| {
        let tile = ask(&router, Method::GET, path, None).await;
        (tile.status, tile.bytes.get(4..8).map(|count| u32::from_le_bytes(count.try_into().unwrap())))
    };
    assert_eq!(count(&format!("{AUSTIN}.bin")).await, (StatusCode::OK, Some(2)));
    assert_eq!(count(&format!("{CLOSE}.bin")).await, (StatusCode::OK, Some(1)));
    // The ferry goes by longitude 180, which is the westernmost column.
    assert_eq!(count("/tiles/11/0/1125.bin").await, (StatusCode::OK, Some(1)));
    assert_eq!(count("/tiles/11/2047/1125.bin").await, (StatusCode::NO_CONTENT, None));
}

#[tokio::test]
async fn an_empty_tile_has_no_content() {
    for path in ["/tiles/14/0/0.mvt", "/tiles/11/1/2.bin"] {
        let tile = ask(&austin(), Method::GET, path, None).await;
        assert_eq!((tile.status, tile.bytes.len()), (StatusCode::NO_CONTENT, 0), "{path}");
        assert_eq!((tile.header("cache-control"), tile.header("etag")), ("private, no-cache", ""));
    }
}

#[tokio::test]
async fn a_path_that_is_no_tile_is_refused_with_the_reason() {
    for (path, status, problem, why) in [
        ("15/0/0.mvt", StatusCode::NOT_FOUND, "not-found", "z is at most 14"),
        ("300/0/0.mvt", StatusCode::NOT_FOUND, "not-found", "z is at most 14"),
        ("0/1/0.mvt", StatusCode::NOT_FOUND, "not-found", "less than 2 to the power of z"),
        ("11/0/2048.bin", StatusCode::NOT_FOUND, "not-found", "no tile 11/0/2048"),
        ("10/0/0.bin", StatusCode::NOT_FOUND, "not-found", "begin at zoom 11"),
        ("0/0/0", StatusCode::NOT_FOUND, "not-found", "ends in .mvt or .bin"),
        ("0/0/0.png", StatusCode::NOT_FOUND, "not-found", "ends in .mvt or .bin"),
        ("z/0/0.mvt", StatusCode::BAD_REQUEST, "invalid-parameter", "`z` is \"z\""),
        ("1/-1/0.mvt", StatusCode::BAD_REQUEST, "invalid-parameter", "`x` is \"-1\""),
        ("1/0/+1.mvt", StatusCode::BAD_REQUEST, "invalid-parameter", "`y` is \"+1\""),
        ("1/0/.mvt", StatusCode::BAD_REQUEST, "invalid-parameter", "a whole number"),
        ("1/0/99999999999.mvt", StatusCode::BAD_REQUEST, "invalid-parameter", "a whole number"),
        ("11/0/0.mvt?coarse=1", StatusCode::BAD_REQUEST, "invalid-parameter", "`coarse` is unknown"),
    ] {
        let reply = get(&austin(), &format!("/tiles/{path}")).await;
        assert_eq!((reply.status, reply.problem().as_str()), (status, problem), "{path}");
        assert!(reply.json()["detail"].as_str().unwrap().contains(why), "{path}: {}", reply.body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tile_that_cannot_be_made_now_says_when_to_come_back() {
    let full = failing(Unavailable::Full);
    // Nobody counts here.
    let uncounted = router(services(SmallFleet::austin()));
    for (router, path, problem) in
        [(full, format!("{AUSTIN}.mvt"), "overloaded"), (uncounted, "/tiles/0/0/0.mvt".into(), "not-ready")]
    {
        let reply = get(&router, &path).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, problem));
        assert_eq!(reply.header("retry-after"), "1");
    }
}

#[tokio::test]
async fn the_description_has_the_url_of_the_tiles_as_the_client_reaches_them() {
    for (host, tiles) in [
        ("map.example:9090", "https://map.example:9090/tiles/{z}/{x}/{y}.mvt"),
        ("[::1]:9090", "https://[::1]:9090/tiles/{z}/{x}/{y}.mvt"),
        ("a<b", "/tiles/{z}/{x}/{y}.mvt"),
    ] {
        let request = Request::builder().uri("/tiles.json").header("host", host).body(Body::empty()).unwrap();
        let described = super::send(&austin(), request).await.json();
        assert_eq!(described["tiles"], json!([tiles]));
        assert_eq!(json!([described["tilejson"], described["maxzoom"]]), json!(["3.0.0", 14]));
        assert_eq!(described["vector_layers"][0]["id"], "vehicles");
    }
}
