//! The limits of a supervisor: it gives up, and its parent or the program acts on that.

use std::sync::atomic::Ordering;
use std::time::Duration;

use vagn_otp::Strategy::{OneForAll, OneForOne, RestForOne};
use vagn_otp::testkit::until;
use vagn_otp::{
    Addr, AutoShutdown, CallError, ChildSpec, Exit, ExitReason, ProcessState, StartError, Supervisor,
};

use crate::parts::{Crash, Finish, Journal, LONG, Part, Settings, Trio, Work, part};

const S: Duration = Duration::from_secs(1);

async fn crash(addr: &Addr<Part>) {
    assert_eq!(addr.call(Crash, LONG).await, Err(CallError::Crashed));
}

fn panicked(reason: &ExitReason, text: &str) -> bool {
    matches!(reason, ExitReason::Panicked { message, location: Some(at) } if message.contains(text) && at.contains("parts.rs:"))
}

#[tokio::test(start_paused = true)]
async fn one_restart_too_many_ends_the_root_with_a_failure_that_names_the_child() {
    vagn_otp::quiet_panics();
    let journal = Journal::default();
    let (a, a_spec, _) = part("a", &journal);
    let (_b, b_spec, _) = part("b", &journal);
    let root = Supervisor::new("root", OneForOne).intensity(2, 5 * S).child(a_spec).child(b_spec);
    let root = root.start().await.unwrap();
    for _ in 0..3 {
        crash(&a).await;
    }
    let exit = root.ended().await;
    assert!(exit.is_failure());
    let Exit::GaveUp { child, reason } = &exit else { panic!("{exit}") };
    assert!(child == "a" && panicked(reason, "a crashed"), "{exit}");
    assert!(journal.read().ends_with("!a -b !b"), "the other was stopped in order: {}", journal.read());
    assert_eq!(a.call(Work(S), LONG).await, Err(CallError::Down));
}

