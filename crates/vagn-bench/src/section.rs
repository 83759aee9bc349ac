//! Results of one measurement: a section of the document as JSON, written by this program or by a script.
//!
//! `make bench` writes `<work>/<id>.json`; here they are stamped with commit, machine and date, kept in
//! `docs/bench/results`, and read again when only some of them are measured anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Sections that this program measures, in the order of the document.
pub const ORDER: [&str; 13] = [
    "udp", "sealed", "ack", "visible", "nearby", "map", "memory", "restart", "cluster", "overload",
    "compare", "scaling", "profile",
];

/// Sections of the scripts, which come next. Sections that are named nowhere come last, by their id.
pub const OTHERS: [&str; 12] = [
    "browser", "pipeline", "hop", "decode", "index", "log", "json", "guards", "soak", "attacks", "capture",
    "backup",
];

/// One section of the document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Section {
    /// Id, one word: the name of its file, and the word that `ONLY=` takes.
    pub id: String,
    /// Heading in the document.
    pub title: String,
    /// Paragraphs in Markdown, above the table.
    pub text: Vec<String>,
    /// Heads of the columns; empty if there is no table.
    pub columns: Vec<String>,
    /// Rows of the table: texts as they are, numbers with their digits grouped.
    pub rows: Vec<Vec<Value>>,
    /// Further tables below, each under its own heading.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// Plots below the table.
    pub plots: Vec<Plot>,
    /// Commands that repeat the measurement.
    pub commands: Vec<String>,
    /// Aims, each with its result.
    pub aims: Vec<Aim>,
    /// Reason why the result is missing or not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Circumstances of the measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// A table with a heading.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// Heading above it.
    pub title: String,
    /// Heads of its columns.
    pub columns: Vec<String>,
    /// Rows, as those of a section.
    pub rows: Vec<Vec<Value>>,
}

/// A plot of lines over a shared horizontal axis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plot {
    /// Title of the plot.
    pub title: String,
    /// Horizontal axis, shared by all lines.
    pub x: Axis,
    /// Vertical axis, shared by all lines.
    pub y: Axis,
    /// Lines of the plot.
    pub series: Vec<Series>,
}

/// An axis of a plot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Axis {
    /// Quantity along it, with its unit.
    pub label: String,
    /// True if it is logarithmic.
    pub log: bool,
}

/// A line of a plot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Points from left to right.
    pub points: Vec<[f64; 2]>,
}

/// An aim and its result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Aim {
    /// Quantity that was measured.
    pub what: String,
    /// Limit that was aimed at.
    pub aim: Value,
    /// Value that was measured.
    pub got: Value,
    /// True if the aim was reached.
    pub reached: bool,
}

/// The circumstances of a measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Commit of the source that was measured.
    pub commit: String,
    /// Day of the measurement.
    pub date: String,
    /// Machine that it was measured on.
    pub machine: String,
    /// True for short runs, which show that the measuring works but give no figures.
    pub quick: bool,
}

impl Section {
    /// Makes an empty section.
    pub fn new(id: &str, title: &str) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), ..Self::default() }
    }

    /// Adds a paragraph above the table.
    pub fn say(&mut self, paragraph: impl Into<String>) {
        self.text.push(paragraph.into());
    }

    /// Sets the heads of the columns.
    pub fn heads(&mut self, columns: &[&str]) {
        self.columns = columns.iter().map(|&column| column.to_owned()).collect();
    }

    /// Adds a row to the table.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<Value>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Adds a command that repeats the measurement.
    pub fn command(&mut self, command: impl Into<String>) {
        self.commands.push(command.into());
    }

    /// Adds an aim with its result `got`.
    pub fn aim(&mut self, what: impl Into<String>, aim: Bound, got: f64, show: impl Fn(f64) -> String) {
        self.aims.push(Aim {
            what: what.into(),
            aim: format!("{} {}", aim.sign(), show(aim.limit())).into(),
            got: match aim.missed_by(got) {
                None => show(got),
                Some(times) => format!("{} ({times})", show(got)),
            }
            .into(),
            reached: aim.missed_by(got).is_none(),
        });
    }

    /// Writes the section for the document.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, dir: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let file = dir.join(format!("{}.json", self.id));
        let text = serde_json::to_string_pretty(self).context("write a section as json")?;
        fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))
    }
}

/// A limit, from below or from above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Reached by this value and all above.
    AtLeast(f64),
    /// Reached by this value and all below.
    AtMost(f64),
}

