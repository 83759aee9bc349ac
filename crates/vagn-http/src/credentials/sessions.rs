//! Sessions of browsers: begun with a token, renewed by use, and ended with it.

use axum::http::{HeaderMap, header};
use vagn_registry::{Digest, NewSecret, Session};

use super::Credentials;
use super::known::name_of_setting;
use crate::principal::{Principal, Proof};
use crate::problem::{Kind, Problem};

/// Name of the cookie. Browsers keep one that begins so only if it is for this very host, and was sent over TLS.
pub const COOKIE: &str = "__Host-vagn";

/// Time after its last use for which a session lasts.
const LASTS_S: i64 = 12 * 3600;

/// Use of a session that is not worth a write.
const RENEW_AFTER_MS: i64 = 10 * 60_000;

/// Most sessions of one token. Beyond that the one that was not used for longest ends.
const OF_TOKEN_MAX: usize = 100;

impl Credentials {
    /// Begins a session for the holder of a token. Returns the value of `Set-Cookie`; `None` where no token is needed.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`] for a principal that has no token but a session; [`Kind::Overloaded`] when the registry holds as many sessions as it can;
    /// [`Kind::Internal`] when it cannot be kept.
    pub async fn begin_session(&self, principal: &Principal) -> Result<Option<String>, Problem> {
        let (token, is_of_settings) = match principal.proof() {
            Proof::Open => return Ok(None),
            Proof::Setting(digest) => (name_of_setting(&digest), true),
            Proof::Token(_) => (principal.name().into(), false),
            Proof::Session(_) => {
                let why = "a session is begun with a token: send the header `Authorization: Bearer <token>`";
                return Err(Problem::new(Kind::Unauthorized, why));
            }
        };
        for oldest in self.too_many(&token, is_of_settings) {
            self.end_session(&oldest).await?;
        }
        let secret = NewSecret::random();
        let expires_ms = self.0.clock.now_ms() + LASTS_S * 1000;
        let session = Session { digest: secret.digest(), token, is_of_settings, expires_ms };
        let kept = session.clone();
        self.on_disk(move |registry| registry.put_session(&kept.digest, Some(&kept))).await?;
        self.0.known.write().sessions.insert(session.digest, session);
        Ok(Some(set_cookie(secret.text())))
    }

    /// Ends the session by which this principal was let in, if it is one. Returns the value of `Set-Cookie` that removes the cookie.
    ///
    /// # Errors
    /// [`Kind::Internal`] when the end cannot be kept.
    pub async fn leave(&self, principal: &Principal) -> Result<String, Problem> {
        if let Proof::Session(digest) = principal.proof() {
            self.end_session(&digest).await?;
        }
        Ok(format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"))
    }

    pub(super) async fn end_session(&self, digest: &Digest) -> Result<(), Problem> {
        let gone = *digest;
        // First in memory: from now on it opens nothing, whatever the disk does.
        self.0.known.write().sessions.remove(&gone);
        self.0.renewed.lock().remove(&gone);
        self.tell();
        self.on_disk(move |registry| registry.put_session(&gone, None)).await
    }

    /// Returns the sessions of a token that must end before another one begins.
    fn too_many(&self, token: &str, is_of_settings: bool) -> Vec<Digest> {
        let known = self.0.known.read();
        let is_its =
            |session: &&Session| (session.is_of_settings, &*session.token) == (is_of_settings, token);
        let mut of_token: Vec<&Session> = known.sessions.values().filter(is_its).collect();
        of_token.sort_unstable_by_key(|session| session.expires_ms);
        let surplus = (of_token.len() + 1).saturating_sub(OF_TOKEN_MAX);
        of_token[..surplus].iter().map(|session| session.digest).collect()
    }

    /// Lets a session that is used last longer. Returns true if its cookie must be sent anew.
    pub(super) fn renew(&self, digest: &Digest, now_ms: i64) -> bool {
        let end_ms = now_ms + LASTS_S * 1000;
        let due_ms = end_ms - RENEW_AFTER_MS;
        if self.0.known.read().sessions.get(digest).is_none_or(|session| session.expires_ms >= due_ms) {
            return false;
        }
        if let Some(session) = self.0.known.write().sessions.get_mut(digest) {
            session.expires_ms = end_ms;
        }
        self.0.renewed.lock().insert(*digest)
    }

    /// Takes the sessions that were renewed since the last time.
    pub(super) fn take_renewed(&self) -> Vec<Session> {
        let renewed = std::mem::take(&mut *self.0.renewed.lock());
        let known = self.0.known.read();
        renewed.iter().filter_map(|digest| known.sessions.get(digest).cloned()).collect()
    }
}

/// Returns the value of the cookie that a session has, if there is one.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

pub(super) fn set_cookie(secret: &str) -> String {
    format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={LASTS_S}")
}
