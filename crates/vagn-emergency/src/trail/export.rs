//! Exports: the trail as lines of JSON, and a check of such lines that needs no store.
//!
//! The first line is the base, `{"base":"<seq>:<hex>"}`; then comes a line per entry; the last one is the head,
//! `{"head":"<seq>:<hex>"}`. Several such pieces, one behind the other, are one export.

use std::io::{self, BufRead, Write};

use redb::{ReadTransaction, ReadableTable};
use serde::Deserialize;
use serde_json::json;

use super::chain::Checker;
use super::read::{Ends, TrailReader, ends};
use super::{BadHead, Broken, Entry, Head, KEPT, Verified};

/// The reason for which an export was not found to be whole.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    /// It is not whole.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// A line is neither an entry nor one of the ends.
    #[error("line {line} is no entry: {why}")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// Reason.
        why: String,
    },
    /// The base is missing.
    #[error(
        "it begins with entry {seq}, and nothing says what came before: its first line should be {{\"base\":…}}; the \
         head of entry {}, if you know it (--head), will do",
        seq.saturating_sub(1)
    )]
    NoBase {
        /// Number of its first entry.
        seq: u64,
    },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Writes the trail that `txn` sees. A line that cannot be read is passed on as it is: it is evidence.
pub(super) fn write(txn: &ReadTransaction, out: &mut impl Write) -> io::Result<()> {
    let Ends { base, head } = ends(txn).map_err(io::Error::other)?;
    writeln!(out, "{}", json!({ "base": base.to_string() }))?;
    if let Some(reader) = TrailReader::open(txn).map_err(io::Error::other)? {
        for row in reader.trail.iter().map_err(io::Error::other)? {
            let (seq, line) = row.map_err(io::Error::other)?;
            let text = match reader.entry(line.value()).map_err(io::Error::other)? {
                Some(entry) => entry.to_line(),
                None => unreadable(seq.value(), line.value()),
            };
            writeln!(out, "{text}")?;
        }
    }
    writeln!(out, "{}", json!({ "head": head.to_string() }))
}

fn unreadable(seq: u64, line: &[u8]) -> String {
    json!({ "seq": seq, "unreadable": String::from_utf8_lossy(line) }).to_string()
}

/// A line that is one of the ends.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Base(String),
    Head(String),
}

/// Follows an exported trail, which must contain the heads `known` from outside. Without its last line it counts as cut
/// off, unless a known head vouches for its last entry. It may begin late, as a part of a trail does; but not behind a known
/// head, which it then does not have, unless it is so long that the trail itself may have let go of that.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify_export(lines: impl BufRead, known: &[Head]) -> Result<Verified, ExportFault> {
    let mut reading = Reading { known, checker: None, head: None };
    for (line, text) in (1..).zip(lines.split(b'\n')) {
        let text = text?;
        if !text.trim_ascii().is_empty() {
            reading.line(line, &text)?;
        }
    }
    let Reading { checker, head, .. } = reading;
    let checker = match checker {
        Some(checker) => checker,
        None => Checker::new(Head::EMPTY, known)?,
    };
    match head {
        Some(head) => checker.ends_with(head)?,
        None if checker.is_known() => {}
        None => {
            let end = checker.at().seq;
            // A later head that is known says more than that one is missing.
            checker.finish()?;
            return Err(Broken::NoHead { end }.into());
        }
    }
    let verified = checker.finish()?;
    if !verified.too_old.is_empty() {
        verified.check_begin(KEPT)?;
    }
    Ok(verified)
}

fn read_head(line: u64, head: &str) -> Result<Head, ExportFault> {
    head.parse().map_err(|err: BadHead| wrong(line, err))
}

fn wrong(line: u64, why: impl ToString) -> ExportFault {
    ExportFault::Line { line, why: why.to_string() }
}

struct Reading<'a> {
    known: &'a [Head],
    checker: Option<Checker>,
    head: Option<Head>,
}

