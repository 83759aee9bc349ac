//! Messages between nodes, and their byte form: version, kind, fields, and a hash of it all. A message that is damaged, or of another
//! version, is dropped: none is needed, as whoever sent it sends it again or does without.

use vagn_wire::Fate;

use crate::bytes::{Reader, Write, seal};
use crate::entry::{batch_id, put_batch_id};
use crate::ids::{BatchId, CHANGES_MAX, SHARDS_MAX, ShardId, StreamId};
use crate::membership::Heartbeat;
use crate::refusal::Refusal;
use crate::state::Damaged;

/// Longest piece of a copy or an answer, in bytes.
pub(crate) const PIECE_MAX: usize = 256 << 10;

/// Longest question, in bytes.
pub(crate) const QUESTION_MAX: usize = 64 << 10;

/// Most batches in a question for those that a shard lacks.
pub(crate) const BATCHES_MAX: usize = 4_096;

/// Length of a batch's name, in bytes.
const BATCH_ID_LEN: usize = 32;

const VERSION: u8 = 1;

/// A message between two nodes, or to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// To all, twice a second.
    Heartbeat(Heartbeat),
    /// An owner has a batch in its log.
    Fates { batch: BatchId, fates: Vec<Fate> },
    /// The shard does not know the door of a batch; the time of the shard.
    DoorRefused { batch: BatchId, time_ms: i64 },
    /// A door knows that its batch is in the stream, and has no fates.
    Unanswered { batch: BatchId, stream: StreamId, sequence: u64 },
    /// Asks an owner for a piece of its shard: from `offset` on, of the copy with this number; 0 begins one.
    CopyAsk { stream: StreamId, copy: u64, offset: u64 },
    /// A piece of a copy that has `total` bytes.
    CopyPiece { stream: StreamId, copy: u64, total: u64, offset: u64, bytes: Vec<u8> },
    /// The owner has no such copy, or is no owner that could be copied from.
    CopyGone { stream: StreamId, copy: u64 },
    /// A question about some shards.
    Question { query: u64, shards: Vec<ShardId>, question: Vec<u8> },
    /// A part of a shard's answer.
    Reply { query: u64, shard: ShardId, age_ms: u64, part: u32, parts: u32, bytes: Vec<u8> },
    /// The node has none of these shards.
    NoReply { query: u64, shards: Vec<ShardId> },
    /// Asks the owner that has most to begin a new epoch.
    RepairAsk { shard: ShardId },
    /// Asks the owner that has most to begin a new epoch although a part of its log is damaged: so it is with all of them.
    RepairAskDamaged { shard: ShardId },
    /// What came of a repair that was asked for.
    RepairAnswer { shard: ShardId, result: Result<(), Refusal> },
    /// Asks an owner which of these batches its shard lacks.
    LackAsk { stream: StreamId, ask: u64, batches: Vec<BatchId> },
    /// The batches of a question that the shard lacks.
    Lack { stream: StreamId, ask: u64, batches: Vec<BatchId> },
    /// To all: this run of the node stops in order, and answers nothing more.
    Farewell { run: u64 },
}

