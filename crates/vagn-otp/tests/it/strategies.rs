//! The strategies: the children that are restarted together.

use std::time::Duration;

use vagn_otp::Strategy::{self, OneForAll, OneForOne, RestForOne};
use vagn_otp::testkit::until;
use vagn_otp::{ChildSpec, ProcessState, Supervisor};

use crate::parts::{Finish, Journal, LONG, NAMES, Part, Settings, Trio, Work, part};

fn as_is(_: usize, spec: ChildSpec) -> ChildSpec {
    spec
}

#[tokio::test(start_paused = true)]
async fn a_panic_restarts_exactly_the_children_that_the_strategy_names() {
    let cases: [(Strategy, [&str; 3]); 3] = [
        (OneForOne, ["+a", "+b", "+c"]),
        (RestForOne, ["-c -b +a +b +c", "-c +b +c", "+c"]),
        (OneForAll, ["-c -b +a +b +c", "-c -a +a +b +c", "-b -a +a +b +c"]),
    ];
    for (strategy, expected) in cases {
        for (crashing, expected) in expected.into_iter().enumerate() {
            let trio = Trio::start(strategy, as_is).await;
            trio.crash(crashing).await;
            trio.journal.expect(expected).await;
            trio.assert_well().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_has_already_ended_does_not_delay_a_restart() {
    let cases = [(OneForOne, "+a"), (RestForOne, "-c +a +b +c"), (OneForAll, "-c +a +b +c")];
    for (strategy, expected) in cases {
        let trio = Trio::start(strategy, |_, spec| spec.transient()).await;
        trio.addrs[1].call(Finish, LONG).await.unwrap();
        trio.journal.expect("-b").await;
        until(|| (trio.root.processes().get("b")?.state == ProcessState::Ended).then_some(())).await;
        trio.crash(0).await;
        trio.journal.expect(expected).await;
        trio.assert_no_overlap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_sibling_is_stopped_with_its_group_and_not_started_again() {
    let trio = Trio::start(OneForAll, |at, spec| if at == 1 { spec.temporary() } else { spec }).await;
    trio.crash(0).await;
    trio.journal.expect("-c -b +a +c").await;
    assert!(trio.root.processes().get("b").is_none(), "forgotten");
}

#[tokio::test(start_paused = true)]
async fn two_crashes_at_once_are_both_repaired() {
    for (strategy, restarts) in [(OneForOne, [1, 1, 0]), (RestForOne, [1, 1, 1]), (OneForAll, [1, 1, 1])] {
        let trio = Trio::start(strategy, as_is).await;
        tokio::join!(trio.crash(0), trio.crash(1));
        until(|| (trio.restarts() == restarts).then_some(())).await;
        trio.assert_well().await;
        assert_eq!(trio.restarts(), restarts, "{strategy:?}: each at most once");
    }
}

#[tokio::test(start_paused = true)]
async fn crashes_in_quick_succession_are_each_repaired() {
    let trio = Trio::start(OneForOne, |_, spec| spec).await;
    trio.crash(2).await;
    trio.crash(0).await;
    until(|| (trio.restarts() == [1, 0, 1]).then_some(())).await;
    trio.assert_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_sibling_stuck_for_long_is_killed_after_its_own_limit_and_delays_no_further() {
    let limit = Duration::from_millis(300);
    let trio = Trio::start(OneForAll, |_, spec| spec.shutdown(limit)).await;
    trio.addrs[1].try_tell(Work(Duration::from_secs(5))).unwrap();
    let before = tokio::time::Instant::now();
    trio.crash(0).await;
    trio.journal.expect("-c +a +b +c").await;
    let took = before.elapsed();
    assert!((limit..limit * 2).contains(&took), "the paused clock tells exactly: {took:?}");
    trio.assert_well().await;
    assert_eq!(trio.addrs[1].stats().lost(), 1, "the message it was stuck in");
}

#[tokio::test(start_paused = true)]
async fn restart_types_decide_which_ends_are_repaired() {
    type Shape = fn(ChildSpec) -> ChildSpec;
    let cases: [(Shape, bool, bool); 3] = [
        (ChildSpec::permanent, true, true),
        (ChildSpec::transient, false, true),
        (ChildSpec::temporary, false, false),
    ];
    for (shape, after_normal, after_crash) in cases {
        let trio = Trio::start(OneForOne, |_, spec| shape(spec)).await;
        trio.addrs[0].call(Finish, LONG).await.unwrap();
        trio.crash(1).await;
        // The third is not touched, and answers after the other two were restarted or not.
        until(|| {
            (trio.root.processes().list().iter().all(|p| p.state != ProcessState::Starting)).then_some(())
        })
        .await;
        tokio::time::sleep(LONG).await;
        assert_eq!(trio.restarts(), [u64::from(after_normal), u64::from(after_crash), 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn children_start_in_order_each_when_the_one_before_is_ready() {
    let journal = Journal::default();
    let slow = |name: &'static str, journal: Journal| {
        ChildSpec::task(name, move |ctx| {
            let journal = journal.clone();
            async move {
                journal.note(format!("({}", ctx.name()));
                tokio::time::sleep(Duration::from_secs(3)).await;
                journal.note(format!("{})", ctx.name()));
                ctx.ready();
                ctx.stopping().await;
                journal.note(format!("-{}", ctx.name()));
                Ok(())
            }
        })
    };
    let specs = NAMES.map(|name| slow(name, journal.clone()));
    let root = Supervisor::new("root", OneForOne).children(specs).start().await.unwrap();
    assert_eq!(journal.take(), "(a a) (b b) (c c)");
    root.stop().await;
    assert_eq!(journal.take(), "-c -b -a");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_takes_its_grandchildren_along() {
    vagn_otp::quiet_panics();
    let journal = Journal::default();
    let (a, a_spec, _) = part("a", &journal);
    let (b, b_spec, b_set) = part("b", &journal);
    let inner = Supervisor::new("inner", OneForOne).child(b_spec.shutdown(Duration::from_secs(1)));
    let root = Supervisor::new("root", RestForOne).child(a_spec).child(ChildSpec::supervisor(inner));
    let root = root.start().await.unwrap();
    Settings::set(&b_set.hang_in_stop);
    journal.expect("+a +b").await;
    crash(&a).await;
    journal.expect("!a !b +a +b").await;
    Settings::clear(&b_set.hang_in_stop);
    assert_eq!(b.call(Work(Duration::ZERO), LONG).await, Ok(()));
    assert_eq!(root.stop().await, vagn_otp::Exit::Stopped);
    assert_eq!(journal.take(), "-b !b -a !a");
}

async fn crash(addr: &vagn_otp::Addr<Part>) {
    assert_eq!(addr.call(crate::parts::Crash, LONG).await, Err(vagn_otp::CallError::Crashed));
}
