//! The principal of a request: the person or machine that it comes from, found by its token.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use super::caller::Caller;
use super::problem::{Kind, Problem};
use super::token_guard::{Refusal, TokenGuard};

/// The person or machine that a request comes from; an extractor for handlers.
///
/// The tokens of the settings carry no names, so the holders of different tokens are one principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// A caller of a service without tokens.
    Anonymous,
    /// A caller that showed one of the tokens that are set.
    TokenHolder,
}

impl Principal {
    /// Returns the name under which a request of this principal is recorded; `by` is the name given in its body.
    pub fn name(self, by: Box<str>) -> Box<str> {
        match self {
            // Neither has a name of its own, so the one given is taken as it is.
            Self::Anonymous | Self::TokenHolder => by,
        }
    }
}

/// Outcome of the token check: the principal, or the refusal of a missing or unknown token. Put into the request's extensions by
/// the router, so that also a route that is open to all can ask for it.
#[derive(Debug, Clone)]
pub(crate) struct TokenCheck(pub(crate) Result<Principal, Problem>);

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let checked = parts.extensions.get::<TokenCheck>().cloned();
        // Only a handler that is not in the table of routes gets here: nothing is let in by mistake.
        let Some(TokenCheck(found)) = checked else {
            return Err(Problem::new(Kind::Internal, "this path does not look for a token"));
        };
        found
    }
}

/// The tokens of the setting `http.tokens`. Without any, every caller is let in.
///
/// Only their digests are kept and compared, so that the time of a comparison tells nothing about a token.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    digests: Arc<[[u8; 32]]>,
    /// `None` in tests that need none.
    guard: Option<Arc<TokenGuard>>,
}

impl Tokens {
    /// Takes the tokens as they stand in the settings.
    pub fn new<T: AsRef<str>>(tokens: impl IntoIterator<Item = T>) -> Self {
        Self { digests: tokens.into_iter().map(|token| digest(token.as_ref())).collect(), guard: None }
    }

    /// Lets `guard` count those that are refused, and slow down whoever tries many.
    #[must_use]
    pub fn guarded(self, guard: Arc<TokenGuard>) -> Self {
        Self { guard: Some(guard), ..self }
    }

    /// Finds the principal of a request with these headers, from this address.
    pub(crate) fn principal(
        &self,
        headers: &HeaderMap,
        caller: Option<&Caller>,
    ) -> Result<Principal, Refusal> {
        if self.digests.is_empty() {
            return Ok(Principal::Anonymous);
        }
        let found = self.find(bearer(headers).ok_or(Refusal::Missing)?);
        match &self.guard {
            Some(guard) => guard.judge(found, caller)?,
            None => found.map(drop).ok_or(Refusal::Wrong)?,
        }
        Ok(Principal::TokenHolder)
    }

    fn find(&self, token: &str) -> Option<usize> {
        let sent = digest(token);
        // Compares with every token, so that the time does not tell which one was found.
        self.digests
            .iter()
            .enumerate()
            .fold(None, |found, (at, known)| if *known == sent { Some(at) } else { found })
    }

    /// Counts a refusal at a route of this class.
    pub(crate) fn count(&self, class: &'static str, refusal: Refusal) {
        if let Some(guard) = &self.guard {
            guard.count(class, refusal);
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => {
                Self::new(Kind::Unauthorized, "send the header `Authorization: Bearer <token>`")
            }
            Refusal::Wrong => {
                Self::new(Kind::Unauthorized, "the token is not one of those in the setting http.tokens")
            }
            Refusal::Slowed(wait) => {
                let why = "too many wrong tokens came from this address, so this one was not looked at";
                Self::new(Kind::TooManyRequests, why).again_after(wait)
            }
        }
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Returns the token of `Authorization: Bearer <token>`; the scheme's case does not matter (RFC 9110).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tokens: &[&str], authorization: Option<&str>) -> Option<Principal> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        Tokens::new(tokens).principal(&headers, None).ok()
    }

    #[test]
    fn every_caller_is_let_in_where_no_tokens_are_set() {
        assert_eq!(found(&[], None), Some(Principal::Anonymous));
        assert_eq!(found(&[], Some("Bearer whatever")), Some(Principal::Anonymous));
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
            let expected = opens.then_some(Principal::TokenHolder);
            assert_eq!(found(&["first", "second"], authorization), expected, "{authorization:?}");
        }
    }

    #[test]
    fn a_request_is_recorded_under_the_name_in_its_body() {
        for principal in [Principal::Anonymous, Principal::TokenHolder] {
            assert_eq!(&*principal.name("Anna".into()), "Anna", "{principal:?}");
        }
    }
}
