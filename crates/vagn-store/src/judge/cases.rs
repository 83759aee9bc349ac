//! Cases of judging, by name and by chance: the model and the store give the same fates, and keep the same.

use std::collections::HashMap;

use super::model::*;
use super::*;
use vagn_wire::{Report, VehicleId, ms_of_number};

/// A vehicle as the store judges it.
#[derive(Default)]
struct Judged {
    kept: Option<Sighting>,
    count: Count,
    receive_seq: u64,
    left: HashMap<KeyTag, Count>,
}

impl Judged {
    /// As an index lets a vehicle leave.
    fn leave(&mut self) {
        let Some(_) = self.kept.take() else { return };
        let mut count = std::mem::take(&mut self.count);
        if let Some(key) = count.key() {
            count.set_repeated(false);
            self.left.entry(key).and_modify(|left| left.merge(&count)).or_insert(count);
        }
    }

    fn judge(&mut self, sent: Sent) -> Fate {
        let position = Position::new(sent.p as f64 / 10.0 + 1.0, 1.0).unwrap();
        let mut report = Report::new(VehicleId::new("bus").unwrap(), position);
        (report.event_time_ms, report.odd) = match sent.t.filter(|_| sent.readable).map(ms_of_number) {
            Some((ms, odd)) => (Some(ms), odd),
            None => (None, Oddities::NONE),
        };
        if !sent.readable {
            report.odd.add(Oddity::TimeUnreadable);
        }
        self.receive_seq += 1;
        let (new, odd) = Sighting::of(&report, position, sent.a, self.receive_seq);
        let new = Sighting { seq: sent.n, ..new };
        let evidence = Evidence { seal: sent.key.map(|key| Seal { key, more: sent.more }), odd };
        let plain = self.count.is_none()
            && self.kept.is_some_and(|kept| is_plainly_newer(kept.event_time_ms, &new, &evidence));
        if self.kept.is_none() {
            // As an index finds it where a vehicle is new.
            self.count = sent.key.and_then(|key| self.left.get(&key).copied()).unwrap_or_default();
        }
        let is_new = self.kept.is_none();
        let verdict = judge(self.kept.as_ref(), &mut self.count, &new, &evidence);
        match sent.key {
            Some(key) if is_new && verdict.fate == Fate::Stored => drop(self.left.remove(&key)),
            _ => {}
        }
        let found = (verdict, self.count);
        assert!(!plain || found == (Verdict::of(Fate::Stored), Count::NONE), "{sent:?} gave {found:?}");
        if verdict.fate == Fate::Stored {
            self.kept = Some(if verdict.arrival_stands_in { at_arrival(&new) } else { new });
        }
        verdict.fate
    }

    fn kept(&self) -> Option<Kept> {
        let place = |kept: &Sighting| ((kept.position.lat() - 1.0) * 10.0).round() as i64;
        self.kept.as_ref().map(|kept| Kept {
            e: kept.event_time_ms,
            own: kept.own_time,
            unsure: kept.unsure,
            a: kept.receive_time_ms,
            p: place(kept),
        })
    }
}

const A: i64 = 1_795_860_000_000;
const S: Fate = Fate::Stored;
const D: Fate = Fate::Duplicate;
const L: Fate = Fate::Stale;

fn at(a: i64, p: i64) -> Sent {
    Sent { a, p, t: None, n: None, readable: true, key: None, more: false }
}

impl Sent {
    fn time(self, t: i64) -> Sent {
        Sent { t: Some(t), ..self }
    }

    fn number(self, n: u64) -> Sent {
        Sent { n: Some(n), ..self }
    }

    fn unreadable(self) -> Sent {
        Sent { readable: false, ..self }
    }

    fn sealed(self, key: u8) -> Sent {
        Sent { key: Some(KeyTag::of_key_id([key; 8])), ..self }
    }

    fn more(self, more: bool) -> Sent {
        Sent { more, ..self }
    }
}

