//! Entry of the journal: all that one save has put into the store, so that the same save can be made again.
//!
//! Its content is a line of JSON with the heads of the trail before and after it and the salts that it drew, then the drafts,
//! each with its length before it (4 bytes, little-endian). With the same salts the same save gives the same hashes, so
//! the heads that notices have carried stay true.

use serde::{Deserialize, Serialize};

use crate::record::draft::Draft;
use crate::trail::{Head, Salts};

/// One save.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// Number of the save, from 1 without a gap.
    pub number: u64,
    /// Head of the trail before it.
    pub before: Head,
    /// Head of the trail after it.
    pub after: Head,
    /// Salts that it drew for subjects that were new.
    pub salts: Salts,
    /// What was saved.
    pub drafts: Vec<Draft>,
}

/// What stands in front of the drafts.
#[derive(Serialize, Deserialize)]
struct Preface {
    before: String,
    after: String,
    salts: Salts,
}

/// Returns the content of an entry.
pub(crate) fn content_of(before: Head, after: Head, salts: &Salts, drafts: &[Draft]) -> Vec<u8> {
    let preface = Preface { before: before.to_string(), after: after.to_string(), salts: salts.clone() };
    let mut content = serde_json::to_vec(&preface).expect("numbers and texts can always be written");
    content.push(b'\n');
    for draft in drafts {
        let bytes = draft.to_bytes();
        let len = u32::try_from(bytes.len()).expect("a draft has some kilobytes");
        content.extend(len.to_le_bytes());
        content.extend(bytes);
    }
    content
}

impl JournalEntry {
    /// Reads the entry `number` from its content.
    ///
    /// # Errors
    /// The reason for which it cannot be read, although no byte of it is damaged: another version has written it.
    pub(super) fn read(number: u64, content: &[u8]) -> Result<Self, String> {
        let mut parts = content.splitn(2, |byte| *byte == b'\n');
        let preface = parts.next().unwrap_or_default();
        let preface: Preface = serde_json::from_slice(preface).map_err(|err| err.to_string())?;
        let mut rest = parts.next().unwrap_or_default();
        let mut drafts = Vec::new();
        while !rest.is_empty() {
            let (len, behind) = rest.split_first_chunk().ok_or("a draft is cut off")?;
            let len = u32::from_le_bytes(*len) as usize;
            let (draft, behind) = behind.split_at_checked(len).ok_or("a draft is cut off")?;
            drafts.push(Draft::from_bytes(draft).map_err(|err| err.to_string())?);
            rest = behind;
        }
        let head = |text: &str| text.parse::<Head>().map_err(|err| err.to_string());
        let (before, after) = (head(&preface.before)?, head(&preface.after)?);
        Ok(Self { number, before, after, salts: preface.salts, drafts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IncidentId;
    use crate::record::incident::Incident;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let incident = |number| Draft::from(Incident::example(IncidentId::from_u128(number), "bus\n7"));
        let drafts = vec![incident(1), incident(2)];
        let after = Head { seq: 3, hash: [7; 32] };
        let mut salts = Salts::default();
        salts.draw(crate::trail::SubjectId::Incident(IncidentId::from_u128(1)));
        let content = content_of(Head::EMPTY, after, &salts, &drafts);
        let entry = JournalEntry::read(9, &content).unwrap();
        assert_eq!(entry, JournalEntry { number: 9, before: Head::EMPTY, after, salts, drafts });
        assert!(JournalEntry::read(9, &content[..content.len() - 1]).is_err());
        assert!(JournalEntry::read(9, b"{}").is_err());
    }
}
