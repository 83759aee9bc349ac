//! The document: sections in a fixed order, each with its table, its plots, its aims and the commands that repeat it.

use serde_json::Value;

use crate::notes::Notes;
use crate::plot;
use crate::section::{Aim, Measured, ORDER, OTHERS, Section};
use crate::stats::grouped;

/// Text above all sections.
const INTRODUCTION: &str = "\
<!-- Written by `make bench`; what you change here by hand is lost. Notes go into bench/notes/<section>.md. -->
# Measured

`make bench` measures all of this and writes this page; `make bench ONLY=udp,overload` measures those sections anew and keeps
the rest, and `QUICK=1` shows in a few minutes that it works. Nothing here decides a test.

**How to read it.** Unless a section says otherwise the service is a release build pinned to one core and everything that sends
and asks is pinned to another, over loopback, with the log on (`fsync = \"1s\"`), in a fresh data directory. `968 k (950 k–1.01 M)`
is the middle, the least and the most of the repetitions. Ratios come from one run on one machine and carry over to others;
single figures do so less. *Stored* is what the service counts as stored, while the sender sends; what came after that does
not count. *Lost* is sent, but not stored: dropped by the kernel in front of a full receive buffer, or shed by the service; both are
counted and add up. `p99` is the time that 99 of 100 answers did not exceed. What stands under *What stands in the way* is written by
hand, in `docs/bench/notes/<section>.md`; all else comes from the measurement.
";

/// Heading of the notes of a section.
const NOTES: &str = "What stands in the way";

/// A document and the pictures it shows.
pub struct Document {
    /// The text, in Markdown.
    pub text: String,
    /// File name and SVG of each plot.
    pub pictures: Vec<(String, String)>,
}

/// Puts the sections together, each with its notes below it. Pictures are linked as `bench/<name>`.
pub fn document(sections: &[Section], notes: &Notes) -> Document {
    let mut text = INTRODUCTION.to_owned();
    text += &circumstances(sections);
    text += &aims(sections);
    let mut pictures = Vec::new();
    for section in sections {
        text += &body(section, &mut pictures);
        if let Some(note) = notes.of(&section.id) {
            text += &format!("\n### {NOTES}\n\n{note}\n");
        }
    }
    Document { text, pictures }
}

fn circumstances(sections: &[Section]) -> String {
    let mut stamps: Vec<(&Measured, Vec<&str>)> = Vec::new();
    for section in sections {
        let Some(stamp) = &section.measured else { continue };
        match stamps.iter_mut().find(|(known, _)| *known == stamp) {
            Some((_, ids)) => ids.push(&section.id),
            None => stamps.push((stamp, vec![&section.id])),
        }
    }
    let mut text = String::from("\n");
    for (stamp, ids) in &stamps {
        let of = if stamps.len() > 1 { format!(" ({})", ids.join(", ")) } else { String::new() };
        let quick = if stamp.quick { "; **quick runs**: too short for figures" } else { "" };
        text += &format!("- {}; commit `{}`, {}{quick}{of}\n", stamp.machine, stamp.commit, stamp.date);
    }
    let known = ORDER.iter().chain(&OTHERS);
    let missing: Vec<_> = known.filter(|id| sections.iter().all(|section| section.id != **id)).collect();
    if !missing.is_empty() {
        let named: Vec<_> = missing.iter().map(|id| format!("`{id}`")).collect();
        text += &format!("- Not measured yet: {}.\n", named.join(", "));
    }
    text
}

fn aims(sections: &[Section]) -> String {
    let all: Vec<_> =
        sections.iter().flat_map(|section| section.aims.iter().map(move |aim| (section, aim))).collect();
    if all.is_empty() {
        return String::new();
    }
    let reached = all.iter().filter(|(_, aim)| aim.reached).count();
    let mut text = format!(
        "\n## Aims\n\n{reached} of {} reached.\n\n| | aim | measured | |\n|---|---|---|---|\n",
        all.len()
    );
    for (section, aim) in all {
        let Aim { what, aim: wanted, got, reached } = aim;
        let verdict = if *reached { "reached" } else { "**missed**" };
        text += &format!(
            "| [{}](#{}) | {} | {} | {verdict} |\n",
            cell(what),
            anchor(&section.title),
            cell(&shown(wanted)),
            cell(&shown(got))
        );
    }
    text
}

fn body(section: &Section, pictures: &mut Vec<(String, String)>) -> String {
    let mut text = format!("\n## {}\n", section.title);
    if let Some(why) = &section.failed {
        text += &format!("\n**Not measured in full:** {}\n", why.replace('\n', " "));
    }
    for paragraph in &section.text {
        text += &format!("\n{paragraph}\n");
    }
    text += &table(&section.columns, &section.rows);
    for more in &section.tables {
        text += &format!("\n### {}\n{}", more.title, table(&more.columns, &more.rows));
    }
    for (number, drawn) in section.plots.iter().enumerate() {
        let name = format!("{}-{}.svg", section.id, number + 1);
        text += &format!("\n![{}](bench/{name})\n", drawn.title);
        pictures.push((name, plot::svg(drawn)));
    }
    if !section.commands.is_empty() {
        text += &format!("\nTo repeat it:\n\n```sh\n{}\n```\n", section.commands.join("\n"));
    }
    text
}

