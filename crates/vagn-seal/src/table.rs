//! The keys in force, as the doors need them. At most 80 bytes per key, the table included.

mod index;
mod line;
mod loader;
mod shard;

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher as _;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::FixedState;
use parking_lot::{Mutex, RwLock};
use vagn_wire::VehicleId;

use self::index::Index;
use self::line::Line;
use self::loader::Loader;
use self::shard::{Aside, Found, Shard};
use crate::cipher::{Direction, DirectionKey};
use crate::envelope::Clear;
use crate::sender::put_envelope;
use crate::{Envelope, Epoch, KeyId, Lane, Secret};

/// Parts of the table, each under a lock of its own, so that doors seldom meet at one.
const SHARDS: usize = 64;

/// Bits of a place that are its place within a part; the six above are the part.
const PLACE_BITS: u32 = 20;

/// Keys of one part at most; 67 million in all.
const PLACES_PER_SHARD: u32 = (1 << PLACE_BITS) - 1;

/// Keys from which on the table is loaded ahead: a smaller one is in the caches of the processor, where looking twice costs more
/// than waiting.
const LOADED_FROM: usize = 50_000;

/// The one or the many that a key speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker<'a> {
    /// One vehicle; reports may leave its id out.
    Vehicle(VehicleId<'a>),
    /// All vehicles whose ids begin with this prefix and that have no key of their own; reports must have `ID` and `Ts`.
    Gateway {
        /// Name of the gateway.
        name: &'a str,
        /// Beginning of the ids; empty for all.
        prefix: &'a str,
    },
}

/// A key to be put in force.
#[derive(Debug, Clone)]
pub struct KeyInForce<'a> {
    /// Id of the key.
    pub key_id: KeyId,
    /// The one that it speaks for.
    pub speaker: Speaker<'a>,
    /// Epoch and secret; while a rotation is under way the older one first.
    pub epochs: &'a [(Epoch, Secret)],
}

/// Where the secrets of keys are kept. An answer needs one, and answers are rare: in the table they would double it.
pub trait Secrets: Send + Sync {
    /// Returns the secret of a key and an epoch; `None` when there is none.
    fn secret(&self, key_id: KeyId, epoch: Epoch) -> Option<Secret>;
}

/// Keys in force. Read by every door at once; changed rarely.
///
/// A default table keeps the secrets itself; a service with many keys reads them elsewhere, see [`KeyTable::with_secrets`].
pub struct KeyTable {
    shards: [RwLock<Shard>; SHARDS],
    /// Places of the keys that speak for one vehicle, by the hash of its id.
    vehicles: [RwLock<Index>; SHARDS],
    secrets: KeptSecrets,
    /// Held by whoever changes something, so that a change of both halves is one.
    writer: Mutex<()>,
    len: AtomicUsize,
}

enum KeptSecrets {
    Here(RwLock<HashMap<(KeyId, Epoch), Secret>>),
    Elsewhere(Arc<dyn Secrets>),
}

/// An envelope that was opened.
#[derive(Debug, Clone, Copy)]
pub struct Opened<'a> {
    /// Id of the key.
    pub key_id: KeyId,
    /// Epoch of the key.
    pub epoch: Epoch,
    /// Sequence of the envelope.
    pub sequence: u64,
    /// Lane, as it was sent.
    pub lane: Lane,
    /// Reports in clear, one behind the other.
    pub reports: &'a [u8],
    /// It is the first of its epoch while an older one was in force too: that one is to end.
    pub is_first_of_epoch: bool,
}

/// The reason that an envelope was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotOpened {
    /// No key of this id, or not of this epoch.
    UnknownKey,
    /// The key was revoked.
    Revoked,
    /// The tag is wrong, or it is no envelope at all.
    BadTag,
}

impl Default for KeyTable {
    fn default() -> Self {
        Self::new(KeptSecrets::Here(RwLock::default()))
    }
}

impl KeyTable {
    /// Makes an empty table that reads secrets elsewhere when it seals an answer: it then takes less than 80 bytes per key.
    pub fn with_secrets(secrets: Arc<dyn Secrets>) -> Self {
        Self::new(KeptSecrets::Elsewhere(secrets))
    }

