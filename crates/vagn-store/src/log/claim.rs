//! The file `claimed`: the order number with which the last writer of a partition began.
//!
//! A power cut can take a writer's changes together with every trace of the numbers that they had. The file is made
//! durable before the first number is given, so that the next writer finds that they are taken, even by a clock that
//! stands still.

use crate::OrderNumber;
use crate::disk::{Disk, read_all, replace};
use crate::error::{Doing, StoreError};
use std::io;
use std::path::Path;

const FILE: &str = "claimed";

/// Returns the first order number of a writer that begins now, durably claimed. No change in the log has `end` or a
/// higher one.
pub(crate) fn claim(
    disk: &dyn Disk,
    dir: &Path,
    end: OrderNumber,
    now_ms: i64,
) -> Result<OrderNumber, StoreError> {
    let first = OrderNumber::of_new_writer(end.max(claimed(disk, dir)?), now_ms);
    let file = dir.join(FILE);
    replace(disk, &file, text(first).as_bytes()).doing("write", &file)?;
    Ok(first)
}

/// Returns the order number with which the last writer began. Zero where the file is not there or is damaged: then the
/// log and the clock have to do.
pub(crate) fn claimed(disk: &dyn Disk, dir: &Path) -> Result<OrderNumber, StoreError> {
    let file = dir.join(FILE);
    match disk.open(&file).and_then(|open| read_all(&*open)) {
        Ok(bytes) => Ok(parse(&bytes).unwrap_or_default()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(OrderNumber::default()),
        Err(err) => Err(err).doing("read", &file),
    }
}

fn parse(bytes: &[u8]) -> Option<OrderNumber> {
    let said = str::from_utf8(bytes).ok()?;
    let first = OrderNumber(said.lines().next()?.strip_prefix("first ")?.parse().ok()?);
    (text(first) == said).then_some(first)
}

fn text(first: OrderNumber) -> String {
    let content = format!("first {}\n", first.0);
    format!("{content}checksum {:08x}\n", crc32c::crc32c(content.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote_and_nothing_else() {
        let number = OrderNumber(1_800_000_000_000_000_000);
        let mut bytes = text(number).into_bytes();
        assert_eq!(parse(&bytes), Some(number));
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(parse(&bytes), None, "byte {at}");
            bytes[at] ^= 1;
        }
        assert_eq!(parse(b""), None);
    }
}
