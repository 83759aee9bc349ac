use super::query::{AGAIN_MAX, SPARE_MS};
use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn at(elapsed_ms: u64) -> Moment {
    Moment { elapsed_ms, wall_ms: 0 }
}

fn asking(elsewhere: Vec<(ShardId, Vec<NodeId>)>) -> Asking {
    let own = ShardAnswer { shard: ShardId(9), node: NodeId(7), age_ms: 0, bytes: vec![] };
    Asking {
        id: QueryId(5),
        question: b"where".to_vec(),
        within_ms: 2_000,
        answers: vec![own],
        spares: Vec::new(),
        elsewhere,
    }
}

fn scatter() -> (Scatter, Vec<Command>) {
    let (mut scatter, mut out) = (Scatter::default(), Vec::new());
    let elsewhere = vec![(ShardId(0), vec![A, B]), (ShardId(1), vec![A]), (ShardId(2), vec![B, A])];
    scatter.ask(1, asking(elsewhere), at(0), &mut out);
    (scatter, out)
}

fn requests(out: &mut Vec<Command>) -> Vec<(u64, Vec<u16>)> {
    let requests = out.extract_if(.., |command| matches!(command, Command::Send { .. }));
    let read = requests.map(|command| match command {
        Command::Send { to, bytes } => match Message::read(&bytes).unwrap() {
            Message::Question { query: 1, shards, question } if question == b"where" => {
                (to.0, shards.iter().map(|shard| shard.0).collect())
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
    read.collect()
}

fn reply(scatter: &mut Scatter, from: NodeId, shard: u16, len: usize, now: Moment, out: &mut Vec<Command>) {
    for message in replies(1, ShardId(shard), 3, &vec![7; len]) {
        let Message::Reply { shard, age_ms, part, parts, bytes, .. } = message else { panic!("a reply") };
        scatter.part(1, from, Part { shard, age_ms, part, parts, bytes }, now, out);
    }
}

/// Shards that answered, with the lengths of their answers; and those that did not.
type Answered = (Vec<(u16, usize)>, Vec<u16>);

fn answer(out: &[Command]) -> Option<Answered> {
    out.iter().find_map(|command| match command {
        Command::Answer { query: QueryId(5), answers, missing } => Some((
            answers.iter().map(|answer| (answer.shard.0, answer.bytes.len())).collect(),
            missing.iter().map(|shard| shard.0).collect(),
        )),
        _ => None,
    })
}

#[test]
fn a_node_is_asked_once_for_all_its_shards() {
    let (mut scatter, mut out) = scatter();
    assert_eq!(requests(&mut out), [(1, vec![0, 1]), (2, vec![2])]);
    reply(&mut scatter, A, 0, 0, at(1), &mut out);
    reply(&mut scatter, B, 2, 600 << 10, at(1), &mut out);
    assert_eq!(answer(&out), None);
    reply(&mut scatter, A, 1, 5, at(1), &mut out);
    assert_eq!(answer(&out), Some((vec![(0, 0), (1, 5), (2, 600 << 10), (9, 0)], vec![])));
    assert_eq!((scatter.queries.len(), scatter.due_ms()), (0, None));
}

#[test]
fn what_is_late_is_asked_of_another_owner_and_the_first_answer_counts() {
    let (mut scatter, mut out) = scatter();
    requests(&mut out);
    reply(&mut scatter, A, 1, 1, at(1), &mut out);
    scatter.run(at(HEDGE_MS - 1), &mut out);
    assert!(requests(&mut out).is_empty());
    scatter.run(at(HEDGE_MS), &mut out);
    scatter.run(at(HEDGE_MS + 1), &mut out);
    assert_eq!(requests(&mut out), [(1, vec![2]), (2, vec![0])]);
    reply(&mut scatter, B, 0, 2, at(60), &mut out);
    reply(&mut scatter, A, 0, 9, at(60), &mut out);
    reply(&mut scatter, B, 2, 3, at(60), &mut out);
    assert_eq!(answer(&out), Some((vec![(0, 2), (1, 1), (2, 3), (9, 0)], vec![])));
}

#[test]
fn what_is_missing_at_the_end_is_named() {
    let (mut scatter, mut out) = scatter();
    reply(&mut scatter, A, 0, 1, at(1), &mut out);
    // One that was not asked, and a part whose predecessor was lost.
    reply(&mut scatter, B, 1, 1, at(1), &mut out);
    let late = Part { shard: ShardId(2), age_ms: 0, part: 1, parts: 2, bytes: vec![1] };
    scatter.part(1, B, late, at(1), &mut out);
    scatter.run(at(HEDGE_MS), &mut out);
    assert_eq!((answer(&out), scatter.due_ms()), (None, Some(AGAIN_MS)));
    scatter.run(at(2_000), &mut out);
    assert_eq!(answer(&out), Some((vec![(0, 1), (9, 0)], vec![1, 2])));
}

#[test]
fn a_node_that_has_it_not_is_left_at_once() {
    let (mut scatter, mut out) = scatter();
    requests(&mut out);
    scatter.refused(1, A, &[ShardId(0), ShardId(1), ShardId(2)], at(1), &mut out);
    assert_eq!(requests(&mut out), [(2, vec![0])], "nobody else has 1, and A was not asked for 2");
}

#[test]
fn questions_have_a_bound_and_those_beyond_are_answered_as_missing() {
    let (mut scatter, mut out) = (Scatter::default(), Vec::new());
    for number in 0..QUERIES_MAX as u64 {
        scatter.ask(number, asking(vec![(ShardId(0), vec![A])]), at(0), &mut out);
    }
    out.clear();
    scatter.ask(QUERIES_MAX as u64, asking(vec![(ShardId(0), vec![A])]), at(0), &mut out);
    assert_eq!(answer(&out), Some((vec![(9, 0)], vec![0])));
    assert_eq!(out.len(), 1, "nobody was asked");
}

#[test]
fn a_shard_that_is_here_and_late_answers_where_no_other_owner_does() {
    let spare = |shard| ShardAnswer {
        shard: ShardId(shard),
        node: NodeId(7),
        age_ms: 9_000,
        bytes: vec![shard as u8],
    };
    let (mut scatter, mut out) = (Scatter::default(), Vec::new());
    let elsewhere = vec![(ShardId(0), vec![A]), (ShardId(1), vec![B]), (ShardId(2), vec![A])];
    scatter.ask(1, Asking { spares: vec![spare(0), spare(1)], ..asking(elsewhere) }, at(0), &mut out);
    // B answers in time, and its answer counts.
    let part = Part { shard: ShardId(1), age_ms: 5, part: 0, parts: 1, bytes: vec![100] };
    scatter.part(1, B, part, at(10), &mut out);
    assert_eq!(scatter.due_ms(), Some(HEDGE_MS));
    scatter.run(at(HEDGE_MS), &mut out);
    assert_eq!(scatter.due_ms(), Some(SPARE_MS));
    scatter.run(at(SPARE_MS), &mut out);
    assert_eq!(scatter.due_ms(), Some(AGAIN_MS), "of shard 2 nothing is here");
    scatter.run(at(2_000), &mut out);
    let Some(Command::Answer { answers, missing, .. }) = out.pop() else { panic!("no answer") };
    let answered: Vec<(u16, u64)> = answers.iter().map(|answer| (answer.shard.0, answer.age_ms)).collect();
    // Ages are as of the answer, and it was held for 2 s.
    assert_eq!((answered, missing), (vec![(0, 11_000), (1, 2_005), (9, 2_000)], vec![ShardId(2)]));
}

#[test]
fn an_age_that_is_not_known_stays_so() {
    let (mut scatter, mut out) = (Scatter::default(), Vec::new());
    scatter.ask(1, asking(vec![(ShardId(0), vec![A])]), at(0), &mut out);
    whole(&mut scatter, A, u64::MAX, 1, 20, &mut out);
    scatter.run(at(20 + SPARE_MS), &mut out);
    let Some(Command::Answer { answers, .. }) = out.pop() else { panic!("no answer") };
    assert_eq!(answers.iter().map(|answer| answer.age_ms).collect::<Vec<_>>(), [u64::MAX, 20 + SPARE_MS]);
}

fn whole(scatter: &mut Scatter, from: NodeId, age_ms: u64, byte: u8, ms: u64, out: &mut Vec<Command>) {
    let part = Part { shard: ShardId(0), age_ms, part: 0, parts: 1, bytes: vec![byte; byte.into()] };
    scatter.part(1, from, part, at(ms), out);
    scatter.run(at(ms), out);
}

#[test]
fn an_owner_that_is_far_behind_does_not_win_over_a_slow_one_that_has_all() {
    const C: NodeId = NodeId(3);
    let (mut scatter, mut out) = (Scatter::default(), Vec::new());
    scatter.ask(1, asking(vec![(ShardId(0), vec![A, B, C])]), at(0), &mut out);
    scatter.run(at(HEDGE_MS), &mut out);
    assert_eq!(requests(&mut out), [(1, vec![0]), (2, vec![0])]);
    whole(&mut scatter, B, 7_200_000, 2, 60, &mut out);
    assert_eq!((answer(&out), requests(&mut out)), (None, vec![(3, vec![0])]), "the next is asked at once");
    assert_eq!(scatter.due_ms(), Some(AGAIN_MS));
    assert!(scatter.late(at(AGAIN_MS)).is_empty());
    whole(&mut scatter, A, OLD_MS - 1, 1, 59 + SPARE_MS, &mut out);
    assert_eq!(answer(&out), Some((vec![(0, 1), (9, 0)], vec![])));
    assert_eq!(scatter.queries.len(), 0);
}

#[test]
fn of_owners_that_are_all_behind_the_one_that_is_least_so_counts() {
    for (first, second) in [(A, B), (B, A)] {
        let age_ms = |node| if node == A { OLD_MS } else { u64::MAX };
        let (mut scatter, mut out) = (Scatter::default(), Vec::new());
        scatter.ask(1, asking(vec![(ShardId(0), vec![first, second])]), at(0), &mut out);
        whole(&mut scatter, first, age_ms(first), first.0 as u8, 10, &mut out);
        whole(&mut scatter, second, age_ms(second), second.0 as u8, 20, &mut out);
        scatter.run(at(19 + SPARE_MS), &mut out);
        assert_eq!((answer(&out), scatter.due_ms()), (None, Some(20 + SPARE_MS)));
        scatter.run(at(20 + SPARE_MS), &mut out);
        assert_eq!(answer(&out), Some((vec![(0, 1), (9, 0)], vec![])));
    }
}

#[test]
fn what_is_here_does_not_count_while_an_answer_is_on_its_way() {
    let (mut scatter, mut out) = (Scatter::default(), Vec::new());
    let spare = ShardAnswer { shard: ShardId(0), node: NodeId(7), age_ms: 9_000, bytes: vec![1] };
    let asking = asking(vec![(ShardId(0), vec![A])]);
    scatter.ask(1, Asking { spares: vec![spare], ..asking }, at(0), &mut out);
    scatter.run(at(HEDGE_MS), &mut out);
    let mut part = |number, ms, out: &mut Vec<Command>| {
        let part = Part { shard: ShardId(0), age_ms: 5, part: number, parts: 4, bytes: vec![7] };
        scatter.part(1, A, part, at(ms), out);
        scatter.run(at(ms), out);
        scatter.queries[&1].spares_due_ms()
    };
    assert_eq!(part(0, 150, &mut out), Some(150 + SPARE_MS));
    assert_eq!(part(1, 149 + SPARE_MS, &mut out), Some(149 + 2 * SPARE_MS));
    assert_eq!(answer(&out), None);
    // The third is lost: the answer of A will not be whole.
    assert_eq!(part(3, 200 + SPARE_MS, &mut out), Some(149 + 2 * SPARE_MS));
    scatter.run(at(149 + 2 * SPARE_MS), &mut out);
    assert_eq!(answer(&out), Some((vec![(0, 1), (9, 0)], vec![])));
}

/// Numbers under which nodes were asked, with the shards.
fn asked(out: &mut Vec<Command>) -> Vec<(u64, u64, Vec<u16>)> {
    let requests = out.extract_if(.., |command| matches!(command, Command::Send { .. }));
    let read = requests.map(|command| match command {
        Command::Send { to, bytes } => match Message::read(&bytes).unwrap() {
            Message::Question { query, shards, .. } => {
                (to.0, query, shards.iter().map(|shard| shard.0).collect())
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
    read.collect()
}

#[test]
fn what_has_no_answer_is_asked_for_again_at_a_growing_pause_of_those_who_own_it_then() {
    const C: NodeId = NodeId(3);
    let (mut scatter, mut out) = scatter();
    reply(&mut scatter, A, 0, 1, at(1), &mut out);
    scatter.run(at(HEDGE_MS), &mut out);
    assert!(scatter.late(at(AGAIN_MS - 1)).is_empty());
    assert_eq!(scatter.due_ms(), Some(AGAIN_MS));
    out.clear();
    let late = scatter.late(at(AGAIN_MS)).pop().unwrap();
    assert_eq!((late.number, &late.shards[..]), (1, &[ShardId(1), ShardId(2)][..]));
    scatter.ask_again(1, 50, vec![(ShardId(1), vec![C]), (ShardId(2), vec![A, C])], &mut out);
    assert_eq!(asked(&mut out), [(1, 50, vec![2]), (3, 50, vec![1]), (3, 50, vec![2])]);
    assert_eq!(out.len(), 3, "each asking is told: {out:?}");
    assert!(scatter.late(at(AGAIN_MS)).is_empty(), "it pauses");
    assert_eq!(scatter.due_ms(), Some(3 * AGAIN_MS));
    // An answer to the first asking counts as well, and one that comes twice counts once.
    reply(&mut scatter, A, 1, 5, at(300), &mut out);
    let part = || Part { shard: ShardId(1), age_ms: 0, part: 0, parts: 1, bytes: vec![1; 9] };
    scatter.part(50, C, part(), at(301), &mut out);
    assert_eq!(answer(&out), None);
    let part = || Part { shard: ShardId(2), age_ms: 0, part: 0, parts: 1, bytes: vec![1; 7] };
    scatter.part(50, C, part(), at(302), &mut out);
    scatter.part(50, A, part(), at(303), &mut out);
    assert_eq!(answer(&out), Some((vec![(0, 1), (1, 5), (2, 7), (9, 0)], vec![])));
    assert!(scatter.queries.is_empty() && scatter.again.is_empty());
}

#[test]
fn parts_of_two_answers_of_a_node_are_not_put_together() {
    let (mut scatter, mut out) = (Scatter::default(), Vec::new());
    scatter.ask(1, asking(vec![(ShardId(0), vec![A])]), at(0), &mut out);
    let part = |part, byte| Part { shard: ShardId(0), age_ms: 0, part, parts: 2, bytes: vec![byte; 2] };
    scatter.part(1, A, part(0, 1), at(100), &mut out);
    assert!(scatter.late(at(AGAIN_MS)).is_empty(), "its answer is on its way");
    assert_eq!(scatter.late(at(3 * AGAIN_MS)).len(), 1, "and the rest was lost");
    scatter.ask_again(1, 50, vec![(ShardId(0), vec![A])], &mut out);
    scatter.part(50, A, part(1, 2), at(800), &mut out);
    scatter.part(1, A, part(1, 1), at(800), &mut out);
    assert_eq!(answer(&out), None);
    scatter.part(50, A, part(0, 2), at(801), &mut out);
    scatter.part(50, A, part(1, 2), at(802), &mut out);
    assert_eq!(answer(&out), Some((vec![(0, 4), (9, 0)], vec![])));
}

#[test]
fn a_question_is_asked_again_a_bounded_number_of_times() {
    let (mut scatter, mut out) = (Scatter::default(), Vec::new());
    let asking = Asking { within_ms: u64::MAX, ..asking(vec![(ShardId(0), vec![A])]) };
    scatter.ask(1, asking, at(0), &mut out);
    let times = (0..WITHIN_MAX_MS).filter(|ms| !scatter.late(at(*ms)).is_empty()).count();
    assert_eq!(times, AGAIN_MAX as usize);
    scatter.run(at(WITHIN_MAX_MS), &mut out);
    assert_eq!(answer(&out), Some((vec![(9, 0)], vec![0])));
}
