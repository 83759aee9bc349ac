//! ETags (RFC 9110, 8.8.3): names of contents, by which a caller asks if what it has is still right.

use axum::http::{HeaderMap, HeaderValue, header};

/// Makes a strong ETag of the bytes of a hash, or of others that tell contents apart.
pub fn of(hash: &[u8]) -> HeaderValue {
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{digits}\"")).expect("digits and quotes can stand in a header")
}

/// Returns true if the caller has the content of `etag` already and so needs only 304: `If-None-Match`.
pub fn is_known(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let lines = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    // A comma within a tag divides it, and no tag of ours has one.
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_known_by_its_tag() {
        let etag = of(&[0x0a, 0xbc]);
        assert_eq!(etag, "\"0abc\"");
        for (sent, known) in [
            (&["\"0abc\""][..], true),
            (&["W/\"0abc\""], true),
            (&["\"1\", \"0abc\""], true),
            (&["\"1\"", "\"0abc\""], true),
            (&["*"], true),
            (&["0abc"], false),
            (&["\"0ABC\""], false),
            (&["\"1\""], false),
            (&[], false),
        ] {
            let mut asked = HeaderMap::new();
            sent.iter().for_each(|line| {
                asked.append(header::IF_NONE_MATCH, line.parse().unwrap());
            });
            assert_eq!(is_known(&asked, &etag), known, "{sent:?}");
        }
    }
}
