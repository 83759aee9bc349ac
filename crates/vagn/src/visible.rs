//! Makes visible what a vehicle or a person could hide in a name: control characters, which a terminal obeys, marks that turn the
//! direction of writing, and characters without width. With them one name could look like another, or a line like a line of ours.
//!
//! The pages of `web/` show the same characters in the same way.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// Characters beside the control characters that show nothing, or that turn others around.
const HIDDEN: [(char, char); 25] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Kind of text, which decides what an escape looks like and what needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A single field or line.
    Line,
    /// Text of several lines.
    Lines,
    /// Text of several lines with the colours of a terminal, in which all that comes from outside was escaped before.
    Coloured,
    /// JSON: an escape leaves its meaning as it was.
    Json,
}

impl Form {
    fn keeps(self, character: char) -> bool {
        match self {
            Self::Line => false,
            Self::Lines | Self::Json => matches!(character, '\n' | '\t'),
            Self::Coloured => matches!(character, '\n' | '\t' | '\u{1b}'),
        }
    }
}

/// Returns `text` with an escape, such as `\u{202e}`, for each character that is not seen.
pub(crate) fn visible(text: &str, form: Form) -> Cow<'_, str> {
    let hides = |character: char| is_hidden(character) && !form.keeps(character);
    if !text.contains(hides) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if hides(character) { escape(&mut shown, character, form) } else { shown.push(character) }
    }
    shown.into()
}

/// Returns `text` as one value in a line, visible as it is. It stands in quotation marks where a part of it could be taken for something
/// else: another field, another word, or nothing at all.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let divides = |character: char| character.is_whitespace() || matches!(character, '=' | '"');
    if !text.is_empty() && !text.contains(divides) {
        return visible(text, Form::Line);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    shown.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => shown.extend(['\\', character]),
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            hidden if is_hidden(hidden) => escape(&mut shown, hidden, Form::Line),
            seen => shown.push(seen),
        }
    }
    shown.push('"');
    shown.into()
}

fn is_hidden(character: char) -> bool {
    // Most text is plain ASCII.
    if character < '\u{7f}' {
        return character < ' ';
    }
    character.is_control() || HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

fn escape(shown: &mut String, character: char, form: Form) {
    if form != Form::Json {
        write!(shown, "\\u{{{:x}}}", u32::from(character)).expect("a string takes all that is written");
        return;
    }
    for unit in character.encode_utf16(&mut [0; 2]) {
        write!(shown, "\\u{unit:04x}").expect("a string takes all that is written");
    }
}

/// A writer that makes visible what is in the text that passes through it.
#[derive(Debug, Clone)]
pub(crate) struct VisibleWriter<W> {
    inner: W,
    form: Form,
    /// Begin of a character whose rest has not come yet.
    begun: Vec<u8>,
}

impl<W> VisibleWriter<W> {
    pub(crate) fn new(inner: W, form: Form) -> Self {
        Self { inner, form, begun: Vec::new() }
    }
}

impl<W: io::Write> io::Write for VisibleWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            // Only the end may be the begin of a character; what is wrong elsewhere is replaced.
            Err(err) if err.error_len().is_none() => err.valid_up_to(),
            _ => self.begun.len(),
        };
        let rest = self.begun.split_off(whole);
        let text = std::mem::replace(&mut self.begun, rest);
        self.inner.write_all(visible(&String::from_utf8_lossy(&text), self.form).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn no_two_names_look_alike_by_what_cannot_be_seen() {
        for (text, expected) in [
            ("bus\u{200b}7", r"bus\u{200b}7"),
            ("\u{202e}7 sub", r"\u{202e}7 sub"),
            ("bus\u{2066} 7\u{2069}", r"bus\u{2066} 7\u{2069}"),
            ("\u{1b}[31mbus\u{9b}\u{7f}", r"\u{1b}[31mbus\u{9b}\u{7f}"),
            ("bus 7\naccepted", r"bus 7\u{a}accepted"),
            ("bus\u{e0041}\u{3164}\u{fe0f}\u{2028}", r"bus\u{e0041}\u{3164}\u{fe0f}\u{2028}"),
        ] {
            assert_eq!(visible(text, Form::Line), expected);
        }
        for seen in ["", "bus 7", "Bus-07 · Süd", "автобус", "אוטובוס 7", "巴士", "🚑"] {
            assert!(matches!(visible(seen, Form::Line), Cow::Borrowed(same) if same == seen));
        }
    }

    #[test]
    fn a_value_in_a_line_ends_where_it_ends() {
        for (text, expected) in [
            ("bus-7", "bus-7"),
            (r"bus\7", r"bus\7"),
            ("bus 7 test=true", "\"bus 7 test=true\""),
            ("id=7", "\"id=7\""),
            (r#"a"b\"#, r#""a\"b\\""#),
            ("", "\"\""),
            (" ", "\" \""),
            ("a\nb\t\u{202e}", r#""a\nb\t\u{202e}""#),
            ("a\u{a0}b\u{3000}", "\"a\u{a0}b\u{3000}\""),
            ("bus\u{200b}7", r"bus\u{200b}7"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn lines_stay_lines_and_colours_only_where_they_are_ours() {
        let text = "\u{1b}[1mone\u{1b}[0m\n\ttwo\u{202e}\n";
        assert_eq!(visible(text, Form::Lines), "\\u{1b}[1mone\\u{1b}[0m\n\ttwo\\u{202e}\n");
        assert_eq!(visible(text, Form::Coloured), "\u{1b}[1mone\u{1b}[0m\n\ttwo\\u{202e}\n");
    }

    #[test]
    fn an_escape_in_json_means_what_it_meant() {
        let value = serde_json::json!({"id": "a\u{202e}b\u{9b}c\u{e0041}d\n\u{1b}\u{7f}"});
        let line = format!("{value}\n");
        let shown = visible(&line, Form::Json);
        assert!(!shown.trim_end().contains(is_hidden) && shown.contains("\\u202e"), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn a_writer_shows_what_passes_through_it() {
        let mut out = Vec::new();
        let mut writer = VisibleWriter::new(&mut out, Form::Lines);
        // Byte by byte, as pieces may end within a character.
        "bus\u{200b} Süd\n".bytes().for_each(|byte| writer.write_all(&[byte]).unwrap());
        writer.write_all(b"\xff!").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "bus\\u{200b} Süd\n\u{fffd}!");
    }
}
