//! Byte form of an entry: what a message of a shard's stream carries.
//!
//! | bytes | of a batch |
//! |---|---|
//! | 1 | version of the form, 1 |
//! | 1 | 1: batch |
//! | 4 | epoch |
//! | 8, 8, 8 | door: node, time of its birth, random number |
//! | 8 | number of the batch, from 1 |
//! | 2 | number of changes, 1 to 4 096 |
//! | … | each change: 1 report, 2 deletion or 3 setting; then its fields as in [`Change`], ids with a length of 8 bits, fields of 16 |
//! | 8 | hash of all before |
//!
//! A tick has 2 in the second byte, and after the epoch the fields of [`Tick`] in their order.

use crate::bytes::{Reader, SEAL_LEN, Write, seal};
use crate::ids::{BatchId, CHANGES_MAX, DoorId, NodeId, ShardId};
use crate::state::{Change, Damaged, FIELDS_MAX, NewChange};

/// Longest entry, in bytes.
pub const ENTRY_MAX: usize = 512 << 10;

/// Longest id of a vehicle, in bytes.
const ID_MAX: usize = vagn_wire::ID_LEN_MAX;

const VERSION: u8 = 1;
const BATCH: u8 = 1;
const TICK: u8 = 2;
const REPORT: u8 = 1;
const DELETION: u8 = 2;
const SETTING: u8 = 3;

/// Bytes before the epoch.
const EPOCH_AT: usize = 2;

/// Bytes of a batch before its number of changes.
const COUNT_AT: usize = 6 + 4 * 8;

/// An entry, whole and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Epoch of the shard for which it was published.
    pub epoch: u32,
    /// Its content.
    pub body: Body<'a>,
}

/// Content of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// Changes of a door.
    Batch(Batch<'a>),
    /// Time passes.
    Tick(Tick),
}

/// Changes of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Its name.
    pub id: BatchId,
    count: u16,
    changes: &'a [u8],
}

/// A second has passed; and what its writer has, so that other replicas compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Writer.
    pub node: NodeId,
    /// Time by the writer's wall clock, ms since 1970.
    pub wall_ms: i64,
    /// Last entry that the writer had applied.
    pub sequence: u64,
    /// Its running hash at that entry.
    pub running_hash: u64,
    /// Sequence of the last tick that it had applied, 0 when there was none.
    pub tick_sequence: u64,
    /// Hash of its content at that tick.
    pub content_hash: u64,
}

impl<'a> Entry<'a> {
    /// Reads an entry: all of it, so that nothing in it can fail later.
    ///
    /// # Errors
    /// [`Damaged`] when it is none, or too long.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Damaged> {
        if bytes.len() > ENTRY_MAX {
            return Err(Damaged);
        }
        let mut reader = Reader::unseal(bytes)?;
        if reader.u8()? != VERSION {
            return Err(Damaged);
        }
        let kind = reader.u8()?;
        let epoch = reader.u32()?;
        let body = match kind {
            BATCH => Body::Batch(Batch::read(&mut reader)?),
            TICK => Body::Tick(Tick::read(&mut reader)?),
            _ => return Err(Damaged),
        };
        reader.end()?;
        Ok(Self { epoch, body })
    }
}

impl<'a> Batch<'a> {
    /// Number of changes, at least 1.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// True never: a batch without changes is not read.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The changes in their order.
    pub fn changes(&self) -> impl Iterator<Item = Change<'a>> {
        let mut reader = Reader::new(self.changes);
        (0..self.count).map_while(move |_| change(&mut reader).ok())
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Damaged> {
        let id = batch_id(reader)?;
        let count = reader.u16()?;
        if count == 0 || usize::from(count) > CHANGES_MAX {
            return Err(Damaged);
        }
        let changes = reader.rest();
        for _ in 0..count {
            change(reader)?;
        }
        Ok(Self { id, count, changes })
    }
}

