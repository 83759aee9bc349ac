//! What each request does, whether it came over the socket or from a command that has the data directory for itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::warn;
use vagn_flow::clock::Clock;
use vagn_flow::guard::Guard;
use vagn_registry::{DeviceOf, ImportRow, Imported, NewSecret, NewToken, PutError, Registry, Share};
use vagn_seal::Secret;

use super::request::{ControlError, ControlLine, ControlRequest, ImportedKey, Problem, ROWS_MAX};
use super::show;

/// Longest life of a link, in ms: 30 days.
const SHARE_MS_MAX: u64 = 30 * 24 * 3_600_000;

/// Longest wait until a change counts everywhere in the service.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// Name under which links are recorded that a command made.
const COMMAND: &str = "command line";

/// Takes a line of an answer. An error ends the work: nobody is left who would read it.
pub type Tell<'a> = dyn FnMut(ControlLine) -> Result<(), ControlError> + 'a;

/// Copies the data directory of the running service.
pub trait Copier: Send + Sync {
    /// Copies it to the directory `dir`, which is to be made. Signs of progress go to `tell`. It blocks on the disk.
    ///
    /// # Errors
    /// The reason that there is no copy.
    fn copy(&self, dir: &Path, tell: &mut Tell<'_>) -> Result<Value, ControlError>;
}

/// The cluster that the running service is a node of.
pub trait ClusterShown: Send + Sync {
    /// Shows members, shards and brokers; `None` while its node does not run.
    fn status(&self) -> Option<Value>;
    /// Asks for a new epoch of a shard, and waits until one is begun: half a minute at most.
    ///
    /// # Errors
    /// There is no such shard, the node takes no request, or no epoch was begun.
    fn repair(&self, shard: u16) -> Result<(), ControlError>;
    /// Has the node give away all its shards; it does not wait for that.
    ///
    /// # Errors
    /// The node takes no request.
    fn drain(&self) -> Result<(), ControlError>;
    /// Lets the node lead calls for help with its own settings, once nobody else does.
    ///
    /// # Errors
    /// It may not lead, or takes no request.
    fn lead(&self) -> Result<(), ControlError>;
    /// Begins a new epoch of the trail of calls for help, or has this node copy another one's incidents, and says what is done. Waits for half a minute at most.
    ///
    /// # Errors
    /// The reason that nothing was begun.
    fn repair_trail(&self) -> Result<&'static str, ControlError>;
}

/// What the requests are done with.
#[derive(Clone)]
pub struct Deeds {
    /// The registry.
    pub registry: Registry,
    /// Source of the time at which things are made and revoked.
    pub clock: Arc<dyn Clock>,
    /// Origin of the pages, such as `https://vagn.example`; empty where it is not known.
    pub origin: Box<str>,
    /// The guard of the doors; `None` where no service runs.
    pub guard: Option<Arc<Guard>>,
}

impl Deeds {
    /// Fulfils a request, and returns the value of its last line. Lines before that go to `tell`. It blocks on the disk.
    ///
    /// # Errors
    /// The reason that nothing was changed.
    pub fn perform(&self, request: ControlRequest, tell: &mut Tell<'_>) -> Result<Value, ControlError> {
        let before = self.registry.revision();
        let done = self.carry_out(request, tell)?;
        // Only then it is in force: the service looks into what it has in memory, which follows the registry.
        if self.registry.revision() != before && !self.registry.wait_until_seen(SEEN_WITHIN) {
            warn!("a change of the registry is on disk, and a part of the service has not taken it in yet");
        }
        Ok(done)
    }

    fn carry_out(&self, request: ControlRequest, tell: &mut Tell<'_>) -> Result<Value, ControlError> {
        use ControlRequest as R;
        match request {
            R::DeviceAdd { name, is_gateway, prefix } => self.add_device(name, is_gateway, prefix),
            R::DeviceList {} => self.list_devices(tell),
            R::DeviceRevoke { name } => self.revoke_device(&name),
            R::DeviceRotate { name } => self.rotate_device(&name),
            R::DeviceImport { rows } => self.import(&rows),
            R::TokenAdd { name, role, is_person, is_on_behalf, expires_in_ms } => {
                let expires_ms = expires_in_ms.map(|ms| self.in_ms(ms));
                self.add_token(NewToken { name, role, is_person, is_on_behalf, expires_ms })
            }
            R::TokenList {} => self.list_tokens(tell),
            R::TokenRevoke { name } => self.revoke_token(&name),
            R::ShareAdd { vehicle_id, expires_in_ms } => self.add_share(vehicle_id, expires_in_ms),
            R::ShareList {} => self.list_shares(tell),
            R::ShareRevoke { number } => self.revoke_share(number),
            R::ClusterStatus {}
            | R::ClusterRepair { .. }
            | R::ClusterDrain {}
            | R::ClusterRepairTrail {}
            | R::ClusterLead {} => {
                Err(ControlError::new(Problem::Invalid, "only a running service is asked for its cluster"))
            }
            R::Backup { .. } => {
                Err(ControlError::new(Problem::Invalid, "only a running service is asked for a copy"))
            }
        }
    }

    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn in_ms(&self, ms: u64) -> i64 {
        self.now_ms().saturating_add_unsigned(ms)
    }

    fn add_device(&self, name: Box<str>, is_gateway: bool, prefix: Box<str>) -> Result<Value, ControlError> {
        if !is_gateway && !prefix.is_empty() {
            return Err(ControlError::new(Problem::Invalid, "only a gateway has a prefix; add --gateway"));
        }
        let of = if is_gateway { DeviceOf::Gateway { name, prefix } } else { DeviceOf::Vehicle(name) };
        Ok(show::new_key(&self.registry.add_device(of, self.now_ms())?))
    }

