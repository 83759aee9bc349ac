//! The keys in force, as the doors need them. At most 80 bytes per key, the table included.

use vagn_wire::VehicleId;

use crate::{Epoch, KeyId, Lane, Secret};

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

/// Keys in force. Read by every door at once; changed rarely.
#[derive(Debug, Default)]
pub struct KeyTable {}

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

impl KeyTable {
    /// Opens an envelope; its reports are written into `buffer`.
    ///
    /// # Errors
    /// The reason that it stays closed.
    pub fn open<'b>(&self, _envelope: &[u8], _buffer: &'b mut Vec<u8>) -> Result<Opened<'b>, NotOpened> {
        todo!("seal")
    }

    /// Calls `look` with the one that a key speaks for; `None` when it is not in force.
    pub fn speaker<T>(&self, _key_id: KeyId, _look: impl FnOnce(Speaker<'_>) -> T) -> Option<T> {
        todo!("seal")
    }

    /// Returns true when the key may speak for this vehicle.
    pub fn may_speak(&self, _key_id: KeyId, _vehicle_id: VehicleId<'_>) -> bool {
        todo!("seal")
    }

    /// Returns true when a key speaks for this vehicle alone.
    pub fn has_own_key(&self, _vehicle_id: VehicleId<'_>) -> bool {
        todo!("seal")
    }

    /// Seals an answer to an envelope of this key and epoch, of the server's own sequence, into `out`; false when it is no more in force.
    pub fn seal_answer(
        &self,
        _key_id: KeyId,
        _epoch: Epoch,
        _sequence: u64,
        _answer: &[u8],
        _out: &mut Vec<u8>,
    ) -> bool {
        todo!("seal")
    }

    /// Puts a key in force, or what has changed about it.
    pub fn put(&self, _key: &KeyInForce<'_>) {
        todo!("seal")
    }

    /// Takes a key out of force: what it seals is refused as revoked from now on.
    pub fn revoke(&self, _key_id: KeyId) {
        todo!("seal")
    }

    /// Number of keys in force.
    pub fn len(&self) -> usize {
        todo!("seal")
    }

    /// Returns true when no key is in force: then nothing is sealed, and looks cost nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
