//! Keys: keeps the table of keys in force, by which the doors open envelopes, equal to the registry.
//!
//! All keys are put in force before a door opens. Then a thread follows the changes, ends the epochs before one that has
//! begun, keeps the sequence of answers ahead, and tells operators what they should know of keys and calls without proof.

mod departed;
#[cfg(test)]
mod tests;

pub use departed::DepartedKeys;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::warn;
use vagn_emergency::EmergencyHandle;
use vagn_flow::answers::AnswerSequence;
use vagn_flow::clock::Clock;
use vagn_flow::guard::unproven::KeyNames;
use vagn_flow::guard::{Guard, Noted};
use vagn_flow::readiness::Readiness;
use vagn_otp::{Failure, ThreadContext};
use vagn_registry::{Change, Device, DeviceOf, Kind, PutError, Registry, RegistryError, Watch};
use vagn_seal::{Epoch, KeyId, KeyInForce, KeyTable, Secret, Secrets, Speaker};
use vagn_wire::VehicleId;

/// Longest wait for a change. Then it gives a sign of life, and shows what operators should know.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Longest wait for the emergency lane to forget keys.
const FORGET_WITHIN: Duration = Duration::from_secs(5);

/// Shortest time between two rounds in which revoked keys are forgotten: each costs a commit beside those of alarms.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// Keys that are forgotten in a round: some milliseconds, for which alarms may have to wait.
const FORGOTTEN_AT_ONCE: usize = 1_024;

/// Time for which a call that could not be proved is shown as a warning, ms. It stays in the list.
const SHOWN_MS: i64 = 3_600_000;

/// Keys that are named to operators at a time.
const NAMED_MAX: usize = 5;

/// Time after which what has failed is tried again: a round of revoked keys, and ends of epochs that could not be written, as somebody
/// else may have kept changing the same key. A registry that has failed to read or write does so until the service is restarted,
/// whatever becomes of the disk; then the next envelopes of new keys and epochs end those before them, as the first ones did.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(30);

/// Parts of the thread.
#[derive(Clone)]
pub struct KeyParts {
    /// Devices, with their secrets.
    pub registry: Registry,
    /// Judges reports by the table of keys.
    pub guard: Arc<Guard>,
    /// Sequence of sealed answers, if there are any.
    pub answers: Option<Arc<AnswerSequence>>,
    /// Mark of the key that wraps secrets here, if there is one.
    pub wrapped_by: Option<String>,
    /// Name of this node of a cluster, which has a number in the registry once it has been there.
    pub node_name: Option<String>,
    /// Forgets the calls under keys that are revoked.
    pub incidents: EmergencyHandle,
    /// Forgets the counts of vehicles that left under keys that are over. A node of a cluster has none: what its replicas hold follows
    /// from their entries alone.
    pub departed: Option<DepartedKeys>,
    /// Receives warnings for the operator.
    pub readiness: Arc<Readiness>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Revision of the registry at which the keys were loaded.
    pub revision: u64,
    /// Where the thread waits for changes.
    pub runtime: Handle,
}

/// Secrets as they are in the registry, read when an answer is sealed.
struct InRegistry(Registry);

impl Secrets for InRegistry {
    fn secret(&self, key_id: KeyId, epoch: Epoch) -> Option<Secret> {
        let device = self.0.device(key_id).ok().flatten()?;
        device.epochs.into_iter().find(|(open, _)| *open == epoch).map(|(_, secret)| secret)
    }
}

impl KeyNames for InRegistry {
    fn vehicle_of(&self, key_id: KeyId) -> Option<Box<str>> {
        match self.0.device(key_id).ok().flatten()?.of {
            DeviceOf::Vehicle(vehicle_id) => Some(vehicle_id),
            DeviceOf::Gateway { .. } => None,
        }
    }
}

/// Returns the names of the keys of this registry, of those that are revoked too.
pub fn names(registry: &Registry) -> Box<dyn KeyNames> {
    Box::new(InRegistry(registry.clone()))
}

