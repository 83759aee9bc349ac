//! The child that keeps the credentials equal to the registry, and writes to it which sessions were used.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;
use vagn_otp::{ChildSpec, TaskContext};
use vagn_registry::{Kind, Registry, RegistryError, Watch};

use super::Credentials;

/// Pause between two looks at what has expired.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks between two writes of the sessions that were used.
const LOOKS_PER_WRITE: u32 = 60;

/// Looks between two times at which what has ended is removed.
const LOOKS_PER_REMOVAL: u32 = 3600;

/// Time after their end for which sessions and shares are kept, in ms.
const KEPT_MS: i64 = 24 * 3_600_000;

/// Kinds of the registry that are credentials.
const KINDS: [Kind; 3] = [Kind::Token, Kind::Session, Kind::Share];

impl Credentials {
    /// Reads all that the registry has.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(&self) -> Result<(), RegistryError> {
        let Some(registry) = &self.0.registry else { return Ok(()) };
        // That a copy has not come yet is asked at each request; what is noted here holds whatever it brings.
        if registry.is_noted_closed()? {
            self.0.known.write().close();
        }
        KINDS.iter().try_for_each(|kind| self.load_kind(registry, *kind))
    }

    fn load_kind(&self, registry: &Registry, kind: Kind) -> Result<(), RegistryError> {
        match kind {
            Kind::Token => {
                let tokens = registry.tokens()?;
                self.0.known.write().set_tokens(tokens);
            }
            Kind::Session => {
                let listed = registry.sessions()?.into_iter().map(|session| (session.digest, session));
                let mut known = self.0.known.write();
                let before = std::mem::replace(&mut known.sessions, listed.collect());
                // What was used meanwhile is not on disk yet.
                for digest in &*self.0.renewed.lock() {
                    if let (Some(kept), Some(used)) = (known.sessions.get_mut(digest), before.get(digest)) {
                        kept.expires_ms = kept.expires_ms.max(used.expires_ms);
                    }
                }
            }
            Kind::Share => {
                let shares = registry.shares()?.into_iter().map(|share| (share.digest, Arc::new(share)));
                self.0.known.write().shares = shares.collect();
            }
            _ => return Ok(()),
        }
        self.tell();
        Ok(())
    }

    /// Returns the child that follows the registry; `None` where there is none.
    pub fn child(&self) -> Option<ChildSpec> {
        let registry = self.0.registry.clone()?;
        let credentials = self.clone();
        Some(ChildSpec::task("credentials", move |ctx| {
            let credentials = credentials.clone();
            let registry = registry.clone();
            async move { Ok(credentials.follow(&ctx, registry).await?) }
        }))
    }

    async fn follow(&self, ctx: &TaskContext, registry: Registry) -> Result<(), RegistryError> {
        // The watch comes first, so that no change falls between it and what is read.
        let mut changes = registry.watch(registry.revision());
        self.reload(&registry, KINDS.into()).await?;
        ctx.ready();
        let mut looked_ms = self.0.clock.now_ms();
        let mut looks: u32 = 0;
        while !ctx.is_stopping() {
            ctx.beat().await;
            if let Some(kinds) = changed(&mut changes).await {
                self.reload(&registry, kinds).await?;
            }
            self.look(&mut looked_ms);
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(LOOKS_PER_WRITE) {
                self.write_renewed(&registry).await;
            }
            if looks.is_multiple_of(LOOKS_PER_REMOVAL) {
                self.remove_ended(&registry).await;
            }
        }
        self.write_renewed(&registry).await;
        Ok(())
    }

    async fn reload(&self, registry: &Registry, kinds: HashSet<Kind>) -> Result<(), RegistryError> {
        let credentials = self.clone();
        let registry = registry.clone();
        let loaded =
            spawn_blocking(move || kinds.iter().try_for_each(|kind| credentials.load_kind(&registry, *kind)));
        loaded.await.unwrap_or(Ok(()))
    }

    /// Lets the waiters for an end look again when something has expired.
    fn look(&self, looked_ms: &mut i64) {
        let now_ms = self.0.clock.now_ms();
        if self.0.known.read().has_expired(*looked_ms, now_ms) {
            self.tell();
        }
        *looked_ms = now_ms;
    }

    async fn write_renewed(&self, registry: &Registry) {
        let renewed = self.take_renewed();
        if renewed.is_empty() {
            return;
        }
        let registry = registry.clone();
        let written =
            spawn_blocking(move || renewed.iter().try_for_each(|session| registry.renew_session(session)));
        // A session that is not renewed on disk ends earlier after a restart, and its person signs in again.
        if let Ok(Err(err)) = written.await {
            warn!(error = %err, "failed to renew sessions");
        }
    }

    /// Removes sessions and shares that ended long ago, if the clock is believed.
    async fn remove_ended(&self, registry: &Registry) {
        let believed = self.0.trust.as_ref().map(|trust| trust.believed());
        let Some(before_ms) = believed.and_then(|believed| believed.before(KEPT_MS)) else { return };
        let registry = registry.clone();
        if let Ok(Err(err)) = spawn_blocking(move || registry.remove_ended(before_ms)).await {
            warn!(error = %err, "failed to remove sessions and shares that have ended");
        }
    }
}

/// Waits a while for changes, and returns the kinds that they are of; `None` when there are none.
async fn changed(changes: &mut Watch) -> Option<HashSet<Kind>> {
    match timeout(LOOK_EVERY, changes.next()).await {
        Ok(Some(changes)) => {
            let kinds = changes.into_iter().map(|change| change.kind);
            Some(kinds.filter(|kind| KINDS.contains(kind)).collect())
        }
        // Too many were missed.
        Ok(None) => Some(KINDS.into()),
        Err(_) => None,
    }
}
