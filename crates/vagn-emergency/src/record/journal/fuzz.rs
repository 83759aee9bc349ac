//! A journal of any bytes: it is read as far as it is whole, and each save in it is read as it was written.

use vagn_fuzz::{Meter, Target};

use super::content::JournalContent;
use super::entry::{JournalEntry, content_of};
use super::frame::{FileHead, HEAD_LEN, sum_of};

/// Shows all targets of the crate what an input takes.
#[global_allocator]
static METER: Meter = Meter;

const WORDS: &[&str] = &[
    "vagnincj",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "\\u0000",
    "\"state\":\"resolved\"",
    "\"format\":1",
    "\"track\":[]",
    "\n",
    "-1",
    "1e400",
    "9223372036854775808",
];

/// Two files in one: the length of the first (2 bytes, little-endian), the first, and the second.
fn body(bytes: &[u8]) {
    let Some((len, files)) = bytes.split_first_chunk() else { return };
    let (first, second) = files.split_at(usize::from(u16::from_le_bytes(*len)).min(files.len()));
    check([first.to_vec(), second.to_vec()]);
    // With checksums that fit, as no accident leaves them: what they protect is looked at, too.
    check([resealed(first), resealed(second)]);
}

fn check(files: [Vec<u8>; 2]) {
    let most = files.iter().map(Vec::len).max().unwrap_or_default().max(HEAD_LEN) as u64;
    let is_blank = files.iter().flatten().all(|byte| *byte == 0);
    let mut content = JournalContent::of(files);
    assert_eq!(content.is_blank, is_blank);
    assert!(content.end() <= most, "ends at {} of {most}", content.end());
    assert!(content.first() <= content.last().saturating_add(1));
    assert!(content.confirmed <= content.last(), "{} of {}", content.confirmed, content.last());
    let saves = content.behind(0);
    for save in &saves {
        assert!((content.first()..=content.last()).contains(&save.number));
        let bytes = content_of(save.before, save.after, &save.salts, &save.drafts);
        let again = JournalEntry::read(save.number, &bytes).expect("what was written is read");
        assert_eq!(format!("{again:?}"), format!("{save:?}"));
    }
    assert!(saves.is_sorted_by(|one, next| one.number < next.number));
}

/// The same, with checksums that fit.
fn resealed(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let Some(head) = file.first_chunk_mut::<HEAD_LEN>() else { return file };
    let sum = crc32c::crc32c(&head[..HEAD_LEN - 4]);
    head[HEAD_LEN - 4..].copy_from_slice(&sum.to_le_bytes());
    let Ok(Some(head)) = FileHead::read(&file) else { return file };
    let mut at = HEAD_LEN;
    while let Some(len) = file[at..].first_chunk().map(|len| u32::from_le_bytes(*len) as usize) {
        let Some(record) = file[at..].get_mut(..len).filter(|record| record.len() >= 17) else { break };
        let sum = sum_of(head, record);
        record[4..8].copy_from_slice(&sum.to_le_bytes());
        at += len;
    }
    file
}

#[test]
fn any_journal_is_read_as_far_as_it_is_whole() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "journal", words: WORDS, body }.check();
}
