//! Tokens and roles.

use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::secret::{digest_from_hex, hex};
use crate::wrapping::Wrapping;
use crate::{Change, Digest, Kind, NewSecret, Object, Put, PutError, Registry, RegistryError};

/// Longest name of a token, in bytes.
const NAME_MAX: usize = 64;

/// Names under which the trail and the access log have callers without a token of the registry.
const RESERVED: [&str; 3] = ["http.tokens", "local", "share"];

/// The role of a person or program. The pages name all of them once more, in `web/src/shared/session.ts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// Time it was revoked. It is kept, so that its name still tells whose deeds they were.
    pub revoked_ms: Option<i64>,
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Name, under which deeds are recorded.
    pub name: Box<str>,
    /// Role.
    pub role: Role,
    /// A person holds it, not a program.
    pub is_person: bool,
    /// It is that of a trusted console, whose `by` names the person.
    pub is_on_behalf: bool,
    /// Its end, ms since 1970.
    pub expires_ms: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct TokenJson {
    digest: String,
    role: Role,
    #[serde(default)]
    person: bool,
    #[serde(default)]
    on_behalf: bool,
    added_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_ms: Option<i64>,
}

impl Role {
    /// All roles, from the least to the greatest.
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Latest, Self::Read, Self::Operate, Self::Admin];

    /// Returns its word, as in settings and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Latest => "latest",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl Token {
    /// Returns true when it lets its holder in at this time.
    pub fn is_in_force(&self, now_ms: i64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|end| now_ms < end)
    }
}

impl Entry for Token {
    const KIND: Kind = Kind::Token;

    fn key(&self) -> String {
        self.name.to_string()
    }

    fn to_json(&self, _: Option<&Wrapping>) -> Vec<u8> {
        let json = TokenJson {
            digest: hex(&self.digest),
            role: self.role,
            person: self.is_person,
            on_behalf: self.is_on_behalf,
            added_ms: self.added_ms,
            expires_ms: self.expires_ms,
            revoked_ms: self.revoked_ms,
        };
        serde_json::to_vec(&json).expect("numbers and texts can always be written")
    }

    fn from_json(key: &str, object: &Object, _: Option<&Wrapping>) -> Option<Self> {
        let json: TokenJson = serde_json::from_slice(&object.value).ok()?;
        Some(Self {
            name: key.into(),
            digest: digest_from_hex(&json.digest)?,
            role: json.role,
            is_person: json.person,
            is_on_behalf: json.on_behalf,
            added_ms: json.added_ms,
            expires_ms: json.expires_ms,
            revoked_ms: json.revoked_ms,
        })
    }
}

impl Registry {
    /// Lists all tokens, the revoked ones too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn tokens(&self) -> Result<Vec<Token>, RegistryError> {
        self.read_all()
    }

    /// Returns the token that a change of [`Kind::Token`] has written; `None` when it is gone or makes no sense.
    pub fn token_in(&self, change: &Change) -> Option<Token> {
        let value = change.value.clone().filter(|_| change.kind == Kind::Token)?;
        self.decode(&change.key, &Object { value, revision: change.revision })
    }

    /// Makes a token. A name is used once, even when its token was revoked: the trail names deeds by it.
    ///
    /// # Errors
    /// [`PutError::Exists`] when there was a token of this name; the registry cannot be written.
    pub fn add_token(&self, new: NewToken, now_ms: i64) -> Result<(Token, NewSecret), PutError> {
        check(&new)?;
        let secret = NewSecret::random();
        let token = Token {
            name: new.name,
            digest: secret.digest(),
            role: new.role,
            is_person: new.is_person,
            is_on_behalf: new.is_on_behalf,
            added_ms: now_ms,
            expires_ms: new.expires_ms,
            revoked_ms: None,
        };
        self.add(&token)?;
        Ok((token, secret))
    }

    /// Revokes a token, and ends its sessions. One that was revoked before stays as it is.
    ///
    /// # Errors
    /// [`PutError::NotFound`] when there is none of this name; the registry cannot be written.
    pub fn revoke_token(&self, name: &str, now_ms: i64) -> Result<Token, PutError> {
        let token = self.update(name, |token: &mut Token| {
            let is_open = token.revoked_ms.is_none();
            token.revoked_ms.get_or_insert(now_ms);
            is_open
        })?;
        self.end_sessions_of(name)?;
        Ok(token)
    }

    /// Ends all sessions of a token.
    fn end_sessions_of(&self, token: &str) -> Result<(), PutError> {
        let sessions = self.sessions()?;
        let own = sessions.iter().filter(|session| !session.is_of_settings && &*session.token == token);
        let keys: Vec<_> = own.map(Entry::key).collect();
        self.remove_all(Kind::Session, &keys)
    }

    /// Removes objects. One that was changed meanwhile is removed all the same.
    pub(crate) fn remove_all(&self, kind: Kind, keys: &[String]) -> Result<(), PutError> {
        let mut puts = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(object) = self.get(kind, key)? {
                puts.push(Put { kind, key, revision: object.revision, value: None });
            }
        }
        match self.put_all(&puts) {
            Err(PutError::Conflict(_)) => {
                keys.iter().try_for_each(|key| self.overwrite(kind, key, None).map(drop))
            }
            written => written.map(drop),
        }
    }
}

fn check(new: &NewToken) -> Result<(), PutError> {
    let length = new.name.len();
    if !(1..=NAME_MAX).contains(&length)
        || new.name.chars().any(char::is_control)
        || new.name.trim() != &*new.name
    {
        let name = &new.name;
        return Err(PutError::Invalid(format!(
            "{name:?} is no name for a token: it has 1 to {NAME_MAX} bytes, no control characters and no spaces around it"
        )));
    }
    if is_reserved(&new.name) {
        let name = &new.name;
        return Err(PutError::Invalid(format!(
            "{name:?} is no name for a token: the trail and the access log have others under it; choose another name"
        )));
    }
    Ok(())
}

/// Returns true for the names of others, and for what looks like one with more behind it.
fn is_reserved(name: &str) -> bool {
    let word = name.split_once(':').map_or(name, |(word, _)| word.trim());
    RESERVED.iter().any(|reserved| word.eq_ignore_ascii_case(reserved))
}
