//! Significant children: the ends that end their supervisor, and those that do not.

use std::time::Duration;

use vagn_otp::AutoShutdown::{self, All, Any, Never};
use vagn_otp::Strategy::{self, OneForAll, OneForOne, RestForOne};
use vagn_otp::testkit::until;
use vagn_otp::{Addr, ChildSpec, Exit, Root, Supervisor, SupervisorHandle};

use crate::parts::{Crash, Finish, Journal, LONG, Part, Work, part};

const S: Duration = Duration::from_secs(1);

/// Longer than a test waits for the end of a supervisor.
const PAUSE: Duration = LONG.saturating_add(Duration::from_secs(20));

/// The ways in which a child can end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Removed,
    Killed,
    Crashed,
    Finished,
}

const ENDS: [End; 4] = [End::Removed, End::Killed, End::Crashed, End::Finished];

/// A supervisor with the child `a`, and with `b` beside it, which is shaped in the same way.
struct Pair {
    root: Root,
    handle: SupervisorHandle,
    addrs: [Addr<Part>; 2],
}

impl Pair {
    async fn start(when: AutoShutdown, strategy: Strategy, shape: fn(ChildSpec) -> ChildSpec) -> Pair {
        vagn_otp::quiet_panics();
        let journal = Journal::default();
        let [(a, a_spec, _), (b, b_spec, _)] = ["a", "b"].map(|name| part(name, &journal));
        let supervisor = Supervisor::new("root", strategy).auto_shutdown(when);
        let handle = supervisor.handle();
        let root = supervisor.child(shape(a_spec)).child(shape(b_spec)).start().await.expect("both start");
        Pair { root, handle, addrs: [a, b] }
    }

    async fn end(&self, at: usize, how: End) {
        match how {
            End::Removed => assert!(self.handle.remove(["a", "b"][at]).await),
            End::Killed => assert!(self.root.processes().kill(["a", "b"][at])),
            End::Crashed => drop(self.addrs[at].call(Crash, LONG).await),
            End::Finished => self.addrs[at].call(Finish, LONG).await.expect("it is asked once"),
        }
    }

    /// Returns true if the supervisor ends by itself.
    async fn ends(&self) -> bool {
        let ended = tokio::time::timeout(LONG, self.root.ended()).await;
        assert!(ended.is_err() || ended == Ok(Exit::Finished), "{ended:?}");
        ended.is_ok()
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_not_significant_ends_its_supervisor_in_no_way() {
    for shape in [ChildSpec::temporary, ChildSpec::transient] {
        for when in [Never, Any, All] {
            for how in ENDS {
                let pair = Pair::start(when, OneForOne, shape).await;
                pair.end(0, how).await;
                assert!(!pair.ends().await, "{when:?} {how:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_significant_child_ends_its_supervisor_by_every_end_but_a_removal() {
    for how in ENDS {
        let pair = Pair::start(Any, OneForOne, |spec| spec.temporary().significant()).await;
        pair.end(0, how).await;
        assert_eq!(pair.ends().await, how != End::Removed, "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_significant_child_ends_its_supervisor_only_by_its_normal_end() {
    for how in ENDS {
        let pair = Pair::start(Any, OneForOne, |spec| spec.transient().significant()).await;
        pair.end(0, how).await;
        assert_eq!(pair.ends().await, how == End::Finished, "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_of_all_significant_children_ends_their_supervisor() {
    let shapes: [fn(ChildSpec) -> ChildSpec; 2] =
        [|spec| spec.temporary().significant(), |spec| spec.transient().significant()];
    for shape in shapes {
        let pair = Pair::start(All, OneForOne, shape).await;
        pair.end(0, End::Finished).await;
        assert!(!pair.ends().await, "one is left");
        pair.end(1, End::Finished).await;
        assert!(pair.ends().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_stopped_for_the_restart_of_a_sibling_ends_nothing() {
    for strategy in [OneForOne, OneForAll, RestForOne] {
        for when in [Any, All] {
            let pair = Pair::start(when, strategy, |spec| spec.transient().significant()).await;
            pair.end(0, End::Killed).await;
            assert!(!pair.ends().await, "{strategy:?} {when:?}");
            assert_eq!(pair.addrs[1].call(Work(S), LONG).await, Ok(()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_that_is_to_be_restarted_after_a_pause_is_not_over() {
    for strategy in [OneForOne, RestForOne] {
        let pair =
            Pair::start(All, strategy, |spec| spec.transient().significant().backoff(PAUSE, PAUSE)).await;
        pair.end(1, End::Crashed).await;
        until(|| pair.root.processes().get("b")?.last_exit).await;
        pair.end(0, End::Finished).await;
        assert!(!pair.ends().await, "{strategy:?}: b comes back");
        until(|| (pair.addrs[1].stats().restarts() == 1).then_some(())).await;
        pair.end(1, End::Finished).await;
        assert!(pair.ends().await, "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_that_waits_for_a_sibling_in_its_pause_is_not_over() {
    vagn_otp::quiet_panics();
    let journal = Journal::default();
    let parts = ["a", "b", "c"].map(|name| part(name, &journal));
    let [a, b, c] = parts.each_ref().map(|(addr, ..)| addr.clone());
    let [a_spec, b_spec, c_spec] = parts.map(|(_, spec, _)| spec.transient());
    let specs = [a_spec.significant(), b_spec.backoff(2 * LONG, 2 * LONG), c_spec.significant()];
    let root = Supervisor::new("root", RestForOne).auto_shutdown(All).children(specs).start().await.unwrap();
    assert!(b.call(Crash, LONG).await.is_err());
    until(|| root.processes().get("c")?.last_exit).await;
    a.call(Finish, LONG).await.expect("it is asked once");
    assert!(tokio::time::timeout(LONG, root.ended()).await.is_err(), "c comes back");
    c.call(Finish, 2 * LONG).await.unwrap();
    assert_eq!(tokio::time::timeout(LONG, root.ended()).await, Ok(Exit::Finished));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_ends_with_its_significant_child_ends_the_one_above_if_it_is_significant() {
    for significant in [true, false] {
        let (a, a_spec, _) = part("a", &Journal::default());
        let inner = Supervisor::new("inner", OneForOne).auto_shutdown(Any);
        let inner = ChildSpec::supervisor(inner.child(a_spec.transient().significant())).transient();
        let inner = if significant { inner.significant() } else { inner };
        let root = Supervisor::new("root", OneForOne).auto_shutdown(Any).child(inner).start().await.unwrap();
        a.call(Finish, LONG).await.expect("it is asked once");
        let ended = tokio::time::timeout(LONG, root.ended()).await;
        assert_eq!(ended.ok(), significant.then_some(Exit::Finished));
    }
}
