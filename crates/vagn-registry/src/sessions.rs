//! Sessions of browsers. They end with their token, or when they are not used.

use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::secret::{digest_from_hex, hex};
use crate::wrapping::Wrapping;
use crate::{Change, Digest, Kind, Object, PutError, Registry, RegistryError};

/// The session of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Digest of the cookie.
    pub digest: Digest,
    /// Name of its token, with which it ends. A token of the settings has none, and its digest stands here.
    pub token: Box<str>,
    /// Its token is one of the settings. A kind of its own, so that no name of a token can be taken for it.
    pub is_of_settings: bool,
    /// Its end unless it is used, ms since 1970.
    pub expires_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct SessionJson {
    token: Box<str>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_of_settings: bool,
    expires_ms: i64,
}

impl Entry for Session {
    const KIND: Kind = Kind::Session;

    fn key(&self) -> String {
        hex(&self.digest)
    }

    fn to_json(&self, _: Option<&Wrapping>) -> Vec<u8> {
        let Self { is_of_settings, expires_ms, .. } = *self;
        let json = SessionJson { token: self.token.clone(), is_of_settings, expires_ms };
        serde_json::to_vec(&json).expect("numbers and texts can always be written")
    }

    fn from_json(key: &str, object: &Object, _: Option<&Wrapping>) -> Option<Self> {
        let json: SessionJson = serde_json::from_slice(&object.value).ok()?;
        let SessionJson { token, is_of_settings, expires_ms } = json;
        Some(Self { digest: digest_from_hex(key)?, token, is_of_settings, expires_ms })
    }
}

impl Registry {
    /// Lists all sessions, those that have ended but were not removed yet too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sessions(&self) -> Result<Vec<Session>, RegistryError> {
        self.read_all()
    }

    /// Returns the session that a change of [`Kind::Session`] has written; `None` when it is gone or makes no sense.
    pub fn session_in(&self, change: &Change) -> Option<Session> {
        let value = change.value.clone().filter(|_| change.kind == Kind::Session)?;
        self.decode(&change.key, &Object { value, revision: change.revision })
    }

    /// Lets a session last until a later end, if it is there: one that was ended meanwhile stays so.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub fn renew_session(&self, session: &Session) -> Result<(), PutError> {
        let renewed = self.update(&session.key(), |found: &mut Session| {
            let is_later = session.expires_ms > found.expires_ms;
            found.expires_ms = found.expires_ms.max(session.expires_ms);
            is_later
        });
        match renewed {
            Err(PutError::NotFound { .. }) => Ok(()),
            renewed => renewed.map(drop),
        }
    }

    /// Begins or, with `None`, ends a session.
    ///
    /// # Errors
    /// The registry cannot be written, or is full.
    pub fn put_session(&self, digest: &Digest, session: Option<&Session>) -> Result<(), PutError> {
        let value = session.map(|session| self.encode(session));
        self.overwrite(Kind::Session, &hex(digest), value.as_deref()).map(drop)
    }

    /// Removes sessions and shares that ended before this time, ms since 1970, and returns how many.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub fn remove_ended(&self, before_ms: i64) -> Result<usize, PutError> {
        let sessions = self.sessions()?;
        let sessions: Vec<_> =
            sessions.iter().filter(|session| session.expires_ms < before_ms).map(Entry::key).collect();
        let shares = self.shares()?;
        let shares: Vec<_> =
            shares.iter().filter(|share| share.expires_ms < before_ms).map(Entry::key).collect();
        self.remove_all(Kind::Session, &sessions)?;
        self.remove_all(Kind::Share, &shares)?;
        Ok(sessions.len() + shares.len())
    }
}
