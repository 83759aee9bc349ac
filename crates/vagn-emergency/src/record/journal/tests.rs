//! The journal: what was written is read again, whatever became of the files since.

use super::*;
use crate::disk::forgetful::Forgetful;

/// A journal on two files, and the files.
struct Bench {
    journal: Journal,
    files: [Forgetful; 2],
}

impl Bench {
    fn begin(first: u64) -> Self {
        let file = Forgetful::with_power_for(usize::MAX, Vec::new());
        let files = [file.clone(), file.beside(Vec::new())];
        let mut journal = Journal::of(boxed(&files), 7);
        journal.begin_anew(first, None).unwrap();
        Self { journal, files }
    }

    fn save(&mut self, number: u64, len: usize) {
        self.journal.append(number, &vec![b'x'; len]).unwrap();
        self.journal.sync().unwrap();
        self.journal.confirm(number).unwrap();
    }

    fn content(&self) -> JournalContent {
        JournalContent::of(self.files.each_ref().map(Forgetful::image))
    }

    fn reopen(self) -> Self {
        let content = self.content();
        let journal = Journal::go_on(boxed(&self.files), &content).unwrap();
        Self { journal, files: self.files }
    }
}

fn boxed(files: &[Forgetful; 2]) -> [JournalFile; 2] {
    files.each_ref().map(|file| Box::new(file.clone()) as JournalFile)
}

#[track_caller]
fn check(content: &JournalContent, first: u64, last: u64, confirmed: u64) {
    assert_eq!((content.first(), content.last(), content.confirmed), (first, last, confirmed));
    assert_eq!(content.faults, [""; 0]);
}

#[test]
fn is_bounded_and_always_has_the_latest_saves() {
    let mut bench = Bench::begin(1);
    check(&bench.content(), 1, 0, 0);
    for number in 1..=100 {
        bench.save(number, 100_000);
        let content = bench.content();
        check(&content, content.first(), number, number);
        assert!(content.first() <= number.saturating_sub(TURN_MIN as u64 - 1).max(1));
        assert!(bench.files.iter().all(|file| file.image().len() as u64 <= SIZE));
    }
    assert!(bench.content().first() > 70, "the oldest do not go");
}

#[test]
fn a_save_that_is_larger_than_a_file_makes_it_longer_for_one_turn() {
    let mut bench = Bench::begin(1);
    bench.save(1, 3 << 20);
    for number in 2..60 {
        bench.save(number, 100_000);
        check(&bench.content(), bench.content().first(), number, number);
    }
    assert!(bench.files.iter().all(|file| file.image().len() as u64 <= SIZE));
}

#[test]
fn goes_on_after_a_restart_at_any_save() {
    let mut bench = Bench::begin(5);
    for number in 5..40 {
        bench.save(number, 150_000);
        bench = bench.reopen();
        check(&bench.content(), bench.content().first(), number, number);
    }
}

#[test]
fn a_save_that_was_not_confirmed_may_be_forgotten_and_written_over() {
    let mut bench = Bench::begin(1);
    bench.save(1, 500);
    bench.journal.append(2, &[b'y'; 400]).unwrap();
    check(&bench.content(), 1, 2, 1);
    let mut content = bench.content();
    content.forget_behind(1);
    bench.journal = Journal::go_on(boxed(&bench.files), &content).unwrap();
    bench.save(2, 300);
    check(&bench.content(), 1, 2, 2);
    bench.save(3, 300);
    check(&bench.content(), 1, 3, 3);
}

#[test]
fn one_that_is_begun_anew_has_the_last_save_whether_the_older_file_is_there_still_or_not() {
    let mut bench = Bench::begin(1);
    (1..=15).for_each(|number| bench.save(number, 100_000));
    let older = bench.files[1].image();
    assert!(bench.content().first() == 1 && !older.is_empty(), "the other file has the latest");
    bench.journal.begin_anew(16, Some(&[b'x'; 100_000])).unwrap();
    check(&bench.content(), 15, 15, 15);
    let cut_in_between = JournalContent::of([bench.files[0].image(), older]);
    assert_eq!((cut_in_between.last(), cut_in_between.confirmed), (15, 15));
    assert_eq!(cut_in_between.faults, [""; 0]);
    bench = bench.reopen();
    bench.save(16, 500);
    check(&bench.content(), 15, 16, 16);
}

#[test]
fn what_was_synced_is_there_after_a_cut_anywhere() {
    let work = |left: usize, until: u64| -> (u64, [Forgetful; 2]) {
        let file = Forgetful::with_power_for(left, Vec::new());
        let files = [file.clone(), file.beside(Vec::new())];
        let mut journal = Journal::of(boxed(&files), 7);
        if journal.begin_anew(1, None).is_err() {
            return (0, files);
        }
        let mut safe = 0;
        for number in 1..=until {
            let saved = journal.append(number, &[b'x'; 90_000]).and_then(|()| journal.sync());
            if saved.is_err() {
                break;
            }
            safe = number;
            if journal.confirm(number).is_err() {
                break;
            }
        }
        (safe, files)
    };
    let steps = work(usize::MAX, 40).1[0].done();
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for cut in 0..steps {
        let (safe, files) = work(cut, 40);
        let content = JournalContent::of(files.each_ref().map(|file| file.found_later(&mut rng)));
        let last = content.last();
        assert!(
            last >= safe && last <= safe + 1,
            "cut at {cut}, seed {seed}: {safe} were safe, {last} are there"
        );
        let first = content.first();
        assert!(
            first <= (safe + 1).saturating_sub(TURN_MIN as u64).max(1),
            "cut at {cut}, seed {seed}: {first}"
        );
    }
}

#[test]
fn a_flipped_bit_is_found_or_does_no_harm() {
    let mut bench = Bench::begin(1);
    for number in 1..=30 {
        bench.save(number, 60_000);
    }
    let whole = bench.files.each_ref().map(Forgetful::image);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut found = 0;
    for _ in 0..200 {
        let mut files = whole.clone();
        let file = rng.usize(..2);
        let at = if rng.bool() { rng.usize(..64) } else { rng.usize(..files[file].len()) };
        files[file][at] ^= 1 << rng.u8(..8);
        let content = JournalContent::of(files);
        assert!(content.last() <= 30 && content.confirmed <= content.last());
        found += usize::from(content.last() < 30 || !content.faults.is_empty());
    }
    assert!(found > 50, "{found}");
}
