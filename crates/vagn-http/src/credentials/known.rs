//! Known tokens, sessions and shares: tells which of them hold at a time.

use std::collections::HashMap;
use std::sync::Arc;

use vagn_registry::{Digest, NewSecret, Session, Share, Token};

use super::hex;
use crate::principal::{Principal, Proof};
use crate::refusal::Refusal;
use crate::token_guard::LookedUp;

/// Characters of a token of the settings which is not found by trying: 128 bits even in hexadecimal digits, such as those of
/// `openssl rand -hex 16`.
pub const SURE_LENGTH: usize = 32;

/// Tokens, sessions and shares, by their digests.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Tokens of the settings; true for one so short that it may be found by trying.
    of_settings: HashMap<Digest, bool>,
    tokens: HashMap<Digest, Arc<Token>>,
    pub(super) sessions: HashMap<Digest, Session>,
    pub(super) shares: HashMap<Digest, Arc<Share>>,
    is_closed: bool,
}

/// A token, as it stands now.
#[derive(Debug)]
pub(super) enum Standing {
    Unknown,
    Expired(i64),
    Revoked(i64),
    Holds(Principal),
}

impl Standing {
    pub(super) fn principal(&self) -> Option<&Principal> {
        if let Self::Holds(principal) = self { Some(principal) } else { None }
    }

    pub(super) fn into_principal(self) -> Result<Principal, Refusal> {
        match self {
            Self::Holds(principal) => Ok(principal),
            other => Err(other.explain(Refusal::Wrong)),
        }
    }

    /// Returns the reason why a token that was known is not let in. A caller that is slowed down is told nothing.
    pub(super) fn explain(&self, refusal: Refusal) -> Refusal {
        match (refusal, self) {
            (Refusal::Wrong, Self::Expired(at)) => Refusal::Expired(*at),
            (Refusal::Wrong, Self::Revoked(at)) => Refusal::Revoked(*at),
            _ => refusal,
        }
    }
}

impl Known {
    pub(super) fn new(of_settings: &[String]) -> Self {
        let mut known = Self::default();
        known.set_of_settings(of_settings);
        known
    }

    pub(super) fn set_of_settings(&mut self, tokens: &[String]) {
        self.is_closed |= !tokens.is_empty();
        self.of_settings =
            tokens.iter().map(|token| (NewSecret::digest_of(token), is_guessable(token))).collect();
    }

    pub(super) fn set_tokens(&mut self, tokens: Vec<Token>) {
        self.is_closed |= !tokens.is_empty();
        self.tokens = tokens.into_iter().map(|token| (token.digest, Arc::new(token))).collect();
    }

    /// Returns true once there was any token.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Lets it count as if there had been a token.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn standing(&self, digest: &Digest, now_ms: i64) -> Standing {
        if self.of_settings.contains_key(digest) {
            return Standing::Holds(Principal::of_setting(*digest, Proof::Setting(*digest)));
        }
        let Some(token) = self.tokens.get(digest) else { return Standing::Unknown };
        match (token.revoked_ms, token.expires_ms) {
            (Some(at), _) => Standing::Revoked(at),
            (None, Some(at)) if at <= now_ms => Standing::Expired(at),
            _ => Standing::Holds(Principal::of_token(token, Proof::Token(*digest))),
        }
    }

    /// Looks a token up for the guard.
    pub(super) fn look_up(&self, digest: &Digest, standing: &Standing) -> LookedUp {
        match (standing, self.of_settings.get(digest)) {
            (Standing::Holds(_), Some(true)) => LookedUp::Guessable(mark(digest)),
            // Those of the registry have 256 random bits.
            (Standing::Holds(_), _) => LookedUp::Sure,
            _ => LookedUp::Wrong,
        }
    }

    /// Returns the principal of a session that holds, as its token does.
    pub(super) fn of_session(&self, digest: &Digest, now_ms: i64) -> Option<Principal> {
        let session = self.sessions.get(digest).filter(|session| session.expires_ms > now_ms)?;
        let proof = Proof::Session(*digest);
        if session.is_of_settings {
            let token = self.of_settings.keys().find(|token| name_of_setting(token) == session.token)?;
            return Some(Principal::of_setting(*token, proof));
        }
        // A name is used once, so this is the very token that the session was begun with.
        let token = self.tokens.values().find(|token| token.name == session.token)?;
        self.standing(&token.digest, now_ms).principal().map(|_| Principal::of_token(token, proof))
    }

    /// Returns a share that holds.
    pub(super) fn share(&self, digest: &Digest, now_ms: i64) -> Option<&Arc<Share>> {
        self.shares.get(digest).filter(|share| share.expires_ms > now_ms)
    }

    /// Returns true if anything expired in this time.
    pub(super) fn has_expired(&self, since_ms: i64, until_ms: i64) -> bool {
        let tokens = self.tokens.values().filter_map(|token| token.expires_ms);
        let shares = self.shares.values().map(|share| share.expires_ms);
        let sessions = self.sessions.values().map(|session| session.expires_ms);
        tokens.chain(shares).chain(sessions).any(|at| since_ms < at && at <= until_ms)
    }
}

/// Returns true for a token so short that it may be found by trying.
fn is_guessable(token: &str) -> bool {
    token.chars().count() < SURE_LENGTH
}

/// Returns the name that stands in a session for a token of the settings, which has none.
pub(super) fn name_of_setting(digest: &Digest) -> Box<str> {
    hex(digest).into()
}

/// Returns the beginning of a digest, by which the guard remembers a token.
fn mark(digest: &Digest) -> u64 {
    u64::from_be_bytes(*digest.first_chunk().expect("a digest is longer"))
}
