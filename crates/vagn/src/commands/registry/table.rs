//! Lists: a table for people, or a JSON array with an item a line.

use std::io::{self, BufWriter, Write, stdout};

use serde_json::Value;

use super::RegistryArgs;
use crate::control::ControlRequest;
use crate::visible::{Form, visible};

/// A column: its head, its width, and the text of an item in it.
pub(super) type Column = (&'static str, usize, fn(&Value) -> String);

/// Prints the items of a list as they come, so that a million need no memory.
///
/// # Errors
/// The registry cannot be read, or standard output cannot be written.
pub(super) fn print(
    args: &RegistryArgs,
    request: &ControlRequest,
    columns: &[Column],
    none: &str,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    let (mut count, mut written) = (0_u64, Ok(()));
    args.ask(request, &mut |item| {
        if written.is_ok() {
            written =
                if args.json { json(&mut out, &item, count) } else { row(&mut out, &item, columns, count) };
        }
        count += 1;
    })?;
    let last = match (args.json, count) {
        (true, 0) => "[]\n",
        (true, _) => "\n]\n",
        (false, 0) => none,
        (false, _) => "",
    };
    match written.and_then(|()| out.write_all(last.as_bytes())).and_then(|()| out.flush()) {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => Err(err.into()),
        _ => Ok(()),
    }
}

fn json(out: &mut impl Write, item: &Value, before: u64) -> io::Result<()> {
    out.write_all(if before == 0 { b"[\n" } else { b",\n" })?;
    write!(out, "{item}")
}

fn row(out: &mut impl Write, item: &Value, columns: &[Column], before: u64) -> io::Result<()> {
    if before == 0 {
        line(out, columns, |(head, ..)| (*head).to_owned())?;
    }
    line(out, columns, |(_, _, text)| visible(&text(item), Form::Line).into_owned())
}

fn line(out: &mut impl Write, columns: &[Column], text: impl Fn(&Column) -> String) -> io::Result<()> {
    let cells: Vec<_> = columns.iter().map(|column| format!("{:<1$}", text(column), column.1)).collect();
    writeln!(out, "{}", cells.join("  ").trim_end())
}

/// Returns the day and minute of a time in an item, `-` where it has none.
pub(super) fn minute(item: &Value, name: &str) -> String {
    item[name].as_str().and_then(|time| time.get(..16)).map_or("-".into(), |time| time.replace('T', " "))
}
