//! The manifest of a node's files: the format of all of them, and the data set that they are of.

use std::io;

use super::error::{Doing, FilesError};
use super::note;
use super::site::{NotReplaced, Site, shard_of};

/// Name of the file.
pub(super) const FILE: &str = "manifest";

/// The one format that this version reads and writes.
const FORMAT: u32 = 1;

/// Longest manifest, in bytes.
const LENGTH_MAX: u64 = 4_096;

/// Reason why a text is no manifest that can be used.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Damaged,
    Format(u32),
}

/// Checks that the files are of this format and data set. Changes nothing. Returns false where there are none.
pub(super) fn check(site: &Site) -> Result<bool, FilesError> {
    let file = site.root.join(FILE);
    let open = match site.disk.open(&file) {
        Ok(open) => open,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return check_new(site).map(|()| false),
        Err(err) => return Err(err).doing("open", &file),
    };
    let size = open.size().doing("read", &file)?;
    if size > LENGTH_MAX {
        return Err(FilesError::Damaged { file });
    }
    let mut bytes = vec![0; size as usize];
    let got = open.read_at(0, &mut bytes).doing("read", &file)?;
    match parse(&bytes[..got]) {
        Ok(found) if found == site.settings.data_set => Ok(true),
        Ok(found) => {
            let asked = site.settings.data_set.clone();
            Err(FilesError::OtherDataSet { file, found: found.to_owned(), asked })
        }
        Err(Refused::Format(found)) => Err(FilesError::Format { file, found, newest: FORMAT }),
        Err(Refused::Damaged) => Err(FilesError::Damaged { file }),
    }
}

/// Checks that nothing tells of a manifest that is gone.
fn check_new(site: &Site) -> Result<(), FilesError> {
    let names = match site.disk.list(&site.root) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.doing("list", &site.root)?,
    };
    match names.iter().find(|name| *name == note::FILE || shard_of(name).is_some()) {
        Some(name) => Err(FilesError::Missing { file: site.root.join(FILE), beside: site.root.join(name) }),
        None => Ok(()),
    }
}

/// Writes the manifest of new files.
pub(super) fn begin(site: &Site) -> Result<(), FilesError> {
    let text = seal(FORMAT, &site.settings.data_set);
    let file = site.root.join(FILE);
    let written = site.replace(&file, |open| open.append(text.as_bytes()));
    written.map_err(NotReplaced::into_error).doing("write", &file)
}

fn seal(format: u32, data_set: &str) -> String {
    let lines = format!("format {format}\ndata-set {data_set}\n");
    let sum = crc32c::crc32c(lines.as_bytes());
    format!("{lines}checksum {sum:08x}\n")
}

/// Returns the data set that a manifest names.
fn parse(bytes: &[u8]) -> Result<&str, Refused> {
    let text = str::from_utf8(bytes).map_err(|_| Refused::Damaged)?;
    let (lines, last) = text.rfind("checksum ").map(|at| text.split_at(at)).ok_or(Refused::Damaged)?;
    if last != format!("checksum {:08x}\n", crc32c::crc32c(lines.as_bytes())) {
        return Err(Refused::Damaged);
    }
    let (format, rest) = lines.split_once('\n').ok_or(Refused::Damaged)?;
    let format = format.strip_prefix("format ").and_then(|format| format.parse().ok());
    // Of another format the rest may be anything.
    match format.ok_or(Refused::Damaged)? {
        FORMAT => {}
        other => return Err(Refused::Format(other)),
    }
    rest.strip_prefix("data-set ").and_then(|rest| rest.strip_suffix('\n')).ok_or(Refused::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_anywhere_is_damage_and_no_other_format() {
        let whole = seal(FORMAT, "fleet");
        assert_eq!(parse(whole.as_bytes()), Ok("fleet"));
        for at in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(parse(&bytes), Err(Refused::Damaged), "byte {at}");
            assert_eq!(parse(&whole.as_bytes()[..at]), Err(Refused::Damaged), "cut to {at}");
        }
        assert_eq!(parse(seal(2, "fleet").as_bytes()), Err(Refused::Format(2)));
    }
}
