//! JSON with faults: each costs the field, or else the object, that it is in, and no other.
//!
//! An object with a fault becomes a map that breaks off, so that the one decoder judges it: it is invalid, but what was read
//! before the fault and behind it may be a call for help. Whatever else stands in the place of an object is one report that
//! is none.

use super::limits::ENTRIES_MAX;
use super::number::put_word;
use super::scan::{Broken, Scanner};
use crate::decode::fields::Field;
use crate::dialect::reports::{Reports, TooMany};
use crate::encode::{string, text_of};
use crate::marker::{FIXARRAY, FIXMAP, MAP16, NIL};

/// Appends the reports of `text`: an object, a list of objects, or one after another. Says how many objects begin in it.
///
/// # Errors
/// When there are too many reports.
pub(super) fn read(text: &[u8], reports: &mut Reports) -> Result<usize, TooMany> {
    let mut reading = Reading::new(text, reports);
    reading.elements()?;
    Ok(reading.begun)
}

/// Appends the reports of a line, one at least unless it is empty: what is no object has none beside one that is.
///
/// # Errors
/// As [`read`].
pub(super) fn read_line(line: &[u8], reports: &mut Reports) -> Result<usize, TooMany> {
    let mut reading = Reading { is_line: true, ..Reading::new(line, reports) };
    reading.elements()?;
    let begun = reading.begun;
    if begun == 0 && !Scanner::new(line).is_blank() {
        reports.push(&[NIL])?;
    }
    Ok(begun)
}

struct Reading<'a, 'r> {
    scan: Scanner<'a>,
    reports: &'r mut Reports,
    /// The last string.
    text: Vec<u8>,
    begun: usize,
    /// The list within a list has a report.
    inner_said: bool,
    /// Only objects are reports.
    is_line: bool,
}

impl<'a, 'r> Reading<'a, 'r> {
    fn new(text: &'a [u8], reports: &'r mut Reports) -> Self {
        let scan = Scanner::new(text);
        Self { scan, reports, text: Vec::new(), begun: 0, inner_said: false, is_line: false }
    }

    fn elements(&mut self) -> Result<(), TooMany> {
        let mut depth = 0usize;
        // Nothing came since the bracket or the comma.
        let mut empty = true;
        loop {
            self.scan.space();
            match self.scan.peek() {
                None => return Ok(()),
                Some(b'{') => {
                    self.object()?;
                    empty = false;
                    self.inner_said = true;
                }
                Some(b'[') => {
                    self.scan.skip();
                    self.inner_said &= depth > 1;
                    depth += 1;
                    empty = true;
                }
                Some(b']') => {
                    self.scan.skip();
                    if depth > 1 {
                        self.no_object(depth)?;
                    }
                    depth = depth.saturating_sub(1);
                    empty = false;
                }
                Some(b',') => {
                    self.scan.skip();
                    if depth > 0 && empty {
                        self.no_object(depth)?;
                    }
                    empty = true;
                }
                Some(_) => {
                    self.pass_over(depth > 0);
                    self.no_object(depth)?;
                    empty = false;
                }
            }
        }
    }

    /// Appends something that is no report; once for all that an inner list holds, and never behind an object of it.
    fn no_object(&mut self, depth: usize) -> Result<(), TooMany> {
        if self.is_line || (depth > 1 && self.inner_said) {
            return Ok(());
        }
        self.inner_said = true;
        self.reports.push(&[NIL])
    }

    /// Goes past what stands in the place of an object, up to the next one.
    fn pass_over(&mut self, in_list: bool) {
        loop {
            match self.scan.peek() {
                None | Some(b',' | b']' | b'{') => return,
                Some(b'[') if !in_list => return,
                Some(b'[') => {
                    self.scan.enter_first();
                    if self.scan.leave_first().is_err() {
                        self.scan.mark_fault();
                        return self.scan.leave_broken();
                    }
                }
                // One that does not end in its line ends with it.
                Some(b'"') => _ = self.scan.string(&mut self.text),
                Some(_) => {
                    if self.scan.word().is_empty() {
                        self.scan.skip();
                    }
                }
            }
            self.scan.space();
        }
    }

    fn object(&mut self) -> Result<(), TooMany> {
        self.begun += 1;
        let head = self.reports.bytes.len();
        // As wide as the reader that goes by the book makes it, and filled in at the end.
        self.reports.bytes.extend_from_slice(&[MAP16, 0, 0]);
        let mut entries = 0;
        self.scan.enter_first();
        let whole = self.entries(&mut entries);
        if whole.is_err() {
            self.entries_behind(&mut entries);
        }
        // A map that announces more than it holds has broken off.
        let announced = if whole.is_ok() { entries } else { entries + 1 };
        self.reports.bytes[head + 1..head + 3].copy_from_slice(&announced.to_be_bytes());
        self.reports.close()
    }

    /// Reads the entries of an object, and counts those that are passed on.
    fn entries(&mut self, entries: &mut u16) -> Result<(), Broken> {
        self.scan.space();
        if self.scan.leave().is_ok() {
            return Ok(());
        }
        self.pairs(entries)
    }

    /// Reads the entries behind the first fault of an object, as far as they are its own: the flag may be among them.
    fn entries_behind(&mut self, entries: &mut u16) {
        self.scan.enter_broken();
        while self.scan.seek_key() {
            // A further fault costs no more than the first.
            _ = self.pairs(entries);
        }
        self.scan.leave_broken();
    }

    /// Reads entries up to the end of the object.
    fn pairs(&mut self, entries: &mut u16) -> Result<(), Broken> {
        loop {
            self.scan.space();
            self.scan.string(&mut self.text)?;
            let field = Field::of(&self.text).filter(|_| *entries < ENTRIES_MAX);
            self.scan.space();
            self.scan.take(b':')?;
            self.scan.space();
            self.entry(field)?;
            *entries += u16::from(field.is_some());
            self.scan.space();
            if self.scan.take(b',').is_err() {
                return self.scan.leave();
            }
        }
    }

    /// Writes key and value, or nothing when the value breaks off; without a field, only goes past the value.
    fn entry(&mut self, field: Option<Field>) -> Result<(), Broken> {
        let Some(field) = field else { return self.pass_value() };
        let before = self.reports.bytes.len();
        string(&mut self.reports.bytes, field.key());
        let read = self.value(field);
        if read.is_err() {
            self.reports.bytes.truncate(before);
        }
        read
    }

    fn value(&mut self, field: Field) -> Result<(), Broken> {
        let out = &mut self.reports.bytes;
        match self.scan.peek() {
            Some(b'"') => {
                self.scan.string(&mut self.text)?;
                text_of(out, &self.text);
            }
            // No field of a report is a container, and an empty one is refused for its type just as well.
            Some(bracket @ (b'{' | b'[')) => {
                self.scan.nested()?;
                out.push(if bracket == b'{' { FIXMAP } else { FIXARRAY });
            }
            _ => {
                let word = self.scan.word();
                if word.is_empty() {
                    return Err(Broken);
                }
                put_word(out, field, word);
            }
        }
        Ok(())
    }

    fn pass_value(&mut self) -> Result<(), Broken> {
        match self.scan.peek() {
            Some(b'"') => self.scan.string(&mut self.text),
            Some(b'{' | b'[') => self.scan.nested(),
            _ if self.scan.word().is_empty() => Err(Broken),
            _ => Ok(()),
        }
    }
}
