//! A file of the census with any content: it is read as it was written, or refused.

use std::path::Path;
use std::sync::Arc;

use vagn_fuzz::Target;
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::FaultyDisk;

use super::file::{CensusFiles, END_BYTES, Part};
use super::read::{CensusError, Remembered, entry};
use super::rows::ROUNDS;
use super::vehicle_hash::HashKey;

const PART: Part = Part { number: 2, of: 4 };

const KEY: HashKey = HashKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);

const WORDS: &[&str] =
    &["vagncens", "\u{1}\0\0\0", "\u{2}\0\0\0", "\u{4}\0\0\0", "\0\0\0\0\0\0\0\0", "\u{7f}"];

fn body(bytes: &[u8]) {
    check(bytes);
    // With a checksum that fits, as whoever may write the file can make it.
    if let Some(summed) = bytes.len().checked_sub(size_of::<u32>()) {
        let crc = crc32c::crc32c(&bytes[..summed]);
        check(&[&bytes[..summed], &crc.to_le_bytes()].concat());
    }
}

fn check(bytes: &[u8]) {
    let remembered = match Remembered::read(&mut &*bytes, bytes.len() as u64, PART) {
        Ok(remembered) => remembered,
        Err(CensusError::Io(err)) => panic!("all bytes are there: {err}"),
        Err(CensusError::Damaged(_) | CensusError::Newer(_)) => return,
    };
    let again = written(remembered.key, remembered.entries(), remembered.latest);
    assert_eq!(
        (again.len(), &again[..36]),
        (bytes.len(), &bytes[..36]),
        "the same but for the order of entries"
    );
    assert_eq!(again[again.len() - END_BYTES..][..8], bytes[bytes.len() - END_BYTES..][..8]);
    let read_again = Remembered::read(&mut &*again, again.len() as u64, PART).expect("it was written");
    assert_eq!(read_again, remembered);
    for entry in remembered.entries() {
        assert!((1..=ROUNDS).contains(&remembered.rounds(entry >> 4)), "{entry:#x}");
    }
}

fn written(key: HashKey, entries: &[u64], latest: u64) -> Vec<u8> {
    let disk = FaultyDisk::new();
    let files = CensusFiles::new(Arc::new(disk.clone()), "census".into(), PART.of);
    let mut writer = files.begin(PART.number as usize, key, entries.len(), 0).expect("the disk works");
    writer.add(entries).and_then(|()| writer.finish(latest)).expect("the disk works");
    let file = disk.open(Path::new("census/2-of-4")).expect("it is there");
    let mut bytes = vec![0; file.size().expect("the disk works") as usize];
    file.read_at(0, &mut bytes).expect("the disk works");
    bytes
}

#[test]
fn any_file_of_the_census_is_read_as_it_was_written_or_refused() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "census", words: WORDS, body }.check();
}

#[test]
fn the_corpus_of_the_census_is_of_this_format() {
    let some = [entry(7, 1), entry(u64::MAX >> 4, ROUNDS), entry(0x0012_3456_789a_bcde, 5)];
    let many: Vec<_> =
        (0..40).map(|number| entry(number * 0x0111_1111_1111, number as u32 % 10 + 1)).collect();
    for (name, entries, latest) in
        [("empty", &[][..], 0), ("some", &some, u64::MAX), ("many", &many, 1_795_860_000_000_000_000)]
    {
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "census", name, &written(KEY, entries, latest));
    }
}
