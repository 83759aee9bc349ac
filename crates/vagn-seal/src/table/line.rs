//! One key as the table keeps it: all that opening needs, in one cache line.

use vagn_wire::VehicleId;

use crate::cipher::DirectionKey;
use crate::{Epoch, KeyId};

/// Longest vehicle id that is kept in the line itself.
const SHORT_MAX: usize = 18;

/// The speaker is a vehicle whose id is kept aside.
const LONG: u8 = 0xfe;

/// The speaker is a gateway, kept aside.
const GATEWAY: u8 = 0xff;

/// A key in force, or a free place.
#[repr(align(64))]
pub(super) struct Line {
    pub(super) key_id: KeyId,
    pub(super) up: DirectionKey,
    pub(super) epoch: Epoch,
    /// Length of a short vehicle id, 0 when the place is free, or `LONG` or `GATEWAY`.
    kind: u8,
    short: [u8; SHORT_MAX],
}

const _: () = assert!(size_of::<Line>() == 64);

/// The speaker as the line tells it.
pub(super) enum Told<'a> {
    Short(VehicleId<'a>),
    Long,
    Gateway,
}

impl Line {
    /// A line whose speaker is kept aside.
    pub(super) fn gateway(key_id: KeyId, epoch: Epoch, up: DirectionKey) -> Self {
        Self { key_id, up, epoch, kind: GATEWAY, short: [0; SHORT_MAX] }
    }

    /// A line of a vehicle.
    pub(super) fn vehicle(key_id: KeyId, epoch: Epoch, up: DirectionKey, vehicle_id: VehicleId<'_>) -> Self {
        let bytes = vehicle_id.as_bytes();
        let mut line = Self { key_id, up, epoch, kind: LONG, short: [0; SHORT_MAX] };
        if bytes.len() <= SHORT_MAX {
            line.kind = bytes.len() as u8;
            line.short[..bytes.len()].copy_from_slice(bytes);
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

    pub(super) fn told(&self) -> Told<'_> {
        match self.kind {
            GATEWAY => Told::Gateway,
            LONG => Told::Long,
            len => Told::Short(
                VehicleId::from_bytes(&self.short[..usize::from(len)])
                    .expect("it was a vehicle id when it was put here"),
            ),
        }
    }
}