/// The keys that a registry has in force.
pub struct LoadedKeys {
    /// The keys.
    pub table: Arc<KeyTable>,
    /// Keys that replace others, which end with their first envelopes.
    pub replacing: Vec<KeyId>,
    /// Revision from which on the registry is to be followed.
    pub revision: u64,
}

impl LoadedKeys {
    /// Reads all keys.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub fn read(registry: &Registry) -> Result<Self, RegistryError> {
        // First, so that no change meanwhile is missed.
        let revision = registry.revision();
        let table = KeyTable::with_secrets(Arc::new(InRegistry(registry.clone())));
        let mut replacing = Vec::new();
        registry.each_device(|device| {
            put(&table, &device);
            if is_to_replace(registry, &device) {
                replacing.push(device.key_id);
            }
        })?;
        Ok(Self { table: Arc::new(table), replacing, revision })
    }
}

/// Tells the guard whether vehicles may have keys that it has not: a node awaits the cluster's registry, or cannot unwrap its secrets.
///
/// # Errors
/// The registry cannot be read.
pub fn tell_lacking(
    guard: &Guard,
    registry: &Registry,
    wrapped_by: Option<&str>,
) -> Result<(), RegistryError> {
    // First: once a copy is here, it says what wraps its secrets.
    let awaits_copy = registry.awaits_copy();
    let wraps = registry.about()?.and_then(|about| about.wrapped_by);
    guard.set_lacks_keys(awaits_copy || wraps.is_some_and(|mark| wrapped_by != Some(&*mark)));
    Ok(())
}

/// Puts a key in force as the registry has it, or takes it out of force.
fn put(table: &KeyTable, device: &Device) {
    let key_id = device.key_id;
    if device.revoked_ms.is_some() {
        return table.revoke(key_id);
    }
    let speaker = match &device.of {
        DeviceOf::Vehicle(id) => VehicleId::new(id).ok().map(Speaker::Vehicle),
        DeviceOf::Gateway { name, prefix } => Some(Speaker::Gateway { name, prefix }),
    };
    let key = speaker.map(|speaker| KeyInForce { key_id, speaker, epochs: &device.epochs });
    if !key.is_some_and(|key| table.put(&key)) {
        warn!(%key_id, "a key of the registry cannot be put in force: the table is full, or the key makes no sense");
    }
}

/// Returns true when the first envelope of a key ends another one: it replaces one that is open.
fn is_to_replace(registry: &Registry, device: &Device) -> bool {
    let Some(replaced) = device.replaces.filter(|_| device.revoked_ms.is_none()) else { return false };
    // Where that cannot be read, to end it once more does no harm.
    registry.device(replaced).map_or(true, |old| old.is_some_and(|old| old.revoked_ms.is_none()))
}

/// Ends what a key used before an epoch that has begun. Where `end` cannot write that, it is tried again later.
fn end_before(
    noted: &Noted,
    (key_id, epoch): (KeyId, Epoch),
    end: impl FnOnce(KeyId, Epoch) -> Result<(), PutError>,
) {
    let Err(err) = end(key_id, epoch) else { return };
    if matches!(err, PutError::NotFound { .. }) {
        // There is nothing to end, now or later.
        warn!(%key_id, "a key that is not in the registry has begun an epoch");
        return;
    }
    let is_first = noted.put_back(key_id, epoch);
    let has_failed = matches!(err, PutError::Registry(_));
    if has_failed {
        noted.put_all_back();
    }
    if is_first {
        // The doors have ended older epochs already; a key that is replaced stays open until it is revoked here.
        let when = if has_failed { "after a restart of the service" } else { "later" };
        warn!(
            %key_id,
            error = %err,
            "what devices used before their new keys and epochs is not ended in the registry; it is {when}"
        );
    }
}