fn table(columns: &[String], rows: &[Vec<Value>]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    let heads: Vec<_> = columns.iter().map(|head| cell(head)).collect();
    let sides: Vec<_> = (0..heads.len()).map(|column| side(rows, column)).collect();
    let mut text = format!("\n| {} |\n|{}|\n", heads.join(" | "), sides.join("|"));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|value| cell(&shown(value))).collect();
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

/// Alignment of a column: figures are aligned to the right.
fn side(rows: &[Vec<Value>], column: usize) -> &'static str {
    let mut cells = rows.iter().filter_map(|row| row.get(column));
    if cells.all(is_figure) { "---:" } else { "---" }
}

fn is_figure(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::String(text) => {
            text.starts_with(|first: char| first.is_ascii_digit() || "–<-+".contains(first))
        }
        _ => false,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(number) if number.fract() == 0.0 => grouped(number),
            Some(number) if number.abs() >= 1000.0 => grouped(number),
            _ => number.to_string(),
        },
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        _ => String::new(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Makes the anchor that forges make from a heading.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::section::{Bound, Plot, Table};
    use crate::stats::short;

    fn section() -> Section {
        let mut section = Section::new("udp", "Positions in, over UDP");
        section.say("Some words.");
        section.heads(&["sent/s", "stored/s", "note"]);
        section.row([json!(5000), json!("4.9 k (4.8 k–5 k)"), json!("a|b")]);
        section.tables = vec![Table {
            title: "By thread".into(),
            columns: vec!["thread".into(), "share".into()],
            rows: vec![vec![json!("udp"), json!("4.0 %")]],
        }];
        section.plots = vec![Plot { title: "Stored".into(), ..Plot::default() }];
        section.command("make bench ONLY=udp");
        section.aim("stored/s", Bound::AtLeast(1e6), 9e5, short);
        section
    }

    #[test]
    fn shows_all_that_a_section_has() {
        let Document { text, pictures } = document(&[section()], &Notes::default());
        for part in [
            "\n## Positions in, over UDP\n\nSome words.\n\n| sent/s | stored/s | note |\n|---:|---:|---|\n",
            "| 5\u{202f}000 | 4.9 k (4.8 k–5 k) | a\\|b |\n\n### By thread\n\n| thread | share |\n|---|---:|\n",
            "| udp | 4.0 % |\n\n![Stored](bench/udp-1.svg)\n",
            "```sh\nmake bench ONLY=udp\n```\n",
            "0 of 1 reached.",
            "| [stored/s](#positions-in-over-udp) | ≥ 1 M | 900 k (0.90 of it) | **missed** |",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert_eq!(pictures[0].0, "udp-1.svg");
    }

    #[test]
    fn puts_notes_at_the_end_of_their_section() {
        let notes = Notes::from_iter([("udp", "The kernel copies."), ("visible", "Not measured.")]);
        let text = document(&[section(), Section::new("ack", "Acknowledged")], &notes).text;
        let part = "```\n\n### What stands in the way\n\nThe kernel copies.\n\n## Acknowledged\n";
        assert!(text.contains(part), "{part:?} is not in\n{text}");
        assert_eq!(text.matches("### What stands in the way").count(), 1);
    }

    #[test]
    fn says_what_was_not_measured() {
        let failed =
            Section { failed: Some("redis-server is missing".into()), ..Section::new("compare", "Beside") };
        let text = document(&[section(), failed], &Notes::default()).text;
        assert!(
            text.contains("Not measured yet: `sealed`, `ack`, `visible`,") && !text.contains("`udp`,"),
            "{text}"
        );
        assert!(text.contains("## Beside\n\n**Not measured in full:** redis-server is missing\n"));
    }

    #[test]
    fn tells_sections_of_different_runs_apart() {
        let stamped = |id: &str, commit: &str, quick| Section {
            measured: Some(Measured {
                commit: commit.into(),
                date: "2026-11-22".into(),
                machine: "2 cores".into(),
                quick,
            }),
            ..Section::new(id, id)
        };
        let shown = |second| document(&[stamped("udp", "abc", false), second], &Notes::default()).text;
        let text = shown(stamped("ack", "abc", false));
        assert!(text.contains("- 2 cores; commit `abc`, 2026-11-22\n"), "{text}");
        let text = shown(stamped("ack", "def", true));
        assert!(
            text.contains("commit `abc`, 2026-11-22 (udp)\n")
                && text.contains("too short for figures (ack)\n"),
            "{text}"
        );
    }
}