fn case(name: &str, want: &[Fate], place: i64, reports: &[Sent]) {
    let (mut model, mut judged) = (Model::default(), Judged::default());
    let by_model: Vec<_> = reports.iter().map(|sent| model.judge(*sent)).collect();
    assert_eq!((by_model.as_slice(), model.kept.unwrap().p), (want, place), "{name}, by the model");
    let fates: Vec<_> = reports.iter().map(|sent| judged.judge(*sent)).collect();
    assert_eq!((fates.as_slice(), judged.kept().unwrap().p), (want, place), "{name}");
}

#[test]
fn a_repeat_is_the_same_number_and_nothing_newer() {
    case(
        "counter restarts, own time later",
        &[S, S],
        2,
        &[at(A, 1).number(0).time(A), at(A + 1, 2).number(0).time(A + 1)],
    );
    let a = A + 9_000_000;
    case("both sent at once", &[S, S], 2, &[at(a, 1).number(0).time(A), at(a, 2).number(0).time(A + MIN)]);
    let stuck = [at(A, 1).number(0), at(A + 3_000, 2).number(0), at(A + 12_000, 3).number(0)];
    case("counter never moves, no time", &[S, D, S], 3, &stuck);
    let low = [at(A, 1).number(1_000), at(A + 20_000, 2).number(1), at(A + 21_000, 3).number(2)];
    case("counter restarts low after 20 s", &[S, S, S], 3, &low);
}

#[test]
fn what_is_sent_again_is_a_duplicate_or_late() {
    let twice =
        [at(A, 1).number(1), at(A, 2).number(2), at(A + 1_000, 1).number(1), at(A + 1_000, 2).number(2)];
    case("batch sent twice", &[S, S, D, D], 2, &twice);
    case("5, 6, 5", &[S, S, D], 6, &[at(A, 5).number(5), at(A + 10, 6).number(6), at(A + 20, 5).number(5)]);
    let batch = |a| (0..200).map(move |i| at(a, i).number(i as u64));
    let reports: Vec<_> = batch(A).chain(batch(A + 500)).collect();
    let want = [vec![S; 200], vec![L; 136], vec![D; 64]].concat();
    case("batch of 200 sent twice", &want, 199, &reports);
    let own = [
        at(A, 1).time(A - 2_000),
        at(A, 2).time(A - 1_000),
        at(A + 1, 1).time(A - 2_000),
        at(A + 1, 2).time(A - 1_000),
    ];
    case("sent twice, own times only", &[S, S, L, D], 2, &own);
    let overtaken = [at(A, 5).number(5), at(A + 1, 7).number(7), at(A + 2, 6).number(6)];
    case("overtaken by UDP, no time", &[S, S, L], 7, &overtaken);
}

#[test]
fn a_time_ahead_of_arrival_outranks_nothing() {
    let ahead = [at(A, 1).time(A + 50 * MIN), at(A + 10, 2).time(A - 40), at(A + 20, 3)];
    case("ahead, right, none", &[S, S, S], 3, &ahead);
    let numbered = [ahead[0].number(1), ahead[1].number(2), ahead[2].number(3)];
    case("ahead, right, none, numbered", &[S, S, S], 3, &numbered);
}

#[test]
fn a_fix_stored_under_a_wrong_clock_of_the_service_loses() {
    let wrong = [at(A, 1), at(A + 10 * YEAR, 2), at(A + 2_000, 3)];
    case("our clock was 10 years ahead", &[S, S, S], 3, &wrong);
    let own = [wrong[0].time(A), wrong[1].time(A + 1_000), wrong[2].time(A + 2_000)];
    case("the same with own times", &[S, S, S], 3, &own);
    case("the same with a constant number", &[S, S, S], 3, &wrong.map(|sent| sent.number(0)));
}

