//! The reasons that a request is not let in, each with its answer and its word in the metrics.

use std::time::Duration;

use vagn_flow::rfc3339::rfc3339;
use vagn_registry::Role;

use super::problem::{Kind, Problem};

/// A request that is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It shows neither a token nor a session.
    Missing,
    /// Its token is not known.
    Wrong,
    /// Its token is wrong, or may be: too many wrong ones came from its address to tell. Holds the time until another one is told.
    Slowed(Duration),
    /// Its token has ended, at this time in ms since 1970.
    Expired(i64),
    /// Its token was revoked, at this time in ms since 1970.
    Revoked(i64),
    /// Its session has ended.
    SessionEnded,
    /// It came through a proxy, to a service that is open to its own machine alone.
    NotLocal,
    /// Its principal has not this role.
    Role(Role),
    /// Only a person may do it, and its token is that of a program.
    NoPerson,
    /// It shows a cookie, and not that it comes from a page of this service.
    CrossSite,
    /// Its principal asks too often. Holds the time until it may again.
    Rate(Duration),
    /// Its address asks too often. Holds the time until it may again.
    AddressRate(Duration),
}

impl Refusal {
    /// All words of the metrics.
    pub(crate) const REASONS: [&str; 12] = [
        "missing",
        "wrong",
        "slowed",
        "expired",
        "revoked",
        "session",
        "not_local",
        "role",
        "person",
        "cross_site",
        "rate",
        "rate_per_address",
    ];

    /// Returns the word of the metrics.
    pub(crate) fn reason(self) -> &'static str {
        let at = match self {
            Self::Missing => 0,
            Self::Wrong => 1,
            Self::Slowed(_) => 2,
            Self::Expired(_) => 3,
            Self::Revoked(_) => 4,
            Self::SessionEnded => 5,
            Self::NotLocal => 6,
            Self::Role(_) => 7,
            Self::NoPerson => 8,
            Self::CrossSite => 9,
            Self::Rate(_) => 10,
            Self::AddressRate(_) => 11,
        };
        Self::REASONS[at]
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => unauthorized("send the header `Authorization: Bearer <token>`"),
            Refusal::Wrong => unauthorized(
                "the token is not known here; `vagn token add` makes one, and `vagn token list` shows those there are",
            ),
            Refusal::Expired(at) => {
                unauthorized(format!("the token has expired, at {}; ask for a new one", rfc3339(at)))
            }
            Refusal::Revoked(at) => {
                unauthorized(format!("the token was revoked, at {}; ask for a new one", rfc3339(at)))
            }
            Refusal::SessionEnded => unauthorized("the session has ended; sign in again"),
            Refusal::NotLocal => unauthorized(
                "no token was made yet, so only this machine itself may ask, and this request came through a proxy; make one \
                 with `vagn token add NAME --role ROLE --data-dir DIR`",
            ),
            Refusal::Role(role) => {
                let why = format!("this needs the role `{}`, which the token has not", role.word());
                Self::new(Kind::Forbidden, why)
            }
            Refusal::NoPerson => Self::new(
                Kind::Forbidden,
                "only a person ends an escalation: take a token made with --person, or one made with --on-behalf and the \
                 person's name in `by`",
            ),
            Refusal::CrossSite => Self::new(
                Kind::Forbidden,
                "with the cookie of a session this is taken only from a page of this service; a program sends a token instead",
            ),
            Refusal::Slowed(wait) => {
                let why = "too many wrong tokens came from this address, so it is not said whether this one is wrong; one that `vagn token \
                           add` has made passes all the same";
                too_many(why, wait)
            }
            Refusal::Rate(wait) => {
                too_many("requests with this token come faster than `http.rate` allows", wait)
            }
            Refusal::AddressRate(wait) => {
                too_many("requests from this address come faster than `http.rate_per_address` allows", wait)
            }
        }
    }
}

fn unauthorized(why: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Kind::Unauthorized, why)
}

fn too_many(why: &'static str, wait: Duration) -> Problem {
    Problem::new(Kind::TooManyRequests, why).again_after(wait)
}