/// Reads the name of a batch.
pub(crate) fn batch_id(reader: &mut Reader<'_>) -> Result<BatchId, Damaged> {
    let door = DoorId { node: NodeId(reader.u64()?), born_ms: reader.i64()?, random: reader.u64()? };
    match reader.u64()? {
        0 => Err(Damaged),
        number => Ok(BatchId { door, number }),
    }
}

/// Writes the name of a batch.
pub(crate) fn put_batch_id(out: &mut Vec<u8>, id: BatchId) {
    out.put_u64(id.door.node.0);
    out.put_i64(id.door.born_ms);
    out.put_u64(id.door.random);
    out.put_u64(id.number);
}

fn change<'a>(reader: &mut Reader<'a>) -> Result<Change<'a>, Damaged> {
    Ok(match reader.u8()? {
        REPORT => Change::Report {
            vehicle_id: vehicle_id(reader)?,
            arrival_ms: reader.i64()?,
            fields: fields(reader)?,
        },
        DELETION => Change::Deletion { vehicle_id: vehicle_id(reader)? },
        SETTING => Change::Setting { value: fields(reader)? },
        _ => return Err(Damaged),
    })
}

fn vehicle_id<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Damaged> {
    let len = usize::from(reader.u8()?);
    if len == 0 || len > ID_MAX { Err(Damaged) } else { reader.take(len) }
}

fn fields<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Damaged> {
    let len = usize::from(reader.u16()?);
    if len > FIELDS_MAX { Err(Damaged) } else { reader.take(len) }
}

impl Tick {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            node: NodeId(reader.u64()?),
            wall_ms: reader.i64()?,
            sequence: reader.u64()?,
            running_hash: reader.u64()?,
            tick_sequence: reader.u64()?,
            content_hash: reader.u64()?,
        })
    }

    /// Writes it as an entry of this epoch.
    pub fn write(&self, epoch: u32) -> Vec<u8> {
        let mut out = head(TICK, epoch);
        out.put_u64(self.node.0);
        out.put_i64(self.wall_ms);
        out.put_u64(self.sequence);
        out.put_u64(self.running_hash);
        out.put_u64(self.tick_sequence);
        out.put_u64(self.content_hash);
        seal(&mut out);
        out
    }
}

fn head(kind: u8, epoch: u32) -> Vec<u8> {
    let mut out = vec![VERSION, kind];
    out.put_u32(epoch);
    out
}

/// Writes a batch, change by change, until it is full.
#[derive(Debug)]
pub struct BatchWriter {
    out: Vec<u8>,
    count: u16,
}

impl BatchWriter {
    /// Begins a batch.
    pub fn new(epoch: u32, id: BatchId) -> Self {
        let mut out = head(BATCH, epoch);
        put_batch_id(&mut out, id);
        debug_assert_eq!(out.len(), COUNT_AT);
        out.put_u16(0);
        Self { out, count: 0 }
    }

    /// Appends a change. Returns false, and does nothing, when there is no room for it.
    pub fn push(&mut self, change: &NewChange) -> bool {
        let has_room = usize::from(self.count) < CHANGES_MAX
            && self.out.len() + change.written_len() + SEAL_LEN <= ENTRY_MAX;
        if has_room {
            change.write(&mut self.out);
            self.count += 1;
        }
        has_room
    }

    /// Returns the byte form.
    pub fn finish(mut self) -> Vec<u8> {
        self.out[COUNT_AT..COUNT_AT + 2].copy_from_slice(&self.count.to_le_bytes());
        seal(&mut self.out);
        self.out
    }
}

/// Returns the same entry for another epoch: a batch that is published again after a repair keeps its name.
pub(crate) fn with_epoch(bytes: &[u8], epoch: u32) -> Vec<u8> {
    let mut out = bytes[..bytes.len().saturating_sub(SEAL_LEN)].to_vec();
    if let Some(place) = out.get_mut(EPOCH_AT..EPOCH_AT + 4) {
        place.copy_from_slice(&epoch.to_le_bytes());
    }
    seal(&mut out);
    out
}