impl Bound {
    fn sign(self) -> &'static str {
        match self {
            Self::AtLeast(_) => "≥",
            Self::AtMost(_) => "≤",
        }
    }

    fn limit(self) -> f64 {
        match self {
            Self::AtLeast(limit) | Self::AtMost(limit) => limit,
        }
    }

    /// Says by how much `got` misses it; `None` when it does not.
    fn missed_by(self, got: f64) -> Option<String> {
        match self {
            Self::AtLeast(limit) if got < limit => Some(format!("{:.2} of it", got / limit)),
            Self::AtMost(limit) if got.is_nan() || got > limit => Some(match limit {
                0.0 => "too many".to_owned(),
                limit => format!("{:.2} times it", got / limit),
            }),
            Self::AtLeast(_) if got.is_nan() => Some("not measured".to_owned()),
            _ => None,
        }
    }
}

/// Moves new results from `work` to `kept`.
///
/// # Errors
/// When a file cannot be read or moved, or does not name its commit.
pub fn collect(work: &Path, kept: &Path) -> anyhow::Result<()> {
    for (file, section) in read(work)? {
        anyhow::ensure!(section.measured.is_some(), "{file} does not say what was measured; remove it");
        section.save(kept)?;
        fs::remove_file(work.join(&file)).with_context(|| format!("remove {file}"))?;
    }
    Ok(())
}

/// Reads all sections of a folder, in the order of the document.
///
/// # Errors
/// When a file cannot be read.
pub fn all(dir: &Path) -> anyhow::Result<Vec<Section>> {
    let mut sections: Vec<_> = read(dir)?.into_values().collect();
    sections.sort_by_key(|section| place(&section.id));
    Ok(sections)
}

/// Returns true when a section of this name can be measured, by this program or by a script.
pub fn is_known(id: &str) -> bool {
    ORDER.contains(&id) || OTHERS.contains(&id)
}

fn place(id: &str) -> (usize, String) {
    let known = ORDER.iter().chain(&OTHERS);
    (known.clone().position(|known| *known == id).unwrap_or(known.count()), id.to_owned())
}

fn read(dir: &Path) -> anyhow::Result<BTreeMap<String, Section>> {
    let mut sections = BTreeMap::new();
    let Ok(entries) = fs::read_dir(dir) else { return Ok(sections) };
    for entry in entries {
        let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let section =
            serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        sections.insert(name, section);
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_by_how_much_an_aim_is_missed() {
        let check = |bound: Bound, got: f64, want: Option<&str>| {
            assert_eq!(bound.missed_by(got).as_deref(), want, "{bound:?} {got}");
        };
        check(Bound::AtLeast(1000.0), 1000.0, None);
        check(Bound::AtLeast(1000.0), 900.0, Some("0.90 of it"));
        check(Bound::AtLeast(1.0), f64::NAN, Some("not measured"));
        check(Bound::AtMost(130.0), 130.0, None);
        check(Bound::AtMost(130.0), 260.0, Some("2.00 times it"));
        check(Bound::AtMost(0.0), 3.0, Some("too many"));
    }

    #[test]
    fn reads_the_results_of_scripts() {
        let text = r#"{"id":"index","title":"Index","text":["a"],"columns":["n"],"rows":[["x", 5, 1.5]],
            "plots":[{"title":"p","x":{"label":"n","log":true},"y":{"label":"ns","log":false},
            "series":[{"name":"s","points":[[1,2],[3.5,4]]}]}],
            "commands":[],"aims":[{"what":"w","aim":"8","got":7.5,"reached":true}]}"#;
        let section: Section = serde_json::from_str(text).unwrap();
        assert_eq!(section.plots[0].series[0].points, [[1.0, 2.0], [3.5, 4.0]]);
        assert_eq!((section.rows[0].len(), section.measured), (3, None));
    }

    #[test]
    fn keeps_the_results_of_sections_that_are_not_measured_again() {
        let work = tempfile::tempdir().unwrap();
        let kept = tempfile::tempdir().unwrap();
        let stamp = |commit: &str| Measured { commit: commit.to_owned(), ..Measured::default() };
        let measure = |ids: &[&str], commit| {
            for id in ids {
                let measured = Some(stamp(commit));
                Section { measured, ..Section::new(id, id) }.save(work.path()).unwrap();
            }
            collect(work.path(), kept.path()).unwrap();
        };
        measure(&["aaa", "index", "udp", "overload"], "one");
        measure(&["overload", "ack"], "two");
        let seen: Vec<_> = all(kept.path()).unwrap();
        let seen: Vec<_> =
            seen.iter().map(|it| (it.id.as_str(), it.measured.as_ref().unwrap().commit.as_str())).collect();
        assert_eq!(
            seen,
            [("udp", "one"), ("ack", "two"), ("overload", "two"), ("index", "one"), ("aaa", "one")]
        );
        assert!(all(work.path()).unwrap().is_empty());
        Section::new("ack", "Of an unknown day").save(work.path()).unwrap();
        assert!(collect(work.path(), kept.path()).unwrap_err().to_string().contains("ack.json"));
    }
}
