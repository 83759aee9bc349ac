//! Who may ask: when tokens are set, every request for data carries one of them.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::problem::{Kind, Problem};

/// The tokens of the setting `http.tokens`. None: everybody may ask.
///
/// Only their digests are kept and compared, so that the time of a comparison tells nothing about a token.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// Takes the tokens as they stand in the settings.
    pub fn new<T: AsRef<str>>(tokens: impl IntoIterator<Item = T>) -> Self {
        Self(tokens.into_iter().map(|token| digest(token.as_ref())).collect())
    }

    /// Whether a request with these headers may be answered.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let Some(token) = bearer(headers) else {
            return Err(Problem::new(Kind::Unauthorized, "send the header `Authorization: Bearer <token>`"));
        };
        let sent = digest(token);
        if self.0.iter().fold(false, |found, known| found | (*known == sent)) {
            return Ok(());
        }
        Err(Problem::new(Kind::Unauthorized, "the token is not one of those in the setting http.tokens"))
    }
}

/// Answers 401 itself, or lets the request through.
pub async fn guard(State(tokens): State<Tokens>, request: Request, next: Next) -> Response {
    match tokens.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The token of `Authorization: Bearer <token>`; the scheme's case does not matter (RFC 9110).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(tokens: &[&str], authorization: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        Tokens::new(tokens).admit(&headers).is_ok()
    }

    #[test]
    fn everybody_may_ask_where_no_tokens_are_set() {
        assert!(admits(&[], None));
        assert!(admits(&[], Some("Bearer whatever")));
    }

    #[test]
    fn only_a_known_token_opens() {
        for (authorization, opens) in [
            (Some("Bearer first"), true),
            (Some("bearer second"), true),
            (Some("Bearer  second "), true),
            (None, false),
            (Some("Bearer"), false),
            (Some("Bearer "), false),
            (Some("Bearer firs"), false),
            (Some("Bearer firstx"), false),
            (Some("Basic first"), false),
            (Some("first"), false),
        ] {
            assert_eq!(admits(&["first", "second"], authorization), opens, "{authorization:?}");
        }
    }
}
