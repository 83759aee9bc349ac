//! Tokens of JSON and of what comes near it.
//!
//! No recursion: open brackets are kept in a list, so that nesting of any depth costs no stack. Every step goes forward.

use super::limits::TEXT_MAX;

/// Mark of the order of bytes, which some programs write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// In place of an escape that stands for no character: no text with this byte is UTF-8, so no field takes it.
const NO_CHARACTER: u8 = 0xff;

/// The bytes do not go on as they must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// Position in a text.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Start of the last string: its end may be that of another one if a quote is missing.
    string_at: usize,
    /// The closing brackets that are awaited, the outermost first.
    open: Vec<u8>,
    /// Strings and brackets do not match up to the end, so they tell nothing about where the next object begins.
    mismatched: bool,
    /// All of the text, of which a part is read after a fault.
    all: &'a [u8],
    /// Begin of the next object, as far as it was sought.
    next_at: usize,
    /// Begin of the search for the next object if the one with the fault does not end.
    fault_from: usize,
    /// End of what was searched for the quote of a string that is longer than its line, and whether that is its end.
    searched: (usize, bool),
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            string_at: 0,
            open: Vec::new(),
            mismatched: false,
            all: text,
            next_at: 0,
            fault_from: 0,
            searched: (0, false),
        }
    }

    /// Returns the next byte, and does not go past it.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Goes past the next byte.
    pub(super) fn skip(&mut self) {
        self.at = self.text.len().min(self.at + 1);
    }

    /// Goes past the next byte if it is this one.
    pub(super) fn take(&mut self, byte: u8) -> Result<(), Broken> {
        if self.peek() != Some(byte) {
            return Err(Broken);
        }
        self.skip();
        Ok(())
    }

    /// Goes past white space and marks of the order of bytes.
    pub(super) fn space(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(0xef) if self.text[self.at..].starts_with(BYTE_ORDER_MARK) => {
                    self.at += BYTE_ORDER_MARK.len()
                }
                _ => return,
            }
        }
    }

    /// Returns true when nothing but white space lies ahead.
    pub(super) fn is_blank(&mut self) -> bool {
        self.space();
        self.peek().is_none()
    }

    /// Goes past a number or a name, or anything in the place of one.
    pub(super) fn word(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let word = &rest[..rest.iter().take_while(|byte| is_part_of_word(**byte)).count()];
        self.at += word.len();
        word
    }

    /// Begins an object or a list at its bracket.
    pub(super) fn enter(&mut self) {
        match self.peek() {
            Some(b'{') => self.open.push(b'}'),
            Some(b'[') => self.open.push(b']'),
            _ => return,
        }
        self.at += 1;
    }

    /// Begins an object or a list at its bracket that is in no other. Nothing before it is read again.
    pub(super) fn enter_first(&mut self) {
        self.open.clear();
        self.string_at = self.at + 1;
        self.enter();
    }

    /// Ends what was [begun](Self::enter_first), whatever is in it.
    pub(super) fn leave_first(&mut self) -> Result<(), Broken> {
        self.leave_to(0)
    }

    /// Ends an object or a list if this is the bracket.
    pub(super) fn leave(&mut self) -> Result<(), Broken> {
        match (self.open.last(), self.peek()) {
            (Some(awaited), Some(byte)) if *awaited == byte => {
                self.open.pop();
                self.at += 1;
                Ok(())
            }
            _ => Err(Broken),
        }
    }

    /// Goes past an object or a list, whatever is in it.
    pub(super) fn nested(&mut self) -> Result<(), Broken> {
        let depth = self.open.len();
        self.enter();
        self.leave_to(depth)
    }

    /// Goes past everything until no more than `depth` brackets are open.
    fn leave_to(&mut self, depth: usize) -> Result<(), Broken> {
        while self.open.len() > depth {
            match self.peek() {
                None => return Err(Broken),
                Some(b'"') => self.string(&mut Vec::new())?,
                Some(b'{' | b'[') => self.enter(),
                Some(b'}' | b']') => self.leave()?,
                Some(_) => self.at += 1,
            }
        }
        Ok(())
    }

    /// Marks the first fault of an object, from which its [further keys](Self::seek_key) are sought.
    ///
    /// By matching brackets, as long as they do match. Once they did not, no more is read than up to where another object
    /// begins, lest a body full of faults is read to its end for each of them.
    pub(super) fn enter_broken(&mut self) {
        self.mark_fault();
        if self.mismatched {
            if self.next_at <= self.at {
                let at = self.at;
                self.seek_object();
                self.next_at = self.at;
                self.at = at;
            }
            self.text = &self.all[..self.next_at];
        }
    }

    /// Marks a fault here: behind it the next object may begin.
    pub(super) fn mark_fault(&mut self) {
        // A quote that is missing shows only after the string that ran on over it.
        self.fault_from = self.string_at.min(self.at);
    }

    /// Goes to the next key of a broken object, or past its end: then there is none.
    pub(super) fn seek_key(&mut self) -> bool {
        while self.open.len() == 1 {
            let went_on = match self.peek() {
                None => return false,
                Some(b'"') => match self.key() {
                    Ok(true) => return true,
                    other => other.map(drop),
                },
                Some(b'{' | b'[') => self.nested(),
                Some(b'}' | b']') => self.leave(),
                Some(_) => {
                    self.at += 1;
                    Ok(())
                }
            };
            if went_on.is_err() {
                return false;
            }
        }
        false
    }

    /// Goes past a string, unless it is a key: it stands before a colon and not behind one.
    fn key(&mut self) -> Result<bool, Broken> {
        let from = self.at;
        let before = self.text[..from].iter().rev().find(|byte| **byte > b' ');
        self.string(&mut Vec::new())?;
        self.space();
        let is_key = self.peek() == Some(b':') && before != Some(&b':');
        if is_key {
            self.at = from;
        }
        Ok(is_key)
    }

    /// Ends a broken object or list: nothing more is done if its own bracket ended it, else the next object is sought behind the
    /// [fault](Self::mark_fault).
    pub(super) fn leave_broken(&mut self) {
        self.text = self.all;
        if self.open.is_empty() {
            return;
        }
        self.mismatched = true;
        self.at = self.fault_from;
        self.seek_object();
    }

    /// Goes to the next brace that is followed by a quote and no value of a key: `{"` is in no string, where the quote would
    /// be escaped.
    fn seek_object(&mut self) {
        let mut before = b' ';
        while let Some(byte) = self.peek() {
            let begins = byte == b'{' && before != b':' && self.is_before_quote();
            if begins {
                return;
            }
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
            self.at += 1;
        }
    }

    fn is_before_quote(&self) -> bool {
        let rest = &self.text[self.at + 1..];
        rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'"')
    }

    /// Reads a string into `out`, which is cleared: its bytes, at most [`TEXT_MAX`]. They are not UTF-8 if the string is not.
    /// A string ends with its line at the latest, unless a quote in a later line is clearly its end.
    pub(super) fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        self.string_at = self.at;
        self.take(b'"')?;
        out.clear();
        loop {
            match self.peek() {
                None => return Err(Broken),
                Some(b'\n') if !self.runs_on() => return Err(Broken),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(out);
                }
                Some(byte) => {
                    self.at += 1;
                    put(out, &[byte]);
                }
            }
        }
    }

    /// Returns true when the next quote ends a value. Nothing is searched twice.
    fn runs_on(&mut self) -> bool {
        if self.at < self.searched.0 {
            return self.searched.1;
        }
        let mut escaped = false;
        let quote = self.text[self.at..].iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        let end = quote.map_or(self.text.len(), |len| self.at + len + 1);
        let behind = self.text[end..].iter().find(|byte| !byte.is_ascii_whitespace());
        self.searched = (end, matches!(behind, Some(b',' | b'}' | b']')));
        self.searched.1
    }

    /// Reads what follows a backslash.
    fn escape(&mut self, out: &mut Vec<u8>) {
        let Some(byte) = self.peek().filter(|byte| *byte != b'\n') else { return };
        self.at += 1;
        let read = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let read = self.unicode();
                return match read {
                    Some(read) => put(out, read.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => put(out, &[NO_CHARACTER]),
                };
            }
            _ => NO_CHARACTER,
        };
        put(out, &[read]);
    }

    /// Reads the four digits after `\u`, and a second such escape when the first is half of a pair.
    fn unicode(&mut self) -> Option<char> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        let rest = &self.text[self.at..];
        let second =
            rest.strip_prefix(b"\\u").and_then(hex).filter(|second| (0xdc00..0xe000).contains(second))?;
        self.at += 6;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = hex(&self.text[self.at..])?;
        self.at += 4;
        Some(digits)
    }
}

/// Reads four hexadecimal digits.
fn hex(text: &[u8]) -> Option<u32> {
    let digits = text.first_chunk::<4>()?;
    digits.iter().try_fold(0, |number, digit| Some(16 * number + char::from(*digit).to_digit(16)?))
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    if out.len() < TEXT_MAX {
        out.extend_from_slice(bytes);
    }
}

/// Returns true for everything but space and what has a meaning of its own.
fn is_part_of_word(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && !matches!(byte, b'"' | b',' | b':' | b'[' | b']' | b'{' | b'}')
}