impl Message {
    /// Returns the version of the messages that brought it. A further kind, or a further word in a kind, is of the next version, and raises
    /// `MESSAGES_VERSION` in `settings.rs`: to a node that does not understand it, it is not sent.
    pub(crate) fn since(&self) -> u32 {
        match self {
            // Whoever hears another node at all must understand this one: it may get further fields at its end, and nothing else.
            Self::Heartbeat(_) => 0,
            Self::Fates { .. }
            | Self::DoorRefused { .. }
            | Self::Unanswered { .. }
            | Self::CopyAsk { .. }
            | Self::CopyPiece { .. }
            | Self::CopyGone { .. }
            | Self::Question { .. }
            | Self::Reply { .. }
            | Self::NoReply { .. }
            | Self::RepairAsk { .. }
            | Self::RepairAskDamaged { .. }
            | Self::RepairAnswer { .. }
            | Self::LackAsk { .. }
            | Self::Lack { .. }
            | Self::Farewell { .. } => 1,
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Heartbeat(beat) => {
                out.put_u8(1);
                beat.write(&mut out);
            }
            Self::Fates { batch, fates } => {
                out.put_u8(2);
                put_batch_id(&mut out, *batch);
                out.put_count(fates.len());
                out.extend(fates.iter().map(|fate| *fate as u8));
            }
            Self::DoorRefused { batch, time_ms } => {
                out.put_u8(3);
                put_batch_id(&mut out, *batch);
                out.put_i64(*time_ms);
            }
            Self::Unanswered { batch, stream, sequence } => {
                out.put_u8(4);
                put_batch_id(&mut out, *batch);
                put_stream(&mut out, *stream);
                out.put_u64(*sequence);
            }
            Self::CopyAsk { stream, copy, offset } => {
                out.put_u8(5);
                put_stream(&mut out, *stream);
                out.put_u64(*copy);
                out.put_u64(*offset);
            }
            Self::CopyPiece { stream, copy, total, offset, bytes } => {
                out.put_u8(6);
                put_stream(&mut out, *stream);
                out.put_u64(*copy);
                out.put_u64(*total);
                out.put_u64(*offset);
                out.put_long(bytes);
            }
            Self::CopyGone { stream, copy } => {
                out.put_u8(7);
                put_stream(&mut out, *stream);
                out.put_u64(*copy);
            }
            Self::Question { query, shards, question } => {
                out.put_u8(8);
                out.put_u64(*query);
                put_shards(&mut out, shards);
                out.put_long(question);
            }
            Self::Reply { query, shard, age_ms, part, parts, bytes } => {
                out.put_u8(9);
                out.put_u64(*query);
                out.put_u16(shard.0);
                out.put_u64(*age_ms);
                out.put_u32(*part);
                out.put_u32(*parts);
                out.put_long(bytes);
            }
            Self::NoReply { query, shards } => {
                out.put_u8(10);
                out.put_u64(*query);
                put_shards(&mut out, shards);
            }
            Self::RepairAsk { shard } => {
                out.put_u8(11);
                out.put_u16(shard.0);
            }
            Self::LackAsk { stream, ask, batches } => {
                out.put_u8(12);
                put_batches(&mut out, *stream, *ask, batches);
            }
            Self::Lack { stream, ask, batches } => {
                out.put_u8(13);
                put_batches(&mut out, *stream, *ask, batches);
            }
            Self::RepairAnswer { shard, result } => {
                out.put_u8(14);
                out.put_u16(shard.0);
                out.put_u8(result.map_or_else(|refusal| refusal as u8 + 1, |()| 0));
            }
            Self::RepairAskDamaged { shard } => {
                out.put_u8(15);
                out.put_u16(shard.0);
            }
            Self::Farewell { run } => {
                out.put_u8(16);
                out.put_u64(*run);
            }
        }
        seal(&mut out);
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::unseal(bytes)?;
        if reader.u8()? != VERSION {
            return Err(Damaged);
        }
        let message = Self::fields(&mut reader)?;
        reader.end()?;
        Ok(message)
    }

    fn fields(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(match reader.u8()? {
            1 => Self::Heartbeat(Heartbeat::read(reader)?),
            2 => {
                let batch = batch_id(reader)?;
                let count = reader.count(CHANGES_MAX, 1)?;
                let fates = reader.take(count)?.iter().map(|byte| fate(*byte));
                Self::Fates { batch, fates: fates.collect::<Result<_, _>>()? }
            }
            3 => Self::DoorRefused { batch: batch_id(reader)?, time_ms: reader.i64()? },
            4 => Self::Unanswered {
                batch: batch_id(reader)?,
                stream: stream(reader)?,
                sequence: reader.u64()?,
            },
            5 => Self::CopyAsk { stream: stream(reader)?, copy: reader.u64()?, offset: reader.u64()? },
            6 => Self::CopyPiece {
                stream: stream(reader)?,
                copy: reader.u64()?,
                total: reader.u64()?,
                offset: reader.u64()?,
                bytes: reader.long(PIECE_MAX)?.to_vec(),
            },
            7 => Self::CopyGone { stream: stream(reader)?, copy: reader.u64()? },
            8 => Self::Question {
                query: reader.u64()?,
                shards: shards(reader)?,
                question: reader.long(QUESTION_MAX)?.to_vec(),
            },
            9 => Self::Reply {
                query: reader.u64()?,
                shard: ShardId(reader.u16()?),
                age_ms: reader.u64()?,
                part: reader.u32()?,
                parts: reader.u32()?,
                bytes: reader.long(PIECE_MAX)?.to_vec(),
            },
            10 => Self::NoReply { query: reader.u64()?, shards: shards(reader)? },
            11 => Self::RepairAsk { shard: ShardId(reader.u16()?) },
            12 => Self::LackAsk { stream: stream(reader)?, ask: reader.u64()?, batches: batches(reader)? },
            13 => Self::Lack { stream: stream(reader)?, ask: reader.u64()?, batches: batches(reader)? },
            14 => Self::RepairAnswer { shard: ShardId(reader.u16()?), result: result(reader.u8()?)? },
            15 => Self::RepairAskDamaged { shard: ShardId(reader.u16()?) },
            16 => Self::Farewell { run: reader.u64()? },
            _ => return Err(Damaged),
        })
    }
}

