//! The cases of the rule of judging, beside those of `vagn-store`: a shard gives the same fates.

use super::*;

const S: Fate = Fate::Stored;
const D: Fate = Fate::Duplicate;
const L: Fate = Fate::Stale;
const MIN: i64 = 60_000;
const A: i64 = NOW;

impl Sent {
    fn time(self, time: i64) -> Self {
        Self { time: Some(time), ..self }
    }

    fn number(self, number: u64) -> Self {
        Self { number: Some(number), ..self }
    }

    fn sealed(self, key: u8, more: bool) -> Self {
        Self { seal: Some((key, more)), ..self }
    }
}

fn at(arrived_ms: i64, place: i8) -> Sent {
    Sent::at(arrived_ms, place)
}

/// Each report comes in an entry of its own, and the shard goes over a snapshot between any two of them.
fn case(name: &str, want: &[Fate], place: i8, reports: &[Sent]) {
    let mut shard = shard(ShardSettings::UNBOUNDED);
    let fates: Vec<_> = reports
        .iter()
        .zip(1..)
        .map(|(sent, order)| {
            shard = again(&shard);
            Given::Report(*sent).with(|change| shard.apply(super::place(order, sent.arrived_ms), change))
        })
        .collect();
    let kept = vehicles(&shard.reader())[0].1.position.lat();
    assert_eq!((&fates[..], kept), (want, f64::from(place)), "{name}");
}

#[test]
fn numbers_and_times() {
    let stuck = [at(A, 1).number(0), at(A + 3_000, 2).number(0), at(A + 12_000, 3).number(0)];
    case("counter never moves, no time", &[S, D, S], 3, &stuck);
    let restarts = [at(A, 1).number(0).time(A), at(A + 1, 2).number(0).time(A + 1)];
    case("counter restarts, own time later", &[S, S], 2, &restarts);
    let low = [at(A, 1).number(1_000), at(A + 20_000, 2).number(1), at(A + 21_000, 3).number(2)];
    case("counter restarts low after 20 s", &[S, S, S], 3, &low);
    let twice = [1, 2, 1, 2].map(|n| at(A, n).number(n as u64));
    case("batch sent twice", &[S, S, D, D], 2, &twice);
    let own = [(A, 1), (A, 2), (A + 1, 1), (A + 1, 2)]
        .map(|(a, n)| at(a, n).time(A - 3_000 + 1_000 * i64::from(n)));
    case("sent twice, own times only", &[S, S, L, D], 2, &own);
    let overtaken = [at(A, 5).number(5), at(A + 1, 7).number(7), at(A + 2, 6).number(6)];
    case("overtaken by UDP, no time", &[S, S, L], 7, &overtaken);
    let ahead = [at(A, 1).time(A + 50 * MIN), at(A + 10, 2).time(A - 40), at(A + 20, 3)];
    case("ahead, right, none", &[S, S, S], 3, &ahead);
    let wrong = [at(A, 1), at(A + 315_360_000_000, 2), at(A + 2_000, 3)];
    case("a clock ten years ahead", &[S, S, S], 3, &wrong);
    case("the same with a constant number", &[S, S, S], 3, &wrong.map(|sent| sent.number(0)));
    let seconds = [at(A + 9_000_000, 1).time(A / 1_000), at(A + 9_000_000, 2).time(A + 1)];
    case("seconds instead of ms", &[S, S], 2, &seconds);
    let rollover = [at(A, 1).time(A - 619_315_200_000), at(A + 1_000, 2).time(A + 900)];
    case("week rollover", &[S, S], 2, &rollover);
    let reset = [at(A, 1).time(A), at(A + 1_000, 2).time(946_684_800_000), at(A + 2_000, 3).time(A + 1_900)];
    case("clock reset among right ones", &[S, S, S], 3, &reset);
    let old = [at(A, 1).time(-389_232_000_000), at(A, 2).time(-389_210_400_000)];
    case("an old trace keeps its times", &[S, S], 2, &old);
    let unreadable = |sent: Sent| Sent { readable: false, ..sent };
    let honest = [at(A, 1).time(A), unreadable(at(A + 1_000, 2)), at(A + 2_000, 3).time(A + 1_900)];
    case("unreadable after honest", &[S, L, S], 3, &honest);
    case("no fix", &[S, Fate::Invalid], 60, &[at(A, 60), at(A + 1_000, 0)]);
}

#[test]
fn seals() {
    let a = A as u64;
    let replayed = [(A, 1, 0), (A + 1_000, 2, 50), (A + MIN, 2, 50), (A + MIN, 1, 0)]
        .map(|(arrived, place, n)| at(arrived, place).number(a + n).sealed(1, false));
    case("replayed later, no times", &[S, S, D, D], 2, &replayed);
    let below = [(A, 1, 0), (A + 1_000, 2, 100), (A + MIN, 1, 0)]
        .map(|(arrived, place, n)| at(arrived, place).number(a + n).sealed(1, false));
    case("below the window", &[S, S, L], 2, &below);
    let envelope: Vec<_> = [0, 50]
        .iter()
        .flat_map(|r| (1..4).map(move |i| at(A + r, i).number(a).time(A + i64::from(i)).sealed(1, i > 1)))
        .collect();
    case("three in one envelope, then again", &[S, S, S, D, D, D], 3, &envelope);
    let sealed_now = [at(A, 1).number(9_000_000_000_000_000), at(A + 1_000, 2).number(a).sealed(1, false)];
    case("open before, sealed now", &[S, S], 2, &sealed_now);
    let first = at(A, 1).number(a).time(A).sealed(1, false);
    let other = at(A + 1_000, 2).number(5).time(A + 900).sealed(2, false);
    let again = Sent { arrived_ms: A + 2_000, ..first };
    case("another gateway, then the first one's datagram again", &[S, S, L], 2, &[first, other, again]);
}