#[test]
fn a_time_that_cannot_be_is_mended_or_replaced() {
    let seconds = [at(A + 9_000_000, 1).time(A / 1_000), at(A + 9_000_000, 2).time(A + 1)];
    case("seconds instead of ms", &[S, S], 2, &seconds);
    let rollover = [at(A, 1).time(A - 619_315_200_000), at(A + 1_000, 2).time(A + 900)];
    case("week rollover", &[S, S], 2, &rollover);
    let reset = [at(A, 1).time(A), at(A + 1_000, 2).time(946_684_800_000), at(A + 2_000, 3).time(A + 1_900)];
    case("clock reset among right ones", &[S, S, S], 3, &reset);
    let old = [at(A, 1).time(-389_232_000_000), at(A, 2).time(-389_210_400_000)];
    case("an old trace keeps its times", &[S, S], 2, &old);
    let honest = [at(A, 1).time(A), at(A + 1_000, 2).unreadable(), at(A + 2_000, 3).time(A + 1_900)];
    case("unreadable after honest", &[S, L, S], 3, &honest);
    case("always unreadable", &[S, S], 2, &[at(A, 1).unreadable(), at(A + 1_000, 2).unreadable()]);
    let before = [at(A, 1).time(-9_000_000_000_000_000_000), at(A + 1_000, 2).time(A + 900)];
    case("time before 1900", &[S, S], 2, &before);
}

#[test]
fn a_sealed_report_is_taken_once() {
    let a = A as u64;
    let replayed = [
        at(A, 1).number(a),
        at(A + 1_000, 2).number(a + 50),
        at(A + MIN, 2).number(a + 50),
        at(A + MIN, 1).number(a),
    ];
    case("replayed later, no times", &[S, S, D, D], 2, &replayed.map(|sent| sent.sealed(1)));
    let below = [at(A, 1).number(a), at(A + 1_000, 2).number(a + 100), at(A + MIN, 1).number(a)];
    case("below the window", &[S, S, L], 2, &below.map(|sent| sent.sealed(1)));
    let low = [
        at(A, 1).number(1_000).time(A),
        at(A + 99_000, 2).number(7).time(A + 98_000),
        at(A + 99_500, 3).number(1_001).time(A + 99_000),
    ];
    case("never begins anew", &[S, L, S], 3, &low.map(|sent| sent.sealed(1)));
    let call = [
        at(A, 60).number(a + 60).time(A + 60),
        at(A + 1, 1).number(a + 1).time(A + 1),
        at(A + 2, 2).number(a + 2).time(A + 2),
    ];
    case("a call overtakes 60 waiting", &[S, L, L], 60, &call.map(|sent| sent.sealed(1)));
    let envelope: Vec<_> = [0, 50]
        .iter()
        .flat_map(|r| (1..4).map(move |i| at(A + r, i).number(a).time(A + i).sealed(1).more(i > 1)))
        .collect();
    case("three in one envelope, then again", &[S, S, S, D, D, D], 3, &envelope);
}

#[test]
fn a_count_belongs_to_its_key() {
    let a = A as u64;
    let sealed_now = [at(A, 1).number(9_000_000_000_000_000), at(A + 1_000, 2).number(a).sealed(1)];
    case("open before, sealed now", &[S, S], 2, &sealed_now);
    let first = at(A, 1).number(a).time(A).sealed(1);
    let other = at(A + 1_000, 2).number(5).time(A + 900).sealed(2);
    let again = Sent { a: A + 2_000, ..first };
    case("another gateway, then the first one's datagram again", &[S, S, L], 2, &[first, other, again]);
}

