//! Credentials: the tokens, sessions and shares that are known, in memory, so that no request waits for a disk.
//!
//! | file | holds |
//! |---|---|
//! | `known.rs` | all of them, and which of them hold at a time |
//! | `sessions.rs` | sessions of browsers: begun, renewed by use, ended |
//! | `shares.rs` | links to one vehicle: made, listed, revoked |
//! | `follow.rs` | the child that keeps all this equal to the registry |
//!
//! Only digests are kept. A secret is found by its digest in a map, so the time that this takes tells nothing about a secret.

mod follow;
#[cfg(test)]
mod fuzz;
mod known;
mod sessions;
mod shares;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use vagn_flow::clock::Clock;
use vagn_flow::trust::Trust;
#[cfg(any(test, feature = "testing"))]
use vagn_registry::Token;
use vagn_registry::{Digest, NewSecret, PutError, Registry};

use super::caller::Caller;
use super::forwarded::is_forwarded;
use super::principal::{Principal, Proof};
use super::problem::{Kind, Problem};
use super::refusal::Refusal;
use super::token_guard::TokenGuard;
use known::Known;
pub use known::SURE_LENGTH;
pub use sessions::COOKIE;
pub use shares::{NewShare, SHARE_DAYS_MAX};

/// Time after which a full registry may have room again: what has ended is removed now and then.
const ROOM_AFTER: Duration = Duration::from_secs(60);

/// Parts that credentials are made of.
pub struct CredentialParts {
    /// Tells which of them have expired.
    pub clock: Arc<dyn Clock>,
    /// Keeps them; `None` in tests that need none.
    pub registry: Option<Registry>,
    /// The setting `http.tokens`.
    pub of_settings: Vec<String>,
    /// Callers from elsewhere are let in while there is no token: the settings say so.
    pub is_open_to_all: bool,
    /// Tells the time by which what has ended may be removed; `None` in tests that need none.
    pub trust: Option<Arc<Trust>>,
    /// Counts tokens that are refused, and slows down an address that tries many; `None` in tests that need none.
    pub guard: Option<Arc<TokenGuard>>,
}

/// The credentials. Cheap to clone.
#[derive(Clone)]
pub struct Credentials(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    registry: Option<Registry>,
    is_open_to_all: bool,
    trust: Option<Arc<Trust>>,
    guard: Option<Arc<TokenGuard>>,
    known: RwLock<Known>,
    /// Sessions that were used, and whose new end is not on disk yet.
    renewed: Mutex<HashSet<Digest>>,
    /// Told when something may have ended.
    changed: watch::Sender<()>,
}

/// A principal that was found, and what its answer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) principal: Principal,
    /// Value of `Set-Cookie`, where its session was renewed.
    pub(crate) cookie: Option<String>,
}

impl Credentials {
    /// Takes what the settings say; [`load`](Self::load) adds what the registry has.
    pub fn new(parts: CredentialParts) -> Self {
        Self(Arc::new(Shared {
            clock: parts.clock,
            registry: parts.registry,
            is_open_to_all: parts.is_open_to_all,
            trust: parts.trust,
            guard: parts.guard,
            known: RwLock::new(Known::new(&parts.of_settings)),
            renewed: Mutex::default(),
            changed: watch::Sender::new(()),
        }))
    }

    /// Takes other tokens of the settings from now on. The API stays closed when there are none any more.
    pub fn set_of_settings(&self, tokens: &[String]) {
        self.0.known.write().set_of_settings(tokens);
        self.tell();
    }

    /// Returns true if a token was ever made or set, or it is not known whether one was, so that every request for data needs one.
    pub fn is_closed(&self) -> bool {
        self.0.known.read().is_closed() || self.awaits_copy()
    }

    /// Returns true while it is not known what tokens a cluster has.
    fn awaits_copy(&self) -> bool {
        self.0.registry.as_ref().is_some_and(Registry::awaits_copy)
    }

    /// Finds the principal of a request with these headers, from this caller.
    pub(crate) fn find(&self, headers: &HeaderMap, caller: Option<&Caller>) -> Result<Found, Refusal> {
        if !self.is_closed() {
            let is_let_in = self.0.is_open_to_all || !is_forwarded(headers);
            return if is_let_in { Ok(found(Principal::local())) } else { Err(Refusal::NotLocal) };
        }
        match (bearer(headers), sessions::cookie(headers)) {
            (Some(token), _) => self.by_token(token, caller).map(found),
            (None, Some(cookie)) => self.by_session(cookie),
            (None, None) => Err(Refusal::Missing),
        }
    }

