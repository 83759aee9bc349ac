//! How an answer leaves: its media type, its length, and that nobody may keep it, because it is about now.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;

/// A live answer of this media type.
pub fn live(media_type: &'static str, body: Vec<u8>) -> Response {
    with_type(media_type, "no-store", body)
}

/// A live answer in JSON.
pub fn json(media_type: &'static str, value: &impl Serialize) -> Response {
    live(media_type, serde_json::to_vec(value).expect("answers are made of strings, numbers and lists"))
}

/// Something that comes with the program and changes with it: may be kept, but is asked for again.
pub fn fixed(media_type: &'static str, body: &'static str) -> Response {
    with_type(media_type, "no-cache", body)
}

fn with_type(media_type: &'static str, cache: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
