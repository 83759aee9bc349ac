//! The principal of a request: the person or program that the service let in, with its role.
//!
//! A deed is recorded under its name. Only callers without a name, and trusted consoles, are believed the name in a body.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use vagn_registry::{Digest, Role, Token};

use super::problem::{Kind, Problem};
use super::refusal::Refusal;
use super::streams::Holder;

/// Name of the callers of a service without tokens.
const LOCAL: &str = "local";
/// Name of callers with a token of the setting `http.tokens`.
const SETTING: &str = "http.tokens";

/// The person or program that a request comes from; an extractor for handlers. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    name: Arc<str>,
    role: Role,
    is_person: bool,
    naming: Naming,
    proof: Proof,
    token: Option<Digest>,
}

/// The meaning of the name in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// It is the person, and must be there: the principal has no name of its own.
    Needed,
    /// It is the person behind a trusted console; both names are recorded.
    OnBehalf,
    /// It is ignored.
    Ignored,
}

/// The thing by which a principal was let in, and with which it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing: no token was ever made.
    Open,
    /// A token of the settings.
    Setting(Digest),
    /// A token of the registry.
    Token(Digest),
    /// A session, by the digest of its cookie.
    Session(Digest),
}

impl Principal {
    /// Returns the principal of a service without tokens: any caller on its machine.
    pub(crate) fn local() -> Self {
        Self::nameless(LOCAL, Proof::Open, None)
    }

    /// Returns the holder of this token of the settings.
    pub(crate) fn of_setting(token: Digest, proof: Proof) -> Self {
        Self::nameless(SETTING, proof, Some(token))
    }

    /// Returns the holder of a token of the registry.
    pub(crate) fn of_token(token: &Token, proof: Proof) -> Self {
        let naming = if token.is_on_behalf { Naming::OnBehalf } else { Naming::Ignored };
        Self {
            name: (&*token.name).into(),
            role: token.role,
            is_person: token.is_person,
            naming,
            proof,
            token: Some(token.digest),
        }
    }

    fn nameless(name: &str, proof: Proof, token: Option<Digest>) -> Self {
        Self { name: name.into(), role: Role::Admin, is_person: true, naming: Naming::Needed, proof, token }
    }

    /// Returns the name of the token, or a word for callers without a name of their own.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns true for a person. A trusted console is one when it names one.
    pub fn is_person(&self) -> bool {
        self.is_person
    }

    /// Returns the meaning of the name in a body.
    pub fn naming(&self) -> Naming {
        self.naming
    }

    /// Returns the thing by which it was let in.
    pub(crate) fn proof(&self) -> Proof {
        self.proof
    }

    /// Returns the digest of its token, or of that of its session: what limits of one token go by, as those of the settings share a name.
    pub(crate) fn token(&self) -> Option<Digest> {
        self.token
    }

    /// Returns the holder of the event streams that it opens; `None` where no token is needed.
    pub fn holder(&self) -> Option<Holder> {
        self.token.map(Holder::Token)
    }

    /// Returns true if it showed a token or a session.
    pub fn has_token(&self) -> bool {
        self.proof != Proof::Open
    }

    /// Returns the name under which a deed is recorded; `by` is the name in its body. For a trusted console it has both names.
    pub fn recorded(&self, by: Option<&str>) -> Box<str> {
        match (self.naming, by) {
            (Naming::Needed, Some(by)) => by.into(),
            (Naming::OnBehalf, Some(by)) => format!("{by} via {}", self.name).into(),
            (Naming::Ignored, _) | (_, None) => (&*self.name).into(),
        }
    }

    /// Refuses a deed of a program that only a person may do; `names_person` tells if its body names one.
    ///
    /// # Errors
    /// [`Kind::Forbidden`].
    pub fn need_person(&self, names_person: bool) -> Result<(), Problem> {
        let is_person = self.is_person || (self.naming == Naming::OnBehalf && names_person);
        if is_person { Ok(()) } else { Err(Refusal::NoPerson.into()) }
    }
}

/// Outcome of the check of a request: its principal, or the refusal. Put into the request's extensions by the router, so that also a
/// route that is open to all can ask for it.
#[derive(Debug, Clone)]
pub(crate) struct Checked(pub(crate) Result<Principal, Problem>);

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let checked = parts.extensions.get::<Checked>().cloned();
        // Only a handler that is not in the table of routes gets here: nothing is let in by mistake.
        let Some(Checked(found)) = checked else {
            return Err(Problem::new(Kind::Internal, "this path does not look for a token"));
        };
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(is_person: bool, is_on_behalf: bool) -> Principal {
        let token = Token {
            name: "desk".into(),
            digest: [7; 32],
            role: Role::Operate,
            is_person,
            is_on_behalf,
            added_ms: 0,
            expires_ms: None,
            revoked_ms: None,
        };
        Principal::of_token(&token, Proof::Token(token.digest))
    }

    #[test]
    fn a_deed_is_recorded_under_the_name_that_was_let_in() {
        let setting = Principal::of_setting([7; 32], Proof::Setting([7; 32]));
        for (principal, by, expected) in [
            (Principal::local(), Some("Anna"), "Anna"),
            (setting, Some("Anna"), "Anna"),
            (token(true, false), Some("Anna"), "desk"),
            (token(false, false), None, "desk"),
            (token(false, true), Some("Anna"), "Anna via desk"),
            (token(false, true), None, "desk"),
        ] {
            assert_eq!(&*principal.recorded(by), expected, "{principal:?}");
        }
    }

    #[test]
    fn a_program_is_no_person_unless_it_may_name_one() {
        for (principal, named, fine) in [
            (Principal::local(), false, true),
            (token(true, false), false, true),
            (token(false, false), true, false),
            (token(false, true), true, true),
            (token(false, true), false, false),
        ] {
            assert_eq!(principal.need_person(named).is_ok(), fine, "{principal:?}");
        }
    }
}
