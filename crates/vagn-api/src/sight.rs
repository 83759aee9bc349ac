//! The form in which a caller sees the fleet, by its role.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use vagn_registry::Role;
use vagn_store::Sight;

use vagn_http::principal::Principal;
use vagn_http::problem::Problem;

/// The sight of the caller; an extractor for the handlers that show vehicles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeing(pub(crate) Sight);

impl<S: Send + Sync> FromRequestParts<S> for Seeing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Principal::from_request_parts(parts, state).await.map(|principal| Self(sight(&principal)))
    }
}

/// Returns the sight of a principal.
pub(crate) fn sight(principal: &Principal) -> Sight {
    if principal.role() == Role::Latest { Sight::Coarse } else { Sight::Exact }
}