/// Follows the registry until it is told to stop.
///
/// # Errors
/// The registry cannot be read.
pub fn run(parts: &KeyParts, ctx: &ThreadContext) -> Result<(), Failure> {
    // From where the table was loaded, after a restart of the thread as well: to put a key in force twice does no harm.
    let mut watch = parts.registry.watch(parts.revision);
    let mut revoked = RevokedKeys::default();
    let mut tried = parts.clock.monotonic();
    let mut departed = parts.departed.clone();
    ctx.ready();
    while !ctx.stopping() {
        ctx.beat();
        parts.follow(&mut watch, &mut revoked, ctx)?;
        let keys_with_calls = parts.incidents.keys_with_calls();
        revoked.look_back(keys_with_calls.map(|keys| keys.inspect(|_| ctx.beat())), parts.guard.keys());
        let forgot = revoked.forget_due(parts.clock.monotonic(), |key_ids| parts.forget(key_ids));
        if let Some(departed) = departed.as_mut().filter(|_| !parts.guard.lacks_keys()) {
            departed.forget_due(parts.clock.monotonic(), forgot, parts.guard.keys(), &|| ctx.beat());
        }
        parts.try_again(&mut tried);
        parts.number_answers()?;
        tell_lacking(&parts.guard, &parts.registry, parts.wrapped_by.as_deref())?;
        parts.show();
        if let Some(Err(err)) = parts.answers.as_ref().map(|answers| answers.reserve(parts.clock.now_ms())) {
            warn!(error = %err, "cannot reserve numbers for sealed answers; calls go on, and their answers may not");
        }
    }
    Ok(())
}

/// What has come about.
enum News {
    Changed(Option<Vec<Change>>),
    Begun((KeyId, Epoch)),
}

/// Keys that were revoked, and whose calls are still to be forgotten. They are gathered, so that a thousand of them are few
/// commits. What is left of them at a stop is found again at the next start.
#[derive(Default)]
struct RevokedKeys {
    key_ids: BTreeSet<KeyId>,
    /// Time of the next round, on the monotonic clock.
    next: Duration,
    has_looked_back: bool,
}

impl RevokedKeys {
    fn add(&mut self, key_id: KeyId) {
        self.key_ids.insert(key_id);
    }

    /// Adds those of `keys_with_calls` that are revoked, once, as soon as there are any: they were revoked while no service ran, or
    /// their round did not come.
    fn look_back(&mut self, keys_with_calls: Option<impl Iterator<Item = KeyId>>, table: &KeyTable) {
        let Some(keys) = keys_with_calls.filter(|_| !self.has_looked_back) else { return };
        self.has_looked_back = true;
        self.key_ids.extend(keys.filter(|key_id| table.is_revoked(*key_id)));
    }

    /// Has some of them forgotten if it is time, and returns true if some were. Where `forget` fails they wait for another round.
    fn forget_due(&mut self, now: Duration, forget: impl FnOnce(&[KeyId]) -> bool) -> bool {
        if self.key_ids.is_empty() || now < self.next {
            return false;
        }
        let round: Vec<_> = self.key_ids.iter().take(FORGOTTEN_AT_ONCE).copied().collect();
        if !forget(&round) {
            // Not soon: keys are not followed while an answer is waited for.
            self.next = now + TRY_AGAIN_EVERY;
            return false;
        }
        self.next = now + FORGET_EVERY;
        for key_id in round {
            self.key_ids.remove(&key_id);
        }
        true
    }
}

impl KeyParts {
    fn list_anew(&self, revoked: &mut RevokedKeys, ctx: &ThreadContext) -> Result<(), RegistryError> {
        self.registry.each_device(|device| {
            ctx.beat();
            // Of the revoked ones, of which there may be many, only those that were revoked meanwhile have something to end.
            let is_open = self.guard.keys().speaker(device.key_id, |_| ()).is_some();
            if device.revoked_ms.is_none() || is_open {
                self.take(&device, revoked);
            } else {
                put(self.guard.keys(), &device);
            }
        })
    }

    fn follow(
        &self,
        watch: &mut Watch,
        revoked: &mut RevokedKeys,
        ctx: &ThreadContext,
    ) -> Result<(), RegistryError> {
        let news = self.runtime.block_on(timeout(LOOK_EVERY, async {
            tokio::select! {
                changes = watch.next() => News::Changed(changes),
                begun = self.guard.noted().next_begun() => News::Begun(begun),
            }
        }));
        match news {
            Err(_) => Ok(()),
            Ok(News::Changed(None)) => self.list_anew(revoked, ctx),
            Ok(News::Changed(Some(changes))) => {
                for change in changes.iter().filter(|change| change.kind == Kind::Device) {
                    ctx.beat();
                    self.change(change, revoked);
                }
                Ok(())
            }
            Ok(News::Begun(begun)) => {
                let now_ms = self.clock.now_ms();
                end_before(self.guard.noted(), begun, |key_id, epoch| {
                    self.registry.end_epochs_before(key_id, epoch, now_ms)
                });
                Ok(())
            }
        }
    }

