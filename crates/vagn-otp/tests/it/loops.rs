//! Loops of restarts: a child that cannot be started any more must not hold up the rest.

use std::time::Duration;

use vagn_otp::Strategy::{OneForAll, OneForOne, RestForOne};
use vagn_otp::testkit::until;
use vagn_otp::{Addr, ChildSpec, Exit, ProcessState, Supervisor};

use crate::parts::{Crash, Journal, LONG, Part, Trio, Work, part};

const S: Duration = Duration::from_secs(1);

/// Begins, and fails after a second; runs only until its first crash.
fn hopeless() -> ChildSpec {
    let begun = std::sync::atomic::AtomicBool::new(false);
    ChildSpec::task("hopeless", move |ctx| {
        let first = !begun.swap(true, std::sync::atomic::Ordering::SeqCst);
        async move {
            if first {
                ctx.ready();
            }
            tokio::time::sleep(S).await;
            Err("cannot start".into())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_loop_of_restarts() {
    for strategy in [OneForOne, RestForOne, OneForAll] {
        let journal = Journal::default();
        let (_a, a_spec, _) = part("a", &journal);
        let root = Supervisor::new("root", strategy).intensity(usize::MAX, LONG);
        let root = root.child(a_spec).child(hopeless()).start().await.unwrap();
        until(|| root.processes().get("hopeless").filter(|process| process.restarts >= 3)).await;
        let before = tokio::time::Instant::now();
        assert_eq!(root.stop().await, Exit::Stopped, "{strategy:?}");
        assert!(before.elapsed() <= S, "{strategy:?}: the paused clock tells exactly");
        assert!(journal.take().ends_with("-a !a"), "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_cannot_start_is_removed_in_the_pause_before_its_restart() {
    for strategy in [OneForOne, RestForOne] {
        let journal = Journal::default();
        let (a, a_spec, _) = part("a", &journal);
        let supervisor = Supervisor::new("root", strategy);
        let handle = supervisor.handle();
        let spec = hopeless().backoff(S, LONG);
        let root = supervisor.child(a_spec).child(spec).start().await.unwrap();
        until(|| root.processes().get("hopeless").filter(|it| it.state == ProcessState::Waiting)).await;
        assert!(handle.remove("hopeless").await);
        tokio::time::sleep(2 * LONG).await;
        assert!(root.processes().get("hopeless").is_none(), "{strategy:?}: it did not come back");
        assert_eq!(a.call(Work(S), LONG).await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_waits_for_a_restart_that_is_under_way() {
    let (a, a_spec, a_set) = part("a", &Journal::default());
    let supervisor = Supervisor::new("root", OneForOne).intensity(usize::MAX, LONG);
    let handle = supervisor.handle();
    let root = supervisor.child(a_spec).start().await.unwrap();
    crash(&a).await;
    assert!(handle.remove("a").await);
    assert!(root.processes().get("a").is_none());
    assert_eq!(a_set.overlaps(), 0);
}

async fn crash(addr: &Addr<Part>) {
    assert!(addr.call(Crash, LONG).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_half_way_begins_again_with_the_children_that_the_strategy_names() {
    let cases = [(RestForOne, "-c -b +a +b +c"), (OneForAll, "-c -b +a -a +a +b +c")];
    for (strategy, expected) in cases {
        let trio = Trio::start(strategy, |_, spec| spec).await;
        trio.sets[1].starts_to_panic.store(1, std::sync::atomic::Ordering::SeqCst);
        trio.crash(0).await;
        trio.journal.expect(expected).await;
        trio.assert_well().await;
    }
}

#[tokio::test(start_paused = true)]
async fn children_that_were_added_come_back_with_their_branch() {
    vagn_otp::quiet_panics();
    let journal = Journal::default();
    let [(a, a_spec, _), (b, b_spec, _), (c, c_spec, _)] = ["a", "b", "c"].map(|name| part(name, &journal));
    let inner = Supervisor::new("inner", OneForOne).intensity(0, S).child(a_spec);
    let handle = inner.handle();
    let root = Supervisor::new("root", OneForAll).child(ChildSpec::supervisor(inner)).child(c_spec);
    let root = root.start().await.unwrap();
    handle.add(b_spec).await.unwrap();
    crash(&b).await;
    journal.expect("+a +c +b !b -a !a -c !c +a +b +c").await;
    assert_eq!(root.processes().get("inner").unwrap().restarts, 1);
    for addr in [a, b, c] {
        assert_eq!(addr.call(Work(S), LONG).await, Ok(()), "{}", addr.name());
    }
}