    fn new(secrets: KeptSecrets) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            vehicles: std::array::from_fn(|_| RwLock::default()),
            secrets,
            writer: Mutex::default(),
            len: AtomicUsize::new(0),
        }
    }

    /// Opens an envelope; its reports are written into `buffer`.
    ///
    /// # Errors
    /// The reason that it stays closed.
    pub fn open<'b>(&self, envelope: &[u8], buffer: &'b mut Vec<u8>) -> Result<Opened<'b>, NotOpened> {
        self.open_for(envelope, buffer, |_, _| ()).map(|(opened, ())| opened)
    }

    /// As [`open`](Self::open), and calls `look` with what was opened and the one that its key speaks for. In one look at the key, so
    /// that it cannot be revoked in between.
    ///
    /// # Errors
    /// The reason that it stays closed.
    pub fn open_for<'b, T>(
        &self,
        envelope: &[u8],
        buffer: &'b mut Vec<u8>,
        look: impl FnOnce(&Opened<'b>, Speaker<'_>) -> T,
    ) -> Result<(Opened<'b>, T), NotOpened> {
        let envelope = Envelope::parse(envelope).ok_or(NotOpened::BadTag)?;
        let Envelope { key_id, epoch, sequence, lane, .. } = envelope;
        let hash = hash(&key_id.0);
        // Opened under the lock: a copy of the key would have to be wiped for each datagram.
        let shard = self.shards[part_of(hash)].read();
        let Found { line, up, is_newer } = shard.find(hash, key_id, epoch)?;
        if !up.open(sequence, &envelope.clear().0, envelope.sealed, buffer) {
            return Err(NotOpened::BadTag);
        }
        let mut opened = Opened { key_id, epoch, sequence, lane, reports: buffer, is_first_of_epoch: false };
        let looked = shard.speaker_of(line, |speaker| look(&opened, speaker));
        drop(shard);
        opened.is_first_of_epoch = is_newer && self.advance(key_id, epoch);
        Ok((opened, looked))
    }

    /// Loads what opening these datagrams needs of the table, for all of them at once: one by one, each would wait for memory. To be
    /// called just before they are opened; what is no envelope is passed over.
    pub fn load<'e>(&self, datagrams: impl Iterator<Item = &'e [u8]>) {
        if self.len() >= LOADED_FROM {
            black_box(Loader::new(&self.shards, datagrams).load());
        }
    }

    /// Calls `look` with the one that a key speaks for; `None` when it is not in force.
    pub fn speaker<T>(&self, key_id: KeyId, look: impl FnOnce(Speaker<'_>) -> T) -> Option<T> {
        let hash = hash(&key_id.0);
        let shard = self.shards[part_of(hash)].read();
        shard.line(hash, key_id).map(|line| shard.speaker_of(line, look))
    }

    /// Returns true when the key may speak for this vehicle.
    pub fn may_speak(&self, key_id: KeyId, vehicle_id: VehicleId<'_>) -> bool {
        let spoken = self.speaker(key_id, |speaker| match speaker {
            Speaker::Vehicle(own) => (own == vehicle_id, false),
            Speaker::Gateway { prefix, .. } => (vehicle_id.as_bytes().starts_with(prefix.as_bytes()), true),
        });
        match spoken {
            Some((true, is_gateway)) => !(is_gateway && self.has_own_key(vehicle_id)),
            _ => false,
        }
    }

    /// Returns true when a key speaks for this vehicle alone.
    pub fn has_own_key(&self, vehicle_id: VehicleId<'_>) -> bool {
        if self.is_empty() {
            return false;
        }
        let hash = hash(vehicle_id.as_bytes());
        let is_it = |place| self.vehicle_at(place, |own| own == vehicle_id).unwrap_or(false);
        self.vehicles[part_of(hash)].read().find(hash, is_it).is_some()
    }

    /// Seals an answer to an envelope of this key and epoch, of the server's own sequence, into `out`; false when it is no more in force.
    pub fn seal_answer(
        &self,
        key_id: KeyId,
        epoch: Epoch,
        sequence: u64,
        answer: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        if self.shard(key_id).read().find(hash(&key_id.0), key_id, epoch).is_err() {
            return false;
        }
        let Some(secret) = self.secrets.secret(key_id, epoch) else { return false };
        let down = DirectionKey::derive(key_id, epoch, &secret, Direction::Down);
        put_envelope(&down, &Clear::new(key_id, epoch, sequence, Lane::Ordinary), sequence, answer, out);
        true
    }

    /// Puts a key in force, or what has changed about it; false when the table has no place left for it, or it has no epoch.
    pub fn put(&self, key: &KeyInForce<'_>) -> bool {
        let Some((line, newer, aside)) = parts_of(key) else { return false };
        let _writer = self.writer.lock();
        let part = part_of(hash(&key.key_id.0));
        let old = self.indexed(key.key_id);
        let new = match key.speaker {
            Speaker::Vehicle(vehicle_id) => Some(hash_id(vehicle_id)),
            Speaker::Gateway { .. } => None,
        };
        // The same vehicle stays in the index, so that no reader finds it without a key for a moment.
        if let Some((hash, place)) = old.filter(|old| Some(old.0) != new) {
            self.vehicles[part_of(hash)].write().remove(hash, place);
        }
        let Some((place, is_new)) = self.shards[part].write().put(line, newer, aside) else { return false };
        self.len.fetch_add(usize::from(is_new), Ordering::Release);
        self.secrets.keep(key);
        if let Some(hash) = new.filter(|new| old.is_none_or(|old| old.0 != *new)) {
            let hash_of =
                |place| self.vehicle_at(place, hash_id).expect("a place in the index holds a vehicle's key");
            self.vehicles[part_of(hash)].write().insert(hash, (part as u32) << PLACE_BITS | place, hash_of);
        }
        true
    }

    /// Takes a key out of force: what it seals is refused as revoked from now on.
    pub fn revoke(&self, key_id: KeyId) {
        let _writer = self.writer.lock();
        if let Some((hash, place)) = self.indexed(key_id) {
            self.vehicles[part_of(hash)].write().remove(hash, place);
        }
        let was_in_force = self.shard(key_id).write().revoke(key_id);
        self.len.fetch_sub(usize::from(was_in_force), Ordering::Release);
        self.secrets.forget(key_id);
    }

    /// Returns true for a key that was revoked.
    pub fn is_revoked(&self, key_id: KeyId) -> bool {
        self.shard(key_id).read().is_revoked(key_id)
    }

    /// Visits the keys in force, those of a part at a time; what changes meanwhile may be missed. Each visit must be short: doors
    /// wait.
    pub fn visit(&self, mut visit: impl FnMut(KeyId)) {
        for shard in &self.shards {
            shard.read().visit(&mut visit);
        }
    }

    /// Number of keys in force.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Returns true when no key is in force: then nothing is sealed, and looks cost nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the table takes, without the secrets that it keeps itself and what does not fit into its lines: ids of more
    /// than 18 bytes that are no UUIDs, gateways, second epochs, revoked keys.
    pub fn bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(|shard| shard.read().bytes()).sum();
        let vehicles: usize = self.vehicles.iter().map(|index| index.read().bytes()).sum();
        size_of::<Self>() + shards + vehicles
    }

    /// Ends the epochs before this one; true for the first that asks.
    fn advance(&self, key_id: KeyId, epoch: Epoch) -> bool {
        self.shard(key_id).write().advance(key_id, epoch)
    }

    /// Hash and place under which the vehicle of a key stands in the index.
    fn indexed(&self, key_id: KeyId) -> Option<(u64, u32)> {
        let hash = hash(&key_id.0);
        let part = part_of(hash);
        let place = (part as u32) << PLACE_BITS | self.shards[part].read().place(hash, key_id)?;
        Some((self.vehicle_at(place, hash_id)?, place))
    }

    /// Calls `look` with the vehicle of the key at a place; `None` when there is no key, or one of a gateway.
    fn vehicle_at<T>(&self, place: u32, look: impl FnOnce(VehicleId<'_>) -> T) -> Option<T> {
        let shard = self.shards[(place >> PLACE_BITS) as usize].read();
        let look = |speaker: Speaker<'_>| match speaker {
            Speaker::Vehicle(vehicle_id) => Some(look(vehicle_id)),
            Speaker::Gateway { .. } => None,
        };
        shard.speaker_at(place & PLACES_PER_SHARD, look).flatten()
    }

    fn shard(&self, key_id: KeyId) -> &RwLock<Shard> {
        &self.shards[part_of(hash(&key_id.0))]
    }
}

