//! Answers with their media type, their length and the headers that tell caches what to do.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;

use super::taken::Weight;

/// Answers with `body`, which is about now: no cache may keep it.
pub fn live(media_type: &'static str, body: impl Into<Body>) -> Response {
    with_type(media_type, "no-store", body)
}

/// Answers with `value` in JSON, which no cache may keep.
pub fn json(media_type: &'static str, value: &impl Serialize) -> Response {
    live(media_type, serde_json::to_vec(value).expect("answers are made of strings, numbers and lists"))
}

/// Answers with a file of the program. Caches may keep it, but ask again each time, because an upgrade changes it.
pub fn fixed(media_type: &'static str, body: &'static str) -> Response {
    part_of_program(with_type(media_type, "no-cache", body))
}

/// Marks an answer whose content is part of the program, and so takes no memory of its own.
pub fn part_of_program(mut response: Response) -> Response {
    response.extensions_mut().insert(Weight::Free);
    response
}

fn with_type(media_type: &'static str, cache: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    // Ids of vehicles come from outside: a browser must not take an answer with markup in an id for a page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
