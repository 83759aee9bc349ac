//! Pages of other origins, by the setting `http.cors_origins`; without it, answers are as if there were no such thing.

use reqwest::{Method, RequestBuilder, Response};

use crate::vagn::{Vagn, client, settings};

const PAGE: &str = "https://map.example";
const EXPOSED: &str = "Retry-After, ETag, Link, Vagn-Partial, Vagn-Missing-Shards, Vagn-Shard-Age-Ms";

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn preflight(vagn: &Vagn, path: &str) -> RequestBuilder {
    let request = client().request(Method::OPTIONS, vagn.url(path)).header("origin", PAGE);
    request.header("access-control-request-method", "POST")
}

#[tokio::test]
async fn a_page_that_is_listed_asks_and_reads_refusals_too() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("[http]\ntokens = [\"a right token of ours\"]\ncors_origins = [\"{PAGE}\"]\n");
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &settings(dir.path(), &text)]);

    let answer = preflight(&vagn, "/api/v1/positions").send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(header(&answer, "access-control-allow-methods"), "POST");
    assert_eq!(header(&answer, "access-control-allow-headers"), "Authorization, Content-Type");
    assert_eq!(header(&answer, "access-control-allow-origin"), PAGE);

    for (token, status) in [("a right token of ours", 200), ("wrong", 401)] {
        let request = client().get(vagn.url("/api/v1/vehicles?bbox=0,0,1,1")).header("origin", PAGE);
        let answer = request.bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(header(&answer, "access-control-allow-origin"), PAGE, "{status}");
        assert_eq!(header(&answer, "vary"), "Origin", "{status}");
        assert_eq!(header(&answer, "access-control-expose-headers"), EXPOSED);
        assert_eq!(header(&answer, "access-control-allow-credentials"), "");
    }

    let request = client().get(vagn.url("/api/v1/incidents")).header("origin", "https://other.example");
    let answer = request.bearer_auth("a right token of ours").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "access-control-allow-origin")), (200, ""));
}

#[tokio::test]
async fn every_page_is_let_in_by_a_star_and_none_without_the_setting() {
    for (text, allowed, status) in [("[http]\ncors_origins = \"*\"\n", "*", 204), ("", "", 405)] {
        let dir = tempfile::tempdir().unwrap();
        let vagn = Vagn::start(&dir.path().join("data"), &["--config", &settings(dir.path(), text)]);
        let answer = preflight(&vagn, "/api/v1/positions").send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "access-control-allow-origin")),
            (status, allowed)
        );
        assert_eq!(answer.headers().contains_key("vary"), status == 204);
    }
}