#[tokio::test(start_paused = true)]
async fn restarts_that_are_far_apart_do_not_add_up() {
    let trio = Trio::start(OneForOne, |_, spec| spec).await;
    for _ in 0..20 {
        trio.crash(0).await;
        tokio::time::sleep(2 * S).await;
    }
    trio.assert_well().await;
    assert_eq!(trio.restarts(), [20, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_can_no_longer_start_escalates_to_the_exit() {
    for strategy in [OneForOne, RestForOne, OneForAll] {
        let trio = Trio::start(strategy, |_, spec| spec).await;
        Settings::set(&trio.sets[1].fail_start);
        trio.crash(1).await;
        let exit = trio.root.ended().await;
        let reason = ExitReason::Failed("cannot start".to_owned());
        assert_eq!(exit, Exit::GaveUp { child: "b".to_owned(), reason }, "{strategy:?}");
        trio.assert_no_overlap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_panics_in_its_start_is_tried_again() {
    let trio = Trio::start(RestForOne, |_, spec| spec).await;
    trio.sets[1].starts_to_panic.store(2, Ordering::SeqCst);
    trio.crash(0).await;
    trio.journal.expect("-c -b +a +b +c").await;
    trio.assert_well().await;
    let last = trio.root.processes().get("b").unwrap().last_exit.unwrap();
    assert!(panicked(&last, "panic in start"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_cannot_start_names_the_child_and_the_reason_and_leaves_nothing_running() {
    vagn_otp::quiet_panics();
    let journal = Journal::default();
    let (a, a_spec, _) = part("a", &journal);
    let (_b, b_spec, b_set) = part("b", &journal);
    let (_c, c_spec, _) = part("c", &journal);
    Settings::set(&b_set.fail_start);
    let inner = Supervisor::new("inner", OneForOne).child(b_spec);
    let specs = [a_spec, ChildSpec::supervisor(inner), c_spec];
    let error = Supervisor::new("root", OneForOne).children(specs).start().await.err();
    let reason = ExitReason::Failed("cannot start".to_owned());
    assert_eq!(error, Some(StartError::Child { child: "inner/b".to_owned(), reason }));
    assert_eq!(journal.take(), "+a !b -a !a", "c was not begun");
    assert_eq!(a.call(Work(S), LONG).await, Err(CallError::Down));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_not_ready_in_time_counts_as_not_started() {
    let spec = ChildSpec::task("late", |ctx| async move {
        ctx.stopping().await;
        Ok(())
    });
    let error = Supervisor::new("root", OneForOne).child(spec.start_within(3 * S)).start().await.err();
    assert_eq!(error, Some(StartError::Child { child: "late".to_owned(), reason: ExitReason::StartTimeout }));
}

#[tokio::test(start_paused = true)]
async fn giving_up_escalates_and_the_parent_starts_the_branch_anew_with_its_mailboxes() {
    vagn_otp::quiet_panics();
    let journal = Journal::default();
    let (a, a_spec, _) = part("a", &journal);
    let inner = Supervisor::new("inner", OneForOne).intensity(0, S).child(a_spec);
    let root = Supervisor::new("root", OneForOne).child(ChildSpec::supervisor(inner)).start().await.unwrap();
    a.try_tell(Crash).unwrap();
    assert_eq!(a.call(Work(S), LONG).await, Ok(()), "it waited in the mailbox over the branch's restart");
    let inner = root.processes().get("inner").unwrap();
    assert_eq!(inner.restarts, 1);
    assert!(matches!(inner.last_exit, Some(ExitReason::GaveUp { child, .. }) if child == "a"));
}

#[tokio::test(start_paused = true)]
async fn a_branch_with_backoff_is_restarted_ever_more_slowly_and_the_rest_goes_on() {
    vagn_otp::quiet_panics();
    let journal = Journal::default();
    let (a, a_spec, a_set) = part("a", &journal);
    let (b, b_spec, _) = part("b", &journal);
    let inner = Supervisor::new("inner", OneForOne).intensity(0, S).child(a_spec);
    let inner = ChildSpec::supervisor(inner).backoff(S, 8 * S);
    let root = Supervisor::new("root", OneForOne).intensity(0, S).child(inner).child(b_spec);
    let root = root.start().await.unwrap();
    Settings::set(&a_set.fail_start);
    crash(&a).await;
    let begun = tokio::time::Instant::now();
    let mut seconds = Vec::new();
    for n in 1..=5 {
        until(|| root.processes().get("inner").filter(|inner| inner.restarts >= n)).await;
        seconds.push(begun.elapsed().as_secs());
    }
    assert_eq!(seconds, [1, 3, 7, 15, 23], "after 1, 2, 4, 8 and again 8 s");
    assert_eq!(b.call(Work(Duration::ZERO), LONG).await, Ok(()), "the rest goes on");
    Settings::clear(&a_set.fail_start);
    assert_eq!(a.call(Work(Duration::ZERO), LONG).await, Ok(()), "and the branch comes back");
}

#[tokio::test(start_paused = true)]
async fn a_child_with_backoff_may_fail_its_first_start() {
    let journal = Journal::default();
    let (a, a_spec, a_set) = part("a", &journal);
    let (b, b_spec, _) = part("b", &journal);
    Settings::set(&a_set.fail_start);
    let specs = [a_spec.backoff(S, 4 * S), b_spec];
    let root = Supervisor::new("root", OneForOne).children(specs).start().await.unwrap();
    assert_eq!(b.call(Work(Duration::ZERO), LONG).await, Ok(()));
    assert_eq!(root.processes().get("a").unwrap().state, ProcessState::Waiting);
    Settings::clear(&a_set.fail_start);
    assert_eq!(a.call(Work(Duration::ZERO), LONG).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn children_that_build_on_a_child_with_backoff_wait_for_it() {
    let trio = Trio::start(RestForOne, |_, spec| spec.backoff(S, 4 * S)).await;
    trio.crash(0).await;
    trio.journal.expect("-c -b").await;
    assert_eq!(trio.root.processes().get("a").unwrap().state, ProcessState::Waiting);
    trio.journal.expect("+a +b +c").await;
    trio.assert_well().await;
}

#[tokio::test(start_paused = true)]
async fn significant_children_end_their_supervisor_as_it_is_set() {
    for (when, after_one, after_both) in [
        (AutoShutdown::Never, false, false),
        (AutoShutdown::Any, true, true),
        (AutoShutdown::All, false, true),
    ] {
        let journal = Journal::default();
        let (a, a_spec, _) = part("a", &journal);
        let (b, b_spec, _) = part("b", &journal);
        let (c, c_spec, _) = part("c", &journal);
        let specs = [a_spec.transient().significant(), b_spec.transient().significant(), c_spec];
        let root = Supervisor::new("root", OneForOne).auto_shutdown(when).children(specs);
        let root = root.start().await.unwrap();
        a.call(Finish, LONG).await.unwrap();
        let alive = c.call(Work(LONG / 2), LONG).await.is_ok();
        assert_eq!(alive, !after_one, "{when:?}");
        // Refused if the first end was enough.
        let second = b.call(Finish, LONG).await;
        assert_eq!(second.is_err(), after_one);
        let ended = tokio::time::timeout(LONG, root.ended()).await;
        assert_eq!(ended.ok(), after_both.then_some(Exit::Finished), "{when:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn children_come_and_go_while_the_supervisor_runs() {
    let journal = Journal::default();
    let supervisor = Supervisor::new("root", OneForOne);
    let handle = supervisor.handle();
    let root = supervisor.start().await.unwrap();
    let (a, a_spec, _) = part("a", &journal);
    handle.add(a_spec).await.unwrap();
    assert_eq!(a.call(Work(S), LONG).await, Ok(()));
    let (_twin, twin_spec, _) = part("a", &journal);
    assert_eq!(handle.add(twin_spec).await, Err(StartError::Name("a".to_owned())));
    let (_b, b_spec, b_set) = part("b", &journal);
    Settings::set(&b_set.fail_start);
    assert!(matches!(handle.add(b_spec).await, Err(StartError::Child { .. })));
    let names: Vec<_> = root.processes().list().into_iter().map(|process| process.path).collect();
    assert_eq!(names, ["root", "root/a"]);
    assert!(handle.remove("a").await);
    assert!(!handle.remove("a").await);
    assert_eq!(a.call(Work(S), LONG).await, Err(CallError::Down));
    assert_eq!(root.processes().list().len(), 1);
    root.stop().await;
    let (_c, c_spec, _) = part("c", &journal);
    assert_eq!(handle.add(c_spec).await, Err(StartError::Down));
}