/// Returns the same batch under another name.
pub(crate) fn with_id(bytes: &[u8], id: BatchId) -> Vec<u8> {
    let mut name = Vec::with_capacity(COUNT_AT);
    put_batch_id(&mut name, id);
    let mut out = bytes[..bytes.len().saturating_sub(SEAL_LEN)].to_vec();
    if let Some(place) = out.get_mut(EPOCH_AT + 4..COUNT_AT) {
        place.copy_from_slice(&name);
    }
    seal(&mut out);
    out
}

impl NewChange {
    /// Returns the shard that it goes to.
    pub fn shard(&self, shards: u16) -> ShardId {
        match self {
            Self::Report { vehicle_id, .. } | Self::Deletion { vehicle_id } => {
                ShardId::of_vehicle(vehicle_id, shards)
            }
            Self::Setting { shard, .. } => *shard,
        }
    }

    /// Returns true when all its parts have a length that an entry takes.
    pub(crate) fn fits(&self) -> bool {
        let is_id = |id: &[u8]| (1..=ID_MAX).contains(&id.len());
        match self {
            Self::Report { vehicle_id, fields, .. } => is_id(vehicle_id) && fields.len() <= FIELDS_MAX,
            Self::Deletion { vehicle_id } => is_id(vehicle_id),
            Self::Setting { value, .. } => value.len() <= FIELDS_MAX,
        }
    }

