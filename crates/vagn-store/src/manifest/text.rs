//! The text of a manifest: the format, lines, and the checksum of all that stands above it.

use super::FORMAT;
use crate::disk::{Disk, read_all, replace};
use crate::error::{Doing, StoreError};
use std::io;
use std::path::Path;

/// Greatest length of a manifest in bytes; what is longer is none.
const LENGTH_MAX: u64 = 64 << 20;

/// Returns the whole text of a manifest with these lines.
pub(crate) fn seal(lines: &str) -> String {
    sealed_as(FORMAT, lines)
}

fn sealed_as(format: u32, lines: &str) -> String {
    let content = format!("format {format}\n{lines}");
    let sum = crc32c::crc32c(content.as_bytes());
    format!("{content}checksum {sum:08x}\n")
}

/// Returns the lines of the manifest `file`; `None` when it is not there.
pub(crate) fn read(disk: &dyn Disk, file: &Path) -> Result<Option<String>, StoreError> {
    let open = match disk.open(file) {
        Ok(open) => open,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) if err.kind() == io::ErrorKind::IsADirectory => {
            return Err(StoreError::corrupt(file, 0, "it is no file"));
        }
        Err(err) => return Err(err).doing("open the manifest", file),
    };
    if open.size().doing("read the manifest", file)? > LENGTH_MAX {
        return Err(StoreError::corrupt(file, 0, "it is too long for a manifest"));
    }
    let bytes = read_all(&*open).doing("read the manifest", file)?;
    parse(&bytes, file).map(Some)
}

fn parse(bytes: &[u8], file: &Path) -> Result<String, StoreError> {
    let damaged = |what| StoreError::corrupt(file, 0, what);
    let text = str::from_utf8(bytes).map_err(|_| damaged("it is no text"))?;
    let (first, rest) = text.split_once('\n').ok_or(damaged("it is not whole"))?;
    let format = first.strip_prefix("format ").and_then(|format| format.parse().ok());
    let format: u32 = format.ok_or(damaged("it names no format"))?;
    let lines = rest.rfind("checksum ").map_or("", |at| &rest[..at]);
    // Before the format counts: a flipped bit in it is damage and no other version.
    if sealed_as(format, lines) != text {
        return Err(damaged("it does not match its checksum"));
    }
    if format != FORMAT {
        return Err(StoreError::Format { file: file.to_owned(), found: format, newest: FORMAT });
    }
    Ok(lines.to_owned())
}

/// Puts a manifest with these lines in the place of the one before, durably.
pub(crate) fn write(disk: &dyn Disk, file: &Path, lines: &str) -> Result<(), StoreError> {
    // Not "write": nothing that was stored is harmed when it fails, and it is done again from the beginning.
    replace(disk, file, seal(lines).as_bytes()).doing("replace the manifest", file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_anywhere_is_damage_and_no_other_format() {
        let whole = seal("set 1\npart a\n");
        let file = Path::new("manifest");
        assert_eq!(parse(whole.as_bytes(), file).unwrap(), "set 1\npart a\n");
        for at in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(matches!(parse(&bytes, file), Err(StoreError::Corrupt { .. })), "byte {at}");
            assert!(matches!(parse(&bytes[..at], file), Err(StoreError::Corrupt { .. })), "cut to {at}");
        }
        assert!(matches!(
            parse(sealed_as(4, "").as_bytes(), file),
            Err(StoreError::Format { found: 4, newest: FORMAT, .. })
        ));
    }
}