    fn change(&self, change: &Change, revoked: &mut RevokedKeys) {
        let Ok(key_id) = change.key.parse::<KeyId>() else { return };
        match self.registry.device_in(change) {
            Some(device) => self.take(&device, revoked),
            None => self.end(key_id, revoked),
        }
    }

    /// Takes a key as the registry has it now.
    fn take(&self, device: &Device, revoked: &mut RevokedKeys) {
        if device.revoked_ms.is_some() {
            return self.end(device.key_id, revoked);
        }
        // A key that replaces another one ends it with its first envelope.
        if is_to_replace(&self.registry, device) {
            self.guard.noted().expect(device.key_id);
        }
        put(self.guard.keys(), device);
    }

    /// Ends a key for good.
    fn end(&self, key_id: KeyId, revoked: &mut RevokedKeys) {
        self.guard.keys().revoke(key_id);
        self.guard.noted().forget(key_id);
        revoked.add(key_id);
    }

    /// Lets the emergency lane forget the calls under these keys; false when it does not answer.
    fn forget(&self, key_ids: &[KeyId]) -> bool {
        let forgotten = self.runtime.block_on(self.incidents.forget_keys(key_ids.into(), FORGET_WITHIN));
        // They cost some bytes: nothing that the keys seal is opened any more.
        let told = forgotten.inspect_err(|err| {
            warn!(keys = key_ids.len(), error = ?err, "the calls under revoked keys are not forgotten yet");
        });
        told.is_ok()
    }

    /// Has ends that could not be written tried again, now and then.
    fn try_again(&self, tried: &mut Duration) {
        let now = self.clock.monotonic();
        if now.saturating_sub(*tried) >= TRY_AGAIN_EVERY {
            *tried = now;
            self.guard.noted().try_again();
        }
    }

    fn number_answers(&self) -> Result<(), RegistryError> {
        match (&self.answers, &self.node_name) {
            (Some(answers), Some(name)) => number(answers, &self.registry, name),
            _ => Ok(()),
        }
    }

    fn show(&self) {
        let ahead = self.guard.noted().ahead(self.clock.now_ms());
        self.warn_or_clear("device keys", (!ahead.is_empty()).then(|| told_ahead(&ahead)));
        let unproven = self.guard.unproven().heard_since(self.clock.now_ms().saturating_sub(SHOWN_MS));
        let calls = format!(
            "{unproven} callers for help in the last hour could not prove who they are; see GET /api/v1/incidents/unproven, where a person can raise an \
             incident for each"
        );
        self.warn_or_clear("unproven calls", (unproven > 0).then_some(calls));
    }

    fn warn_or_clear(&self, name: &str, what: Option<String>) {
        match what {
            Some(what) => self.readiness.warn(name, what),
            None => self.readiness.clear(name),
        }
    }
}

/// Gives answers the number that this node has now. Without one they wait: its entry may have been lost with the end of a bucket, and its number
/// be given to another node.
fn number(answers: &AnswerSequence, registry: &Registry, name: &str) -> Result<(), RegistryError> {
    answers.set_node(registry.node_number(name)?);
    Ok(())
}

fn told_ahead(ahead: &[(KeyId, u64)]) -> String {
    let mut named: Vec<_> = ahead.iter().take(NAMED_MAX).map(|(key_id, _)| key_id.to_string()).collect();
    if ahead.len() > NAMED_MAX {
        named.push(format!("{} more", ahead.len() - NAMED_MAX));
    }
    format!(
        "sequences more than a day ahead of the clock come under the keys {}: their devices began with a wrong clock; if one begins \
         again with a right one, give it a new key",
        named.join(", ")
    )
}