impl KeptSecrets {
    fn secret(&self, key_id: KeyId, epoch: Epoch) -> Option<Secret> {
        match self {
            Self::Here(secrets) => secrets.read().get(&(key_id, epoch)).cloned(),
            Self::Elsewhere(secrets) => secrets.secret(key_id, epoch),
        }
    }

    fn keep(&self, key: &KeyInForce<'_>) {
        if let Self::Here(secrets) = self {
            self.forget(key.key_id);
            let epochs = key.epochs.iter().map(|(epoch, secret)| ((key.key_id, *epoch), secret.clone()));
            secrets.write().extend(epochs);
        }
    }

    fn forget(&self, key_id: KeyId) {
        if let Self::Here(secrets) = self {
            let mut secrets = secrets.write();
            let epochs = (0..16).filter_map(Epoch::new);
            epochs.for_each(|epoch| drop(secrets.remove(&(key_id, epoch))));
        }
    }
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTable").field("len", &self.len()).finish_non_exhaustive()
    }
}

type KeyParts = (Line, Vec<(Epoch, DirectionKey)>, Option<Aside>);

/// Divides a key into its line, its newer epochs, and the speaker that does not fit into a line.
fn parts_of(key: &KeyInForce<'_>) -> Option<KeyParts> {
    let derive = |(epoch, secret): &(Epoch, Secret)| {
        (*epoch, DirectionKey::derive(key.key_id, *epoch, secret, Direction::Up))
    };
    let mut epochs = key.epochs.iter().map(derive);
    let (epoch, up) = epochs.next()?;
    let (line, aside) = match key.speaker {
        Speaker::Gateway { name, prefix } => {
            let aside = Aside::Gateway { name: name.into(), prefix: prefix.into() };
            (Line::gateway(key.key_id, epoch, up), Some(aside))
        }
        Speaker::Vehicle(id) => {
            let line = Line::vehicle(key.key_id, epoch, up, id);
            let aside = line.is_long().then(|| Aside::Vehicle(id.as_str().into()));
            (line, aside)
        }
    };
    Some((line, epochs.collect(), aside))
}

/// Hash of a key id or a vehicle id. Only an operator adds keys, so the seed need not be a secret.
fn hash(bytes: &[u8]) -> u64 {
    FixedState::with_seed(0x5ea1).hash_one(bytes)
}

fn hash_id(vehicle_id: VehicleId<'_>) -> u64 {
    hash(vehicle_id.as_bytes())
}

/// Part of the table for a hash: of bits that the index uses for nothing else.
fn part_of(hash: u64) -> usize {
    (hash >> 8) as usize % SHARDS
}