    fn by_token(&self, token: &str, caller: Option<&Caller>) -> Result<Principal, Refusal> {
        let digest = NewSecret::digest_of(token);
        let (standing, looked_up) = {
            let known = self.0.known.read();
            let standing = known.standing(&digest, self.0.clock.now_ms());
            let looked_up = known.look_up(&digest, &standing);
            (standing, looked_up)
        };
        if let Some(guard) = &self.0.guard {
            guard.judge(looked_up, caller).map_err(|refusal| standing.explain(refusal))?;
        }
        standing.into_principal()
    }

    fn by_session(&self, cookie: &str) -> Result<Found, Refusal> {
        let digest = NewSecret::digest_of(cookie);
        let now_ms = self.0.clock.now_ms();
        let principal = self.0.known.read().of_session(&digest, now_ms).ok_or(Refusal::SessionEnded)?;
        let cookie = self.renew(&digest, now_ms).then(|| sessions::set_cookie(cookie));
        Ok(Found { principal, cookie })
    }

    /// Waits until this principal is let in no more.
    pub fn ending(&self, principal: &Principal) -> impl Future<Output = ()> + Send + 'static {
        let credentials = self.clone();
        let proof = principal.proof();
        let mut changes = self.0.changed.subscribe();
        async move {
            while credentials.holds(proof) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Returns true if a principal that was let in by `proof` would be let in by it now.
    fn holds(&self, proof: Proof) -> bool {
        let now_ms = self.0.clock.now_ms();
        let known = self.0.known.read();
        match proof {
            Proof::Open => !known.is_closed(),
            Proof::Setting(digest) | Proof::Token(digest) => {
                known.standing(&digest, now_ms).principal().is_some()
            }
            Proof::Session(digest) => known.of_session(&digest, now_ms).is_some(),
        }
    }

    /// Counts a refusal at a route of this class.
    pub(crate) fn count(&self, class: &'static str, refusal: Refusal) {
        if let Some(guard) = &self.0.guard {
            guard.count(class, refusal);
        }
    }

    /// Lets all waiters for an end look again.
    fn tell(&self) {
        self.0.changed.send_replace(());
    }

    /// Does work on the registry, which may wait for a disk.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> Result<T, PutError> + Send + 'static,
    ) -> Result<T, Problem> {
        let Some(registry) = self.0.registry.clone() else {
            return Err(Problem::new(Kind::Internal, "this service has no registry"));
        };
        let done = tokio::task::spawn_blocking(move || work(&registry)).await;
        let (error, problem) = match done {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(err)) => (err.to_string(), not_written(&err)),
            Err(err) => (err.to_string(), unwritten()),
        };
        tracing::warn!(%error, "failed to write the registry");
        Err(problem)
    }
}

/// Returns the problem that the caller is told when the registry was not written.
fn not_written(err: &PutError) -> Problem {
    match err {
        PutError::Full { kind } => full(*kind),
        PutError::Unavailable(_) => Problem::new(
            Kind::Overloaded,
            "the registry of the cluster cannot be written here now; /readyz and the log say why, and another node may take it",
        ),
        PutError::Doubtful(_) => Problem::new(
            Kind::InDoubt,
            "it is not known whether the registry of the cluster has this, and here it does not count yet; look whether it is there before you \
             try again",
        ),
        _ => unwritten(),
    }
}

fn unwritten() -> Problem {
    Problem::new(Kind::Internal, "the registry cannot be written; the log says why")
}

/// Says that the registry holds as many objects of a kind as it can, and what makes room.
fn full(kind: vagn_registry::Kind) -> Problem {
    let word = kind.word();
    let most = kind.most();
    let remedy = match kind {
        vagn_registry::Kind::Session => "sign out where a session is not needed",
        _ => "revoke some",
    };
    let why = format!(
        "the registry holds {most} {word}s, which is all it can; {remedy}, or try again later: those that have ended are removed after a day"
    );
    Problem::new(Kind::Overloaded, why).again_after(ROOM_AFTER)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

fn found(principal: Principal) -> Found {
    Found { principal, cookie: None }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the token of `Authorization: Bearer <token>`; the scheme's case does not matter (RFC 9110).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(any(test, feature = "testing"))]
impl Credentials {
    /// Returns credentials with these tokens of the settings and of the registry, for tests.
    pub fn of(
        clock: Arc<dyn Clock>,
        registry: Option<Registry>,
        of_settings: &[&str],
        tokens: Vec<Token>,
    ) -> Self {
        let credentials = Self::new(CredentialParts {
            clock,
            registry,
            of_settings: of_settings.iter().map(|token| (*token).to_owned()).collect(),
            is_open_to_all: false,
            trust: None,
            guard: None,
        });
        credentials.set_tokens(tokens);
        credentials
    }

    /// Takes these tokens instead of those of the registry.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        self.0.known.write().set_tokens(tokens);
        self.tell();
    }
}
