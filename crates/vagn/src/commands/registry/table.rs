//! Lists: a table for people, or a JSON array with an item a line.

use std::io::{self, Write, stdout};

use serde_json::Value;

use super::RegistryArgs;
use super::spool::Spool;
use crate::control::ControlRequest;
use crate::visible::{Form, visible};

/// A column: its head, its width, and the text of an item in it.
pub(super) type Column = (&'static str, usize, fn(&Value) -> String);

/// Prints the items of a list once all are there.
///
/// # Errors
/// The registry cannot be read, or standard output cannot be written.
pub(super) fn print(
    args: &RegistryArgs,
    request: &ControlRequest,
    columns: &[Column],
    none: &str,
) -> anyhow::Result<()> {
    let list = gather(args.json, columns, none, |take| args.ask(request, take))?;
    match list.pour(&mut stdout().lock()) {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => Err(err.into()),
        _ => Ok(()),
    }
}

/// Renders the items that `ask` gives.
fn gather(
    as_json: bool,
    columns: &[Column],
    none: &str,
    ask: impl FnOnce(&mut dyn FnMut(Value)) -> anyhow::Result<Value>,
) -> anyhow::Result<Spool> {
    let mut out = Spool::new();
    let (mut count, mut written) = (0_u64, Ok(()));
    ask(&mut |item| {
        if written.is_ok() {
            written =
                if as_json { json(&mut out, &item, count) } else { row(&mut out, &item, columns, count) };
        }
        count += 1;
    })?;
    written?;
    let last = match (as_json, count) {
        (true, 0) => "[]\n",
        (true, _) => "\n]\n",
        (false, 0) => none,
        (false, _) => "",
    };
    out.write_all(last.as_bytes())?;
    Ok(out)
}

fn json(out: &mut impl Write, item: &Value, before: u64) -> io::Result<()> {
    out.write_all(if before == 0 { b"[\n" } else { b",\n" })?;
    write!(out, "{}", visible(&item.to_string(), Form::Json))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_turns_nothing_around_on_a_terminal_in_a_list_of_json_either() {
        let item = json!({"vehicle_id": "bus\u{202e}7"});
        for as_json in [true, false] {
            let columns: [Column; 1] =
                [("ID", 0, |item| item["vehicle_id"].as_str().unwrap_or_default().into())];
            let ask = |take: &mut dyn FnMut(Value)| {
                take(item.clone());
                Ok(Value::Null)
            };
            let mut printed = Vec::new();
            gather(as_json, &columns, "", ask).unwrap().pour(&mut printed).unwrap();
            let printed = String::from_utf8(printed).unwrap();
            assert!(printed.is_ascii() && printed.contains("202e"), "{printed}");
            assert!(
                !as_json || serde_json::from_str::<Value>(&printed).unwrap() == json!([item]),
                "{printed}"
            );
        }
    }
}
