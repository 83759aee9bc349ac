//! Tokens, roles, and the sessions of browsers.

use serde::{Deserialize, Serialize};

use crate::{Registry, RegistryError};

/// SHA-256 of a secret: all that is kept of one.
pub type Digest = [u8; 32];

/// The role of a person or program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sends reports, and nothing else.
    Ingest,
    /// Sees the live fleet, coarse.
    Latest,
    /// Sees everything.
    Read,
    /// Acts on incidents too.
    Operate,
    /// Does everything.
    Admin,
}

/// A token, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Name, under which deeds are recorded.
    pub name: Box<str>,
    /// Digest of the secret.
    pub digest: Digest,
    /// Role.
    pub role: Role,
    /// A person holds it, not a program.
    pub is_person: bool,
    /// It is that of a trusted console, whose `by` names the person.
    pub is_on_behalf: bool,
    /// Time it was made, ms since 1970.
    pub added_ms: i64,
    /// Its end, ms since 1970.
    pub expires_ms: Option<i64>,
    /// Time it was revoked. It is kept, so that its name says who did what.
    pub revoked_ms: Option<i64>,
}

/// The session of a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Digest of the cookie.
    pub digest: Digest,
    /// Name of its token, with which it ends.
    pub token: Box<str>,
    /// Its end unless it is used, ms since 1970.
    pub expires_ms: i64,
}

impl Registry {
    /// Lists all tokens, the revoked ones too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn tokens(&self) -> Result<Vec<Token>, RegistryError> {
        todo!("registry")
    }

    /// Lists all sessions.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sessions(&self) -> Result<Vec<Session>, RegistryError> {
        todo!("registry")
    }

    /// Begins, renews or, with `None`, ends a session.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub fn put_session(&self, _digest: &Digest, _session: Option<&Session>) -> Result<(), RegistryError> {
        todo!("registry")
    }
}
