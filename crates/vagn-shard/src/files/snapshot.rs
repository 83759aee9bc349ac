//! The file of a snapshot: a header, and the content in blocks with a checksum each.
//!
//! The header names the log that goes with it. So a snapshot that is installed puts another log in the place of the one before by the
//! same rename: there is no moment at which a crash leaves the one without the other.

use std::io;
use std::path::{Path, PathBuf};

use vagn_cluster::ShardId;
use vagn_store::disk::{Disk, DiskFile};

use super::frame::{LogId, NoHeader, VERSION, check, seal, u32_at, u64_at};
use super::site::{NotReplaced, Site};

/// Name of the file.
pub(super) const FILE: &str = "snapshot";

const MAGIC: [u8; 8] = *b"VAGNSSNP";

/// Length of the header, in bytes.
const HEADER: usize = 48;

/// Content of a block, in bytes; the last may be shorter.
const BLOCK: usize = 256 << 10;

/// Blocks that are written and read with one call.
const BLOCKS: usize = 4;

/// Length of a block's checksum.
const SUM: usize = 4;

/// Header of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotHeader {
    /// The log that holds what is behind it.
    pub(super) log: LogId,
    /// Last entry in it.
    pub(super) sequence: u64,
    /// Length of the content, in bytes.
    pub(super) length: u64,
}

/// A snapshot that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) header: SnapshotHeader,
    pub(super) content: Vec<u8>,
}

/// Reason why there is no snapshot.
#[derive(Debug)]
pub(super) enum NoSnapshot {
    /// There is no such file.
    Missing,
    Damaged,
    /// It is whole, and of this version.
    Version(u32),
    Io(io::Error),
}

impl From<io::Error> for NoSnapshot {
    fn from(err: io::Error) -> Self {
        if err.kind() == io::ErrorKind::NotFound { Self::Missing } else { Self::Io(err) }
    }
}

impl From<NoHeader> for NoSnapshot {
    fn from(reason: NoHeader) -> Self {
        match reason {
            NoHeader::Damaged => Self::Damaged,
            NoHeader::Version(version) => Self::Version(version),
        }
    }
}

impl SnapshotHeader {
    fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::from(self.log.shard.0).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.length.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<Self, NoHeader> {
        check(bytes, MAGIC)?;
        let shard = u16::try_from(u32_at(bytes, 12)).map_err(|_| NoHeader::Damaged)?;
        let log = LogId { shard: ShardId(shard), number: u64_at(bytes, 16) };
        Ok(Self { log, sequence: u64_at(bytes, 24), length: u64_at(bytes, 32) })
    }

    /// Returns the length of the whole file.
    fn file_len(self) -> Option<u64> {
        let blocks = self.length.div_ceil(BLOCK as u64);
        blocks.checked_mul(SUM as u64)?.checked_add(self.length)?.checked_add(HEADER as u64)
    }

    /// Returns the checksum of a block of this snapshot: no other one's, and none at another place.
    fn sum(self, block: usize, content: &[u8]) -> u32 {
        let seed =
            (block as u32) ^ (self.log.number as u32).rotate_left(16) ^ (self.sequence as u32).rotate_left(8);
        crc32c::crc32c_append(seed, content)
    }
}

/// Puts a snapshot in the place of the one before.
pub(super) fn write(site: &Site, log: LogId, sequence: u64, content: &[u8]) -> Result<(), NotReplaced> {
    let header = SnapshotHeader { log, sequence, length: content.len() as u64 };
    site.check_room(content.len() as u64).map_err(NotReplaced::Before)?;
    site.replace(&path(&site.shard_dir(log.shard)), |file| fill(file, header, content))
}

fn fill(file: &dyn DiskFile, header: SnapshotHeader, content: &[u8]) -> io::Result<()> {
    file.append(&header.encode())?;
    let mut piece = Vec::with_capacity(content.len().min(BLOCKS * (BLOCK + SUM)));
    for (at, blocks) in content.chunks(BLOCKS * BLOCK).enumerate() {
        piece.clear();
        for (block, bytes) in blocks.chunks(BLOCK).enumerate() {
            piece.extend_from_slice(bytes);
            piece.extend_from_slice(&header.sum(at * BLOCKS + block, bytes).to_le_bytes());
        }
        file.append(&piece)?;
    }
    Ok(())
}

/// Reads the snapshot of a shard.
pub(super) fn read(disk: &dyn Disk, dir: &Path, shard: ShardId) -> Result<Snapshot, NoSnapshot> {
    let file = disk.open(&path(dir))?;
    let mut bytes = [0; HEADER];
    if file.read_at(0, &mut bytes)? < HEADER {
        return Err(NoSnapshot::Damaged);
    }
    let header = SnapshotHeader::decode(&bytes)?;
    // Before room is made for it.
    if header.log.shard != shard || header.file_len() != Some(file.size()?) {
        return Err(NoSnapshot::Damaged);
    }
    let mut content = Vec::with_capacity(header.length as usize);
    let mut offset = HEADER as u64;
    let rest = file.size()?.saturating_sub(offset);
    let mut piece = vec![0; rest.min((BLOCKS * (BLOCK + SUM)) as u64) as usize];
    let mut block = 0;
    while (content.len() as u64) < header.length {
        let got = file.read_at(offset, &mut piece)?;
        for bytes in piece[..got].chunks(BLOCK + SUM) {
            let (bytes, sum) = bytes.split_last_chunk::<SUM>().ok_or(NoSnapshot::Damaged)?;
            if u32::from_le_bytes(*sum) != header.sum(block, bytes) {
                return Err(NoSnapshot::Damaged);
            }
            content.extend_from_slice(bytes);
            block += 1;
        }
        if got == 0 {
            return Err(NoSnapshot::Damaged);
        }
        offset += got as u64;
    }
    Ok(Snapshot { header, content })
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}
