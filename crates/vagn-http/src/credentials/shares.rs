//! Links to one vehicle: made, listed, revoked, and found by the secret in them.

use std::sync::Arc;

use vagn_registry::{Digest, NewSecret, Share};

use super::Credentials;
use crate::problem::Problem;

/// Longest time for which a share may last, in days.
pub const SHARE_DAYS_MAX: i64 = 30;

const DAY_MS: i64 = 24 * 3_600_000;

/// A share that was just made.
#[derive(Debug)]
pub struct NewShare {
    /// The share.
    pub share: Arc<Share>,
    /// Its secret, which is known only now.
    pub secret: NewSecret,
}

impl Credentials {
    /// Returns the share of this secret, as long as it lasts.
    pub fn share(&self, secret: &str) -> Option<Arc<Share>> {
        self.0.known.read().share(&NewSecret::digest_of(secret), self.0.clock.now_ms()).cloned()
    }

    /// Lists the shares that last, in the order of their numbers.
    pub fn shares(&self) -> Vec<Arc<Share>> {
        let now_ms = self.0.clock.now_ms();
        let mut shares: Vec<_> = self.0.known.read().shares.values().cloned().collect();
        shares.retain(|share| share.expires_ms > now_ms);
        shares.sort_unstable_by_key(|share| share.number);
        shares
    }

    /// Makes a share of a vehicle, in the name of `by`.
    ///
    /// # Errors
    /// [`InvalidField`](crate::problem::Kind::InvalidField) for an end that is past or too far; [`Overloaded`](crate::problem::Kind::Overloaded)
    /// when the registry holds as many as it can; [`Internal`](crate::problem::Kind::Internal) when it cannot be kept.
    pub async fn add_share(&self, vehicle_id: &str, by: &str, expires_ms: i64) -> Result<NewShare, Problem> {
        let now_ms = self.0.clock.now_ms();
        if expires_ms <= now_ms || expires_ms > now_ms + SHARE_DAYS_MAX * DAY_MS {
            let why = format!("`expires` must be later than now, by at most {SHARE_DAYS_MAX} days");
            return Err(Problem::field("/expires", why));
        }
        let secret = NewSecret::random();
        let share = Share {
            digest: secret.digest(),
            // The registry chooses it.
            number: 0,
            vehicle_id: vehicle_id.into(),
            by: by.into(),
            added_ms: now_ms,
            expires_ms,
        };
        let share = Arc::new(self.on_disk(move |registry| registry.add_share(share)).await?);
        self.0.known.write().shares.insert(share.digest, share.clone());
        Ok(NewShare { share, secret })
    }

    /// Revokes the share of this number. Returns false when there is none.
    ///
    /// # Errors
    /// [`Internal`](crate::problem::Kind::Internal) when that cannot be kept.
    pub async fn revoke_share(&self, number: u64) -> Result<bool, Problem> {
        self.0.known.write().shares.retain(|_, share| share.number != number);
        self.tell();
        self.on_disk(move |registry| registry.revoke_share(number)).await
    }

    /// Waits until this share has ended.
    pub fn share_ending(&self, share: &Share) -> impl Future<Output = ()> + Send + 'static {
        let credentials = self.clone();
        let digest = share.digest;
        let mut changes = self.0.changed.subscribe();
        async move {
            while credentials.share_lasts(&digest) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    fn share_lasts(&self, digest: &Digest) -> bool {
        self.0.known.read().share(digest, self.0.clock.now_ms()).is_some()
    }
}

#[cfg(any(test, feature = "testing"))]
impl Credentials {
    /// Takes this share without any registry, for tests.
    pub fn insert_share(&self, secret: &str, number: u64, vehicle_id: &str, expires_ms: i64) {
        let digest = NewSecret::digest_of(secret);
        let share = Share {
            digest,
            number,
            vehicle_id: vehicle_id.into(),
            by: "test".into(),
            added_ms: 0,
            expires_ms,
        };
        self.0.known.write().shares.insert(digest, Arc::new(share));
        self.tell();
    }
}
