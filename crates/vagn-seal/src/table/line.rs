//! One key as the table keeps it: all that opening needs, in one cache line.

use uuid::Uuid;
use uuid::fmt::Hyphenated;
use vagn_wire::VehicleId;

use crate::cipher::DirectionKey;
use crate::{Epoch, KeyId};

/// Longest vehicle id that is kept in the line itself.
const SHORT_MAX: usize = 18;

/// The speaker is a vehicle whose id is a lower-case UUID: 16 bytes.
const UUID: u8 = 0xfd;

/// The speaker is a vehicle whose id is kept aside.
const LONG: u8 = 0xfe;

/// The speaker is a gateway, kept aside.
const GATEWAY: u8 = 0xff;

/// Room for a UUID as text.
pub(super) type UuidText = [u8; Hyphenated::LENGTH];

/// A key in force, or a free place.
#[repr(align(64))]
pub(super) struct Line {
    pub(super) key_id: KeyId,
    pub(super) up: DirectionKey,
    pub(super) epoch: Epoch,
    /// Length of a short vehicle id, 0 when the place is free, or one of the constants above.
    kind: u8,
    short: [u8; SHORT_MAX],
}

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    /// A line whose speaker is kept aside.
    pub(super) fn gateway(key_id: KeyId, epoch: Epoch, up: DirectionKey) -> Self {
        Self { key_id, up, epoch, kind: GATEWAY, short: [0; SHORT_MAX] }
    }

    /// A line of a vehicle.
    pub(super) fn vehicle(key_id: KeyId, epoch: Epoch, up: DirectionKey, vehicle_id: VehicleId<'_>) -> Self {
        let mut line = Self { key_id, up, epoch, kind: LONG, short: [0; SHORT_MAX] };
        let bytes = vehicle_id.as_bytes();
        if bytes.len() <= SHORT_MAX {
            line.kind = bytes.len() as u8;
            line.short[..bytes.len()].copy_from_slice(bytes);
        } else if let Some(uuid) = canonical_uuid(bytes) {
            line.kind = UUID;
            line.short[..16].copy_from_slice(uuid.as_bytes());
        }
        line
    }

    /// A place without a key.
    pub(super) fn free() -> Self {
        let up = DirectionKey { key: [0; 32], salt: [0; 4] };
        Self { key_id: KeyId([0; 8]), up, epoch: Epoch::FIRST, kind: 0, short: [0; SHORT_MAX] }
    }

    pub(super) fn is_free(&self) -> bool {
        self.kind == 0
    }

    /// Returns true when the id of the vehicle is to be kept aside.
    pub(super) fn is_long(&self) -> bool {
        self.kind == LONG
    }

    /// Returns the vehicle id, for which `text` is room; `None` if the speaker lies aside.
    pub(super) fn vehicle_id<'a>(&'a self, text: &'a mut UuidText) -> Option<VehicleId<'a>> {
        let bytes = match self.kind {
            LONG | GATEWAY => return None,
            UUID => self.uuid().hyphenated().encode_lower(text).as_bytes(),
            len => &self.short[..usize::from(len)],
        };
        Some(VehicleId::from_bytes(bytes).expect("it was a vehicle id when it was put here"))
    }

    fn uuid(&self) -> Uuid {
        Uuid::from_bytes(*self.short.first_chunk().expect("a line has room for 16 bytes"))
    }
}

/// Returns the UUID when the id is written as one, in lower case with hyphens.
fn canonical_uuid(id: &[u8]) -> Option<Uuid> {
    let uuid = Uuid::try_parse_ascii(id).ok()?;
    let mut text: UuidText = [0; Hyphenated::LENGTH];
    (uuid.hyphenated().encode_lower(&mut text).as_bytes() == id).then_some(uuid)
}
