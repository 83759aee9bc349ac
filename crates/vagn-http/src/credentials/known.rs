//! What is known, and which of it holds at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use vagn_registry::{Digest, Session, Share, Token};

use super::hex;
use crate::principal::{Principal, Proof};
use crate::refusal::Refusal;

/// Tokens, sessions and shares, by their digests.
#[derive(Debug, Default)]
pub(super) struct Known {
    of_settings: HashSet<Digest>,
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

    pub(super) fn into_principal(self) -> Option<Principal> {
        if let Self::Holds(principal) = self { Some(principal) } else { None }
    }

    /// Says why a token that was known is not let in; who is slowed down is told nothing.
    pub(super) fn explain(&self, refusal: Refusal) -> Refusal {
        match (refusal, self) {
            (Refusal::Wrong, Self::Expired(at)) => Refusal::Expired(*at),
            (Refusal::Wrong, Self::Revoked(at)) => Refusal::Revoked(*at),
            _ => refusal,
        }
    }
}

impl Known {
    pub(super) fn new(of_settings: HashSet<Digest>) -> Self {
        let mut known = Self::default();
        known.set_of_settings(of_settings);
        known
    }

    pub(super) fn set_of_settings(&mut self, of_settings: HashSet<Digest>) {
        self.is_closed |= !of_settings.is_empty();
        self.of_settings = of_settings;
    }

    pub(super) fn set_tokens(&mut self, tokens: Vec<Token>) {
        self.is_closed |= !tokens.is_empty();
        self.tokens = tokens.into_iter().map(|token| (token.digest, Arc::new(token))).collect();
    }

    /// True once there was any token.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Lets it count as if there had been a token.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn standing(&self, digest: &Digest, now_ms: i64) -> Standing {
        if self.of_settings.contains(digest) {
            return Standing::Holds(Principal::of_setting(Proof::Setting(*digest)));
        }
        let Some(token) = self.tokens.get(digest) else { return Standing::Unknown };
        match (token.revoked_ms, token.expires_ms) {
            (Some(at), _) => Standing::Revoked(at),
            (None, Some(at)) if at <= now_ms => Standing::Expired(at),
            _ => Standing::Holds(Principal::of_token(token, Proof::Token(*digest))),
        }
    }

    /// Returns the principal of a session that holds, as its token does.
    pub(super) fn of_session(&self, digest: &Digest, now_ms: i64) -> Option<Principal> {
        let session = self.sessions.get(digest).filter(|session| session.expires_ms > now_ms)?;
        let proof = Proof::Session(*digest);
        if session.is_of_settings {
            let holds = self.of_settings.iter().any(|token| name_of_setting(token) == session.token);
            return holds.then(|| Principal::of_setting(proof));
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

/// Returns the name that stands in a session for a token of the settings, which has none.
pub(super) fn name_of_setting(digest: &Digest) -> Box<str> {
    hex(digest).into()
}