#[test]
fn a_sealed_report_that_was_taken_is_known_when_its_vehicle_has_left() {
    let a = A as u64;
    let sent: Vec<_> = [0, 100, 101]
        .into_iter()
        .zip(1..)
        .map(|(n, p)| at(A + n as i64, p).number(a + n).sealed(1))
        .collect();
    let envelope =
        [at(A + 200, 4).number(a + 102).sealed(1), at(A + 200, 5).number(a + 102).sealed(1).more(true)];
    let all: Vec<_> = sent.iter().chain(&envelope).copied().collect();
    let again = |vehicle: &mut dyn FnMut(Sent) -> Fate| {
        let later = all.iter().map(|sent| Sent { a: A + DAY, ..*sent });
        later.map(vehicle).collect::<Vec<_>>()
    };
    let (mut model, mut judged) = (Model::default(), Judged::default());
    for sent in &all {
        assert_eq!((model.judge(*sent), judged.judge(*sent)), (S, S));
    }
    for _ in 0..2 {
        model.leave();
        judged.leave();
        // The first one is below the window.
        let want = [L, D, D, D, D];
        assert_eq!(again(&mut |sent| model.judge(sent)), want);
        assert_eq!(again(&mut |sent| judged.judge(sent)), want);
        assert!(judged.kept().is_none() && model.kept.is_none(), "it is not back");
        // What is new brings it back, with all that was seen.
        let new = at(A + DAY, 9).number(a + 103).sealed(1);
        let fates = (model.judge(new), judged.judge(new));
        if fates == (D, D) {
            continue;
        }
        assert_eq!(fates, (S, S));
        assert_eq!(again(&mut |sent| model.judge(sent)), want);
        assert_eq!(again(&mut |sent| judged.judge(sent)), want);
    }
    // Another key was not there before, and what has none is known to nobody.
    judged.leave();
    assert_eq!(judged.judge(at(A + DAY, 6).number(a).sealed(2)), S);
    judged.leave();
    assert_eq!(judged.judge(at(A + DAY, 7).number(a)), S);
    judged.leave();
    assert_eq!((judged.judge(sent[2]), judged.judge(at(A, 8).number(a))), (D, S));
}

/// Few values of each kind, so that the rules meet.
fn any(random: &mut fastrand::Rng, now: i64, before: Option<Sent>) -> Sent {
    let near = [-400_000, -11_000, -3_000, -1_000, -1, 0, 0, 1, 1_000, 4_000, 6_000, 3_000_000];
    let t = match random.u8(..16) {
        0..6 => None,
        6 => Some(now / 1_000),
        7 => Some(now - WEEKS_1024 + near[random.usize(..near.len())]),
        8 => Some(
            *random
                .choice(&[0, 5, -9_000_000_000_000_000_000, 946_684_800_000, i64::MAX, i64::MIN, now * 1_000])
                .unwrap(),
        ),
        9 => Some(now - YEAR + random.i64(-2..3)),
        _ => Some(now + near[random.usize(..near.len())]),
    };
    let key = random
        .choice(&[None, None, None, None, Some(1), Some(2)])
        .unwrap()
        .map(|key| KeyTag::of_key_id([key; 8]));
    let n = match random.u8(..8) {
        0..3 if key.is_none() => None,
        0..5 => Some(random.u64(..4)),
        5 => Some(random.u64(60..70)),
        6 => Some(random.u64(..130)),
        _ => Some(*random.choice(&[u64::MAX, u64::MAX - 63, u64::MAX - 64, 1 << 40]).unwrap()),
    };
    let sent = Sent { a: now, p: random.i64(0..2), t, n, readable: random.u8(..8) > 0, key, more: false };
    // The further reports of an envelope follow its first one, under the same key and number.
    match before.filter(|before| before.key.is_some() && random.u8(..3) == 0) {
        Some(before) => Sent { a: before.a, key: before.key, n: before.n, more: true, ..sent },
        None => sent,
    }
}

#[test]
fn judges_a_million_sequences_as_the_model_does() {
    let sequences = if std::env::var_os("VAGN_LONG").is_some() { 10_000_000 } else { 1_000_000 };
    for seed in 0..sequences {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut model, mut judged) = (Model::default(), Judged::default());
        let mut now = A;
        let mut before = None;
        for step in 0..random.usize(2..8) {
            now += random
                .choice(&[0, 1, 1_000, 9_000, 10_001, 400_000, YEAR, -1, -4_000, -6_000, -YEAR])
                .unwrap();
            let sent = any(&mut random, now, before);
            before = Some(sent);
            let wanted = model.judge(sent);
            assert_eq!(
                judged.judge(sent),
                wanted,
                "seed {seed}, step {step}, {sent:?}, kept {:?}",
                model.kept
            );
            assert_eq!(judged.kept(), model.kept, "seed {seed}, step {step}, {sent:?}");
            if random.u8(..8) == 0 {
                model.leave();
                judged.leave();
            }
        }
    }
}
