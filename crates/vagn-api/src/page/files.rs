//! The files of `web/dist`, embedded: each with its compressed forms, its media type and an ETag for each form.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use super::forms::{Form, choose};
use vagn_http::answer::part_of_program;
use vagn_http::etag;

static DIST: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../web/dist");

/// All files by their path in the build, such as `assets/map-1b2c3d4e.js`.
pub(super) static FILES: LazyLock<BTreeMap<&'static str, PageFile>> = LazyLock::new(|| {
    let mut paths = Vec::new();
    list(&DIST, &mut paths);
    paths.into_iter().filter(|path| !is_compressed(path)).map(|path| (path, PageFile::new(path))).collect()
});

/// A file, in the forms in which it can be sent.
pub(super) struct PageFile {
    media_type: HeaderValue,
    plain: Content,
    compressed: Vec<(Form, Content)>,
}

struct Content {
    bytes: &'static [u8],
    etag: HeaderValue,
}

impl PageFile {
    fn new(path: &'static str) -> Self {
        let compressed = Form::ALL.into_iter().filter_map(|form| {
            let content = Content::read(&format!("{path}{}", form.ending()))?;
            Some((form, content))
        });
        Self {
            media_type: HeaderValue::from_static(media_type(path)),
            plain: Content::read(path).expect("the path is from the list of files"),
            compressed: compressed.collect(),
        }
    }

    /// Answers with the best form that the caller reads, or with 304 if it has that already.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let form = choose(asked, self.compressed.iter().map(|(form, _)| *form));
        let compressed = self.compressed.iter().find(|(kept, _)| Some(*kept) == form);
        let content = compressed.map_or(&self.plain, |(_, content)| content);
        let mut response = if etag::is_known(asked, &content.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            self.whole(content, form)
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, content.etag.clone());
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        response
    }

    fn whole(&self, content: &Content, form: Option<Form>) -> Response {
        let mut response = part_of_program(Response::new(Body::from(content.bytes)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.media_type.clone());
        if let Some(form) = form {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(form.name()));
        }
        response
    }
}

impl Content {
    fn read(path: &str) -> Option<Self> {
        let bytes = DIST.get_file(path)?.contents();
        Some(Self { bytes, etag: etag::of(&Sha256::digest(bytes)[..16]) })
    }
}

fn list(folder: &'static Dir<'static>, paths: &mut Vec<&'static str>) {
    paths.extend(folder.files().filter_map(|file| file.path().to_str()));
    folder.dirs().for_each(|inner| list(inner, paths));
}

fn is_compressed(path: &str) -> bool {
    Form::ALL.into_iter().any(|form| path.ends_with(form.ending()))
}

/// Returns the media type of a file by the ending of its name.
fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json" | "geojson") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => UNKNOWN,
    }
}

/// Media type of what a browser must not interpret.
const UNKNOWN: &str = "application/octet-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_media_type() {
        for path in FILES.keys() {
            let is_known = media_type(path) != UNKNOWN || path.ends_with(".pbf") || path.ends_with(".bin");
            assert!(is_known, "{path} needs a media type");
        }
    }

    #[test]
    fn texts_are_compressed_in_every_form() {
        for (path, file) in FILES.iter().filter(|(_, file)| file.plain.bytes.len() > 1000) {
            if file.media_type.to_str().unwrap().starts_with("text/") {
                assert_eq!(file.compressed.len(), Form::ALL.len(), "{path}: run `make web`");
            }
        }
    }

    #[test]
    fn no_two_forms_have_the_same_etag() {
        let etags = FILES.values().flat_map(|file| {
            [&file.plain.etag].into_iter().chain(file.compressed.iter().map(|(_, content)| &content.etag))
        });
        for (path, file) in FILES.iter() {
            for (_, content) in &file.compressed {
                assert_ne!(content.etag, file.plain.etag, "{path}");
            }
        }
        assert!(etags.count() > FILES.len(), "nothing is compressed");
    }
}