impl Reading<'_> {
    fn line(&mut self, line: u64, text: &[u8]) -> Result<(), ExportFault> {
        match serde_json::from_slice(text) {
            Ok(End::Head(head)) => {
                self.settle()?;
                self.head = Some(read_head(line, &head)?);
            }
            Ok(End::Base(base)) => self.base(line, read_head(line, &base)?)?,
            Err(_) => {
                let entry = Entry::from_line(text).map_err(|err| wrong(line, err))?;
                self.settle()?;
                self.checker_at(&entry)?.link(&entry)?;
            }
        }
        Ok(())
    }

    /// Goes on behind a head that was not the end. The head of a piece is that of the whole trail, so it may lie far ahead.
    fn settle(&mut self) -> Result<(), Broken> {
        match (self.head.take(), &mut self.checker) {
            (Some(head), Some(checker)) => checker.expect(head),
            _ => Ok(()),
        }
    }

    /// Begins a piece, the first one or one that goes on where the last one ended.
    fn base(&mut self, line: u64, base: Head) -> Result<(), ExportFault> {
        match self.checker.as_ref().map(Checker::at) {
            None => self.checker = Some(Checker::new(base, self.known)?),
            Some(at) if at == base => {}
            Some(at) => return Err(wrong(line, format!("it says that {base} came before, but {at} did"))),
        }
        Ok(())
    }

    /// Returns the checker. The first entry needs no line before it at the beginning of a trail, nor where a known head
    /// stands in.
    fn checker_at(&mut self, entry: &Entry) -> Result<&mut Checker, ExportFault> {
        if self.checker.is_none() {
            let beginning = [Head::EMPTY];
            let mut known = self.known.iter().chain(&beginning);
            let base = known.find(|head| head.seq.checked_add(1) == Some(entry.seq));
            let base = base.ok_or(ExportFault::NoBase { seq: entry.seq })?;
            self.checker = Some(Checker::new(*base, self.known)?);
        }
        Ok(self.checker.as_mut().expect("it was put there"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chain::tests::trail;
    use super::*;

    /// The lines of an export of ten entries, of which the first `gone` have left the trail.
    fn lines(gone: usize) -> Vec<String> {
        let entries = trail(10);
        let base = if gone == 0 { Head::EMPTY } else { entries[gone - 1].head() };
        let mut lines = vec![json!({ "base": base.to_string() }).to_string()];
        lines.extend(entries[gone..].iter().map(Entry::to_line));
        lines.push(json!({ "head": entries[9].head().to_string() }).to_string());
        lines
    }

    fn check(lines: &[String], known: &[Head]) -> Result<Verified, String> {
        verify_export(lines.join("\n").as_bytes(), known).map_err(|err| err.to_string())
    }

    fn head(seq: usize) -> Head {
        trail(10)[seq - 1].head()
    }

    #[test]
    fn a_whole_export_is_whole() {
        for gone in [0, 1, 9, 10] {
            let found = check(&lines(gone), &[head(10)]).unwrap();
            assert_eq!((found.entries, found.head), (10 - gone as u64, head(10)));
        }
        assert_eq!(check(&lines(0)[1..], &[]).unwrap().entries, 10, "the base is plain at the beginning");
        assert_eq!(
            check(&lines(4)[1..], &[head(4)]).unwrap().entries,
            6,
            "a known head stands in for the base"
        );
        assert_eq!(check(&lines(0)[..11], &[head(10)]).unwrap().entries, 10, "one stands in for the head");
    }

    #[test]
    fn says_what_is_wrong() {
        let refused = |lines: &[String], known: &[Head], want: &str| {
            let said = check(lines, known).unwrap_err();
            assert!(said.contains(want), "{said}");
        };
        refused(&lines(0)[..5], &[], "entries behind 4 may have been cut off");
        refused(&lines(0)[..5], &[head(10)], "with entry 4, but went on to 10:");
        refused(&lines(4)[1..], &[], "begins with entry 5");
        refused(&[], &[], "entries behind 0 may have been cut off");
        let mut twice = lines(0);
        twice.insert(3, twice[0].clone());
        refused(&twice, &[], "line 4 is no entry: it says that 0:");
        let mut longer = lines(0);
        longer.push(longer[10].clone());
        refused(&longer, &[], "entry 11 is missing");
        let mut pieces = [&lines(0)[..5], &lines(0)[11..], &lines(4)[1..]].concat();
        assert_eq!(check(&pieces, &[]).unwrap().entries, 10, "a head far ahead is of the whole trail");
        pieces.push(lines(0)[11].clone());
        assert_eq!(check(&pieces, &[]).unwrap().entries, 10, "a last piece may have no entries");
        pieces[5] = lines(0)[11].replace("10:", "3:");
        refused(&pieces, &[], "the end of the trail, which is 3:");
        let mut missing = lines(0);
        missing.remove(10);
        refused(&missing, &[], "with entry 9, but went on to 10:");
        refused(&lines(4), &[head(3)], "its oldest entries were cut off");
        let mut wrong_base = lines(4);
        wrong_base[0] = lines(3)[0].replace("\"3:", "\"4:");
        refused(&wrong_base, &[], "does not follow from the base");
    }

    proptest! {
        #[test]
        fn a_cut_is_always_found(at: prop::sample::Index) {
            let whole = lines(0).join("\n");
            let cut = &whole.as_bytes()[..at.index(whole.len())];
            prop_assert!(verify_export(cut, &[]).is_err());
            prop_assert!(verify_export(cut, &[head(10)]).is_err() || cut.len() >= whole.rfind('\n').unwrap());
        }

        #[test]
        fn a_flipped_byte_is_found_or_means_the_same(gone in 0..9_usize, at: prop::sample::Index, mask in 1_u8..) {
            let mut bytes = lines(gone).join("\n").into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            if let Ok(found) = verify_export(&*bytes, &[]) {
                prop_assert_eq!(found.head, head(10));
                prop_assert_eq!(found.entries, 10 - gone as u64);
            }
        }
    }
}