    /// Returns its bytes in an entry.
    pub(crate) fn written_len(&self) -> usize {
        match self {
            Self::Report { vehicle_id, fields, .. } => 1 + 1 + vehicle_id.len() + 8 + 2 + fields.len(),
            Self::Deletion { vehicle_id } => 1 + 1 + vehicle_id.len(),
            Self::Setting { value, .. } => 1 + 2 + value.len(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Report { vehicle_id, arrival_ms, fields } => {
                out.put_u8(REPORT);
                out.put_u8(vehicle_id.len() as u8);
                out.put(vehicle_id);
                out.put_i64(*arrival_ms);
                out.put_u16(fields.len() as u16);
                out.put(fields);
            }
            Self::Deletion { vehicle_id } => {
                out.put_u8(DELETION);
                out.put_u8(vehicle_id.len() as u8);
                out.put(vehicle_id);
            }
            Self::Setting { value, .. } => {
                out.put_u8(SETTING);
                out.put_u16(value.len() as u16);
                out.put(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::{assert_damage_is_found, assert_no_damage_panics};

    fn id(number: u64) -> BatchId {
        BatchId { door: DoorId { node: NodeId(7), born_ms: -3, random: 9 }, number }
    }

    fn changes() -> impl Strategy<Value = Vec<NewChange>> {
        let vehicle = || vec(any::<u8>(), 1..=ID_MAX);
        let one = prop_oneof![
            (vehicle(), any::<i64>(), vec(any::<u8>(), 0..80)).prop_map(
                |(vehicle_id, arrival_ms, fields)| NewChange::Report { vehicle_id, arrival_ms, fields }
            ),
            vehicle().prop_map(|vehicle_id| NewChange::Deletion { vehicle_id }),
            vec(any::<u8>(), 0..80).prop_map(|value| NewChange::Setting { shard: ShardId(0), value }),
        ];
        vec(one, 1..20)
    }

    fn batch(changes: &[NewChange]) -> Vec<u8> {
        let mut writer = BatchWriter::new(4, id(5));
        assert!(changes.iter().all(|change| writer.push(change)));
        writer.finish()
    }

    fn again(entry: &Entry<'_>) -> Vec<u8> {
        match entry.body {
            Body::Tick(tick) => tick.write(entry.epoch),
            Body::Batch(batch) => {
                let mut writer = BatchWriter::new(entry.epoch, batch.id);
                assert!(batch.changes().all(|change| writer.push(&owned(change))));
                writer.finish()
            }
        }
    }

    fn owned(change: Change<'_>) -> NewChange {
        match change {
            Change::Report { vehicle_id, arrival_ms, fields } => {
                NewChange::Report { vehicle_id: vehicle_id.to_vec(), arrival_ms, fields: fields.to_vec() }
            }
            Change::Deletion { vehicle_id } => NewChange::Deletion { vehicle_id: vehicle_id.to_vec() },
            Change::Setting { value } => NewChange::Setting { shard: ShardId(0), value: value.to_vec() },
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_batch_is_read_as_it_was_written(changes in changes(), seed: u64) {
            let bytes = batch(&changes);
            let entry = Entry::read(&bytes).unwrap();
            prop_assert_eq!(entry.epoch, 4);
            let Body::Batch(read) = entry.body else { panic!("a batch was written") };
            prop_assert_eq!((read.id, read.len()), (id(5), changes.len()));
            prop_assert_eq!(read.changes().map(owned).collect::<Vec<_>>(), changes);
            let mut chance = fastrand::Rng::with_seed(seed);
            let read_again = |bytes: &[u8]| Entry::read(bytes).map(|entry| again(&entry));
            assert_no_damage_panics(&bytes, &mut chance, read_again, Vec::clone);
        }
    }

    #[test]
    fn damage_is_found() {
        let tick = Tick {
            node: NodeId(1),
            wall_ms: -2,
            sequence: 3,
            running_hash: 4,
            tick_sequence: 5,
            content_hash: 6,
        };
        let bytes = tick.write(9);
        assert_eq!(Entry::read(&bytes), Ok(Entry { epoch: 9, body: Body::Tick(tick) }));
        assert_damage_is_found(&bytes, |bytes| Entry::read(bytes).map(|_| ()));
        let deletion = NewChange::Deletion { vehicle_id: b"bus".to_vec() };
        assert_damage_is_found(&batch(&[deletion]), |bytes| Entry::read(bytes).map(|_| ()));
    }

    #[test]
    fn a_batch_is_full_at_its_bounds() {
        let small = NewChange::Deletion { vehicle_id: b"b".to_vec() };
        let mut writer = BatchWriter::new(1, id(1));
        assert_eq!((0..).take_while(|_| writer.push(&small)).count(), CHANGES_MAX);
        assert!(Entry::read(&writer.finish()).is_ok());

        let large =
            NewChange::Report { vehicle_id: vec![b'v'; ID_MAX], arrival_ms: 0, fields: vec![7; FIELDS_MAX] };
        let mut writer = BatchWriter::new(1, id(1));
        let pushed = (0..).take_while(|_| writer.push(&large)).count();
        let bytes = writer.finish();
        assert!(bytes.len() <= ENTRY_MAX && bytes.len() + large.written_len() > ENTRY_MAX, "{pushed}");
        assert!(Entry::read(&bytes).is_ok());
    }

    #[test]
    fn a_batch_goes_to_another_epoch_or_takes_another_name() {
        let bytes = with_epoch(&batch(&[NewChange::Deletion { vehicle_id: b"bus".to_vec() }]), 5);
        let entry = Entry::read(&bytes).unwrap();
        assert_eq!(entry.epoch, 5);
        assert!(matches!(entry.body, Body::Batch(batch) if batch.id == id(5) && batch.len() == 1));
        let bytes = with_id(&bytes, id(8));
        let entry = Entry::read(&bytes).unwrap();
        assert!(matches!(entry.body, Body::Batch(batch) if batch.id == id(8) && batch.len() == 1));
    }

    #[test]
    fn a_batch_without_number_or_changes_is_none() {
        assert_eq!(Entry::read(&BatchWriter::new(1, id(5)).finish()), Err(Damaged));
        let mut writer = BatchWriter::new(1, id(0));
        assert!(writer.push(&NewChange::Deletion { vehicle_id: b"bus".to_vec() }));
        assert_eq!(Entry::read(&writer.finish()), Err(Damaged));
    }
}