    fn list_devices(&self, tell: &mut Tell<'_>) -> Result<Value, ControlError> {
        let now_ms = self.now_ms();
        let ahead = self.guard.as_ref().map(|guard| guard.noted().ahead(now_ms));
        let ahead: BTreeMap<_, _> = ahead.into_iter().flatten().collect();
        let (mut count, mut told) = (0_u64, Ok(()));
        self.registry.each_device(|device| {
            if told.is_ok() {
                let mut shown = show::device(&device);
                if let Some(sequence) = ahead.get(&device.key_id) {
                    show::ahead(&mut shown, *sequence, now_ms);
                }
                told = tell(ControlLine::Item(shown));
                count += 1;
            }
        })?;
        told.map(|()| json!({ "count": count }))
    }

    /// Revokes a key. Where the guard is known, tells what it asks of the vehicle from now on.
    fn revoke_device(&self, name: &str) -> Result<Value, ControlError> {
        let mut shown = show::device(&self.registry.revoke_device(name, self.now_ms())?);
        shown["auth_devices"] = json!(self.guard.as_ref().map(|guard| guard.mode()));
        Ok(shown)
    }

    fn rotate_device(&self, name: &str) -> Result<Value, ControlError> {
        let rotated = self.registry.rotate_device(name, self.now_ms())?;
        let mut shown = show::new_key(&rotated.device);
        shown["is_new_key"] = json!(rotated.is_new_key);
        shown["ended_epoch"] = json!(rotated.ended.map(|epoch| epoch.get()));
        Ok(shown)
    }

    fn import(&self, keys: &[ImportedKey]) -> Result<Value, ControlError> {
        if keys.len() > ROWS_MAX {
            let message = format!("a request imports at most {ROWS_MAX} keys; send several");
            return Err(ControlError::new(Problem::Invalid, message));
        }
        let rows: Vec<_> = keys.iter().map(ImportedKey::read).collect::<Result<_, _>>()?;
        let Imported { added, unchanged, rotated, revoked } =
            self.registry.import_devices(&rows, self.now_ms())?;
        Ok(json!({"added": added, "unchanged": unchanged, "rotated": rotated, "revoked": revoked}))
    }

    fn add_token(&self, new: NewToken) -> Result<Value, ControlError> {
        let (token, secret) = self.registry.add_token(new, self.now_ms())?;
        Ok(show::new_token(&token, &secret))
    }

    /// Revokes a token, and tells of the links that were made under its name: they last, for those who were given them.
    fn revoke_token(&self, name: &str) -> Result<Value, ControlError> {
        let now_ms = self.now_ms();
        let mut shown = show::token(&self.registry.revoke_token(name, now_ms)?, now_ms);
        // The token is revoked, whether the links can be read or not.
        shown["shares"] = json!(self.registry.shares().ok().map(|shares| left_by(name, &shares, now_ms)));
        Ok(shown)
    }

    fn list_tokens(&self, tell: &mut Tell<'_>) -> Result<Value, ControlError> {
        let tokens = self.registry.tokens()?;
        let now_ms = self.now_ms();
        tokens.iter().try_for_each(|token| tell(ControlLine::Item(show::token(token, now_ms))))?;
        Ok(json!({ "count": tokens.len() }))
    }

    fn add_share(&self, vehicle_id: Box<str>, expires_in_ms: u64) -> Result<Value, ControlError> {
        if expires_in_ms > SHARE_MS_MAX {
            return Err(ControlError::new(
                Problem::Invalid,
                "a share ends after 30 days at most; take a shorter time",
            ));
        }
        let secret = NewSecret::random();
        let share = self.registry.add_share(Share {
            digest: secret.digest(),
            number: 0,
            vehicle_id,
            by: COMMAND.into(),
            added_ms: self.now_ms(),
            expires_ms: self.in_ms(expires_in_ms),
        })?;
        Ok(show::new_share(&share, &secret, &self.origin))
    }

    fn list_shares(&self, tell: &mut Tell<'_>) -> Result<Value, ControlError> {
        let shares = self.registry.shares()?;
        let now_ms = self.now_ms();
        shares.iter().try_for_each(|share| tell(ControlLine::Item(show::share(share, now_ms))))?;
        Ok(json!({ "count": shares.len() }))
    }

    fn revoke_share(&self, number: u64) -> Result<Value, ControlError> {
        match self.registry.revoke_share(number)? {
            true => Ok(json!({ "number": number })),
            false => {
                let message = format!("there is no share {number}; `vagn share list` shows them");
                Err(ControlError::new(Problem::Refused, message))
            }
        }
    }
}

/// Returns the numbers of the shares in force that the holder of a token made, for a person whom it named too.
fn left_by(name: &str, shares: &[Share], now_ms: i64) -> Vec<u64> {
    let on_behalf = format!(" via {name}");
    let is_left =
        |share: &&Share| now_ms < share.expires_ms && (&*share.by == name || share.by.ends_with(&on_behalf));
    let mut numbers: Vec<_> = shares.iter().filter(is_left).map(|share| share.number).collect();
    numbers.sort_unstable();
    numbers
}

impl ImportedKey {
    fn read(&self) -> Result<ImportRow, PutError> {
        let wrong = |what: &str| PutError::Invalid(format!("the key of {}: {what}", self.vehicle_id));
        Ok(ImportRow {
            vehicle_id: self.vehicle_id.clone(),
            key_id: self.key_id.parse().map_err(|_| wrong("a key id has 16 hexadecimal digits"))?,
            secret: Secret::from_base64(&self.secret).map_err(|_| wrong("a secret is 32 bytes in base64"))?,
        })
    }
}
