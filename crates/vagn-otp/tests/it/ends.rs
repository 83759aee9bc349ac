//! Ends of children: at once, in time, by themselves during a stop, and before there was anything to do.

use std::time::Duration;

use vagn_otp::Strategy::OneForOne;
use vagn_otp::testkit::until;
use vagn_otp::{ChildSpec, Exit, ExitReason, ProcessState, Supervisor};

use crate::parts::{Crash, Finish, Journal, LONG, Trio, Work, part};

const S: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_child_without_time_to_stop_is_killed_at_once() {
    let trio =
        Trio::start(OneForOne, |at, spec| if at == 1 { spec.shutdown(Duration::ZERO) } else { spec }).await;
    trio.addrs[1].try_tell(Work(LONG)).unwrap();
    tokio::task::yield_now().await;
    let before = tokio::time::Instant::now();
    assert_eq!(trio.root.stop().await, Exit::Stopped);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(trio.journal.take(), "-c -a");
    assert_eq!(trio.root.processes().get("b").unwrap().last_exit, Some(ExitReason::Killed));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_may_take_as_long_to_stop_as_its_children_together() {
    let slow = |name| {
        ChildSpec::task(name, |ctx| async move {
            ctx.ready();
            ctx.stopping().await;
            tokio::time::sleep(4 * S).await;
            Ok(())
        })
    };
    let inner = Supervisor::new("inner", OneForOne).children(["a", "b", "c"].map(slow));
    let root = Supervisor::new("root", OneForOne).child(ChildSpec::supervisor(inner)).start().await.unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(root.stop().await, Exit::Stopped);
    assert_eq!(before.elapsed().as_secs(), 12);
    let exits = ["a", "b", "c", "inner"].map(|name| root.processes().get(name).unwrap().last_exit);
    assert_eq!(exits, [const { Some(ExitReason::Stopped) }; 4], "none was killed");
}

#[tokio::test(start_paused = true)]
async fn children_that_end_by_themselves_during_a_stop_do_not_disturb_it() {
    let shapes: [fn(ChildSpec) -> ChildSpec; 3] =
        [ChildSpec::permanent, ChildSpec::transient, ChildSpec::temporary];
    for shape in shapes {
        for crashes in [false, true] {
            let trio = Trio::start(OneForOne, |_, spec| shape(spec)).await;
            // The last child holds up the stop while the first ends.
            trio.addrs[2].try_tell(Work(2 * S)).unwrap();
            let end = async {
                tokio::time::sleep(S).await;
                match crashes {
                    true => trio.crash(0).await,
                    false => trio.addrs[0].call(Finish, LONG).await.unwrap(),
                }
            };
            let (exit, ()) = tokio::join!(trio.root.stop(), end);
            assert_eq!(exit, Exit::Stopped);
            assert_eq!(trio.journal.take(), if crashes { "-c -b" } else { "-a -c -b" });
            assert_eq!(trio.restarts(), [0, 0, 0]);
        }
    }
}

/// Ends normally before it is ready.
fn nothing_to_do() -> ChildSpec {
    ChildSpec::task("idle", |_| async { Ok(()) })
}

#[tokio::test(start_paused = true)]
async fn a_child_that_has_nothing_to_do_counts_as_started() {
    for (spec, listed) in
        [(nothing_to_do().transient(), Some(ProcessState::Ended)), (nothing_to_do().temporary(), None)]
    {
        let (a, a_spec, _) = part("a", &Journal::default());
        let root = Supervisor::new("root", OneForOne).child(spec).child(a_spec).start().await.unwrap();
        assert_eq!(a.call(Work(S), LONG).await, Ok(()), "the child after it runs");
        assert_eq!(root.processes().get("idle").map(|info| info.state), listed);
        assert_eq!(root.stop().await, Exit::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_has_nothing_to_do_can_be_added() {
    for (spec, listed) in [(nothing_to_do().transient(), true), (nothing_to_do().temporary(), false)] {
        let supervisor = Supervisor::new("root", OneForOne);
        let handle = supervisor.handle();
        let root = supervisor.start().await.unwrap();
        assert_eq!(handle.add(spec).await, Ok(()));
        tokio::time::sleep(S).await;
        assert_eq!(root.processes().get("idle").is_some(), listed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_name_of_a_temporary_child_is_free_once_it_has_ended_and_that_of_another_is_not() {
    vagn_otp::quiet_panics();
    type Shape = fn(ChildSpec) -> ChildSpec;
    let shapes: [(Shape, bool); 3] =
        [(ChildSpec::permanent, false), (ChildSpec::transient, false), (ChildSpec::temporary, true)];
    for (shape, free) in shapes {
        let supervisor = Supervisor::new("root", OneForOne);
        let handle = supervisor.handle();
        let root = supervisor.start().await.unwrap();
        let (a, spec, _) = part("a", &Journal::default());
        handle.add(shape(spec)).await.unwrap();
        assert!(a.call(Crash, LONG).await.is_err());
        until(|| root.processes().get("a").is_none_or(|a| a.last_exit.is_some()).then_some(())).await;
        let (_twin, twin, _) = part("a", &Journal::default());
        assert_eq!(handle.add(shape(twin)).await.is_ok(), free);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_children_come_and_go_and_nothing_of_them_is_left() {
    let supervisor = Supervisor::new("root", OneForOne);
    let handle = supervisor.handle();
    let root = supervisor.start().await.unwrap();
    let journal = Journal::default();
    let mut addrs = Vec::new();
    for n in 0..1000 {
        let (addr, spec, _) = part(format!("part-{n}").leak(), &journal);
        handle.add(spec.temporary()).await.unwrap();
        addrs.push(addr);
    }
    assert_eq!(root.processes().list().len(), 1001);
    // Removed, killed, crashed and finished in turn.
    for (n, addr) in addrs.iter().enumerate() {
        match n % 4 {
            0 => assert!(handle.remove(addr.name()).await),
            1 => assert!(root.processes().kill(addr.name())),
            2 => assert!(addr.call(Crash, LONG).await.is_err()),
            _ => addr.call(Finish, LONG).await.unwrap(),
        }
    }
    until(|| (root.processes().list().len() == 1).then_some(())).await;
    assert_eq!(root.stop().await, Exit::Stopped);
}