/// Zero is a repair that was made, and the others are the reasons why it was not.
fn result(byte: u8) -> Result<Result<(), Refusal>, Damaged> {
    let Some(number) = byte.checked_sub(1) else { return Ok(Ok(())) };
    Refusal::ALL.get(usize::from(number)).map(|refusal| Err(*refusal)).ok_or(Damaged)
}

fn fate(byte: u8) -> Result<Fate, Damaged> {
    Fate::ALL.get(usize::from(byte)).copied().ok_or(Damaged)
}

fn stream(reader: &mut Reader<'_>) -> Result<StreamId, Damaged> {
    Ok(StreamId { shard: ShardId(reader.u16()?), epoch: reader.u32()? })
}

fn put_stream(out: &mut Vec<u8>, stream: StreamId) {
    out.put_u16(stream.shard.0);
    out.put_u32(stream.epoch);
}

fn batches(reader: &mut Reader<'_>) -> Result<Vec<BatchId>, Damaged> {
    let count = reader.count(BATCHES_MAX, BATCH_ID_LEN)?;
    (0..count).map(|_| batch_id(reader)).collect()
}

fn put_batches(out: &mut Vec<u8>, stream: StreamId, ask: u64, batches: &[BatchId]) {
    put_stream(out, stream);
    out.put_u64(ask);
    out.put_count(batches.len());
    batches.iter().for_each(|batch| put_batch_id(out, *batch));
}

fn shards(reader: &mut Reader<'_>) -> Result<Vec<ShardId>, Damaged> {
    let count = reader.count(usize::from(SHARDS_MAX), 2)?;
    (0..count).map(|_| reader.u16().map(ShardId)).collect()
}

fn put_shards(out: &mut Vec<u8>, shards: &[ShardId]) {
    out.put_count(shards.len());
    for shard in shards {
        out.put_u16(shard.0);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bytes::{assert_damage_is_found, assert_no_damage_panics};
    use crate::membership::Holding;
    use crate::testing::batch_id;

    /// By the name that each has in the corpus.
    pub(crate) fn named() -> impl Iterator<Item = (String, Message)> {
        messages().into_iter().map(|message| {
            let text = format!("{message:?}");
            let name = text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
            (name.to_ascii_lowercase(), message)
        })
    }

    fn messages() -> Vec<Message> {
        let stream = StreamId { shard: ShardId(3), epoch: 2 };
        let batch = batch_id(5);
        let holding = Holding {
            shard: ShardId(3),
            epoch: 2,
            synced: 9,
            running_hash: 77,
            caught_up: true,
            is_broken: true,
        };
        vec![
            Message::Heartbeat(Heartbeat {
                run: 1,
                name: "one".into(),
                zone: Some("north".into()),
                version: 4,
                settings_hash: 8,
                stores: true,
                leaves: false,
                assignment: 7,
                shards: vec![holding],
                later: Vec::new(),
            }),
            Message::Fates { batch, fates: Fate::ALL.to_vec() },
            Message::DoorRefused { batch, time_ms: -4 },
            Message::Unanswered { batch, stream, sequence: 3 },
            Message::CopyAsk { stream, copy: 1, offset: 9 },
            Message::CopyPiece { stream, copy: 1, total: 12, offset: 9, bytes: vec![1, 2, 3] },
            Message::CopyGone { stream, copy: 1 },
            Message::Question { query: 1, shards: vec![ShardId(1), ShardId(2)], question: vec![7] },
            Message::Reply { query: 1, shard: ShardId(2), age_ms: 3, part: 0, parts: 1, bytes: vec![4] },
            Message::NoReply { query: 1, shards: vec![ShardId(2)] },
            Message::RepairAsk { shard: ShardId(2) },
            Message::RepairAnswer { shard: ShardId(2), result: Err(Refusal::Silent) },
            Message::RepairAskDamaged { shard: ShardId(2) },
            Message::LackAsk { stream, ask: 8, batches: vec![batch, batch_id(6)] },
            Message::Lack { stream, ask: 8, batches: vec![batch] },
            Message::Farewell { run: 1 },
        ]
    }

    #[test]
    fn each_is_read_as_it_was_written_and_damage_is_found() {
        let mut chance = fastrand::Rng::with_seed(11);
        let made = Message::RepairAnswer { shard: ShardId(2), result: Ok(()) };
        let Some(Message::Heartbeat(beat)) = messages().into_iter().next() else { panic!("the first one") };
        let of_a_later_version = Message::Heartbeat(Heartbeat { version: 9, later: vec![1, 2, 3], ..beat });
        for message in messages().into_iter().chain([made, of_a_later_version]) {
            let bytes = message.write();
            assert_eq!(Message::read(&bytes), Ok(message));
            assert_damage_is_found(&bytes, Message::read);
            assert_no_damage_panics(&bytes, &mut chance, Message::read, Message::write);
        }
    }
}
