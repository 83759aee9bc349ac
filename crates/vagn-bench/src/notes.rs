//! Notes on the measurements, written by hand: a file `<section>.md` each, in `docs/bench/notes`.
//!
//! A measurement says by how much an aim was missed, but not why. The reason is written there, and no measurement overwrites
//! it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::section::{self, Section};

/// Notes in Markdown, by the id of their section. Links in them are relative to `docs`, where the document is.
#[derive(Debug, Default)]
pub struct Notes(BTreeMap<String, String>);

impl Notes {
    /// Reads the notes in this folder, if it exists. A section need not have any, and an empty file is none.
    ///
    /// # Errors
    /// When a file cannot be read, or has the name of no section: it would not be shown.
    pub fn read(dir: &Path, sections: &[Section]) -> anyhow::Result<Self> {
        let mut notes = BTreeMap::new();
        if !dir.exists() {
            return Ok(Self(notes));
        }
        for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
            let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            if !section::is_known(&id) && sections.iter().all(|section| section.id != id) {
                bail!("{} belongs to no section", path.display());
            }
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            notes.insert(id, text.trim().to_owned());
        }
        Ok(Self(notes))
    }

    /// Returns the note about a section.
    pub fn of(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str).filter(|note| !note.is_empty())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Notes {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(notes: T) -> Self {
        Self(notes.into_iter().map(|(id, note)| (id.to_owned(), note.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_notes_of_known_and_of_measured_sections() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in
            [("udp.md", "The kernel copies.\n\n"), ("mine.md", "Ours."), ("ack.md", "\n"), ("a.txt", "")]
        {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let notes = Notes::read(dir.path(), &[Section::new("mine", "Mine")]).unwrap();
        assert_eq!(notes.of("udp"), Some("The kernel copies."));
        assert_eq!((notes.of("mine"), notes.of("ack"), notes.of("a")), (Some("Ours."), None, None));
        let err = Notes::read(dir.path(), &[]).unwrap_err().to_string();
        assert!(err.ends_with("mine.md belongs to no section"), "{err}");
    }

    #[test]
    fn needs_no_notes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Notes::read(&dir.path().join("notes"), &[]).unwrap().of("udp"), None);
    }
}
