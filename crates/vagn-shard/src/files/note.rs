//! The note: a few bytes that a node keeps, in a file of their own.

use std::io;

use super::frame::{NoHeader, VERSION, check, seal, u32_at};
use super::site::{NotReplaced, Site, TEMPORARY};

/// Name of the file.
pub(super) const FILE: &str = "note";

/// Name under which a damaged one is kept.
const DAMAGED: &str = "note.damaged";

const MAGIC: [u8; 8] = *b"VAGNNOTE";
const HEADER: usize = 24;

/// Longest note, in bytes: the record of assignment is shorter.
const LENGTH_MAX: usize = 16 << 20;

/// The note as a start finds it.
#[derive(Debug)]
pub(super) enum FoundNote {
    Note(Vec<u8>),
    Nothing,
    Damaged,
    /// It could not be read, and is left as it is.
    Unread(io::Error),
}

/// Puts a note in the place of the one before.
pub(super) fn write(site: &Site, note: &[u8]) -> io::Result<()> {
    let written = site.replace(&site.root.join(FILE), |file| file.append(&encode(note)));
    written.map_err(NotReplaced::into_error)
}

/// Reads the note at a start. A damaged one is kept under another name.
pub(super) fn restore(site: &Site) -> FoundNote {
    let path = site.root.join(FILE);
    let _unfinished = site.disk.remove(&site.root.join(format!("{FILE}{TEMPORARY}")));
    let found = read(site);
    if matches!(found, FoundNote::Damaged) {
        // If it cannot be renamed, the next note replaces it: it could not be read anyway.
        let _kept = site.disk.rename(&path, &site.root.join(DAMAGED));
    }
    found
}

/// Reads the note, and changes nothing.
pub(super) fn read(site: &Site) -> FoundNote {
    let read = site.disk.open(&site.root.join(FILE)).and_then(|file| {
        let size = file.size()?.min((HEADER + LENGTH_MAX) as u64 + 1);
        let mut bytes = vec![0; size as usize];
        let got = file.read_at(0, &mut bytes)?;
        bytes.truncate(got);
        Ok(bytes)
    });
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return FoundNote::Nothing,
        Err(err) => return FoundNote::Unread(err),
    };
    match decode(&bytes) {
        Ok(note) => FoundNote::Note(note.to_vec()),
        Err(NoHeader::Version(version)) => FoundNote::Unread(io::Error::other(format!(
            "it is of version {version}, and this one reads {VERSION}"
        ))),
        Err(NoHeader::Damaged) => FoundNote::Damaged,
    }
}

/// Returns the byte form of a note: a header with the checksum of the note and its own, and the note.
pub(super) fn encode(note: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&(note.len() as u32).to_le_bytes());
    bytes[16..20].copy_from_slice(&crc32c::crc32c(note).to_le_bytes());
    seal(&mut bytes);
    bytes.extend_from_slice(note);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<&[u8], NoHeader> {
    let (header, note) = bytes.split_at_checked(HEADER).ok_or(NoHeader::Damaged)?;
    check(header, MAGIC)?;
    let is_whole = u32_at(header, 12) as usize == note.len() && u32_at(header, 16) == crc32c::crc32c(note);
    if is_whole { Ok(note) } else { Err(NoHeader::Damaged) }
}
