//! Stops: in order, within limits, and without the loss of an accepted message.

use std::time::Duration;

use vagn_otp::Strategy::OneForOne;
use vagn_otp::{CallError, ChildSpec, Exit, ExitReason, Root, Supervisor};

use crate::parts::{Journal, LONG, Note, Settings, Trio, Work, part};

const S: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_handles_all_thousand_messages_in_the_mailbox() {
    let journal = Journal::default();
    let (addr, spec, _) = part("a", &journal);
    let root = Supervisor::new("root", OneForOne).child(spec).start().await.unwrap();
    addr.try_tell(Work(S)).unwrap();
    for n in 0..1000 {
        addr.try_tell(Note(n)).unwrap();
    }
    assert_eq!(root.stop().await, Exit::Stopped);
    let stats = addr.stats();
    assert_eq!((stats.handled(), stats.lost()), (1001, 0));
    assert!(journal.take().ends_with("a999 -a !a"));
    assert_eq!(addr.call(Note(1), S).await, Err(CallError::Down));
}

#[tokio::test(start_paused = true)]
async fn children_stop_in_reverse_order_one_after_another() {
    let trio = Trio::start(OneForOne, |_, spec| spec).await;
    for addr in &trio.addrs {
        addr.try_tell(Work(S)).unwrap();
    }
    trio.root.stop().await;
    assert_eq!(trio.journal.take(), "-c -b -a");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_stop_in_time_is_killed_and_the_next_is_stopped() {
    let trio = Trio::start(OneForOne, |_, spec| spec.shutdown(2 * S)).await;
    Settings::set(&trio.sets[1].hang_in_stop);
    let before = tokio::time::Instant::now();
    assert_eq!(trio.root.stop().await, Exit::Stopped);
    assert_eq!(before.elapsed().as_secs(), 2);
    assert_eq!(trio.journal.take(), "-c -a");
    assert_eq!(trio.root.processes().get("b").unwrap().last_exit, Some(ExitReason::Killed));
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_stopping_does_not_disturb_the_stop() {
    let trio = Trio::start(OneForOne, |_, spec| spec).await;
    Settings::set(&trio.sets[1].panic_in_stop);
    assert_eq!(trio.root.stop().await, Exit::Stopped);
    assert_eq!(trio.journal.take(), "-c -a");
    let last = trio.root.processes().get("b").unwrap().last_exit;
    assert!(
        matches!(&last, Some(ExitReason::Panicked { message, .. }) if message == "panic in stop"),
        "{last:?}"
    );
    assert_eq!(trio.restarts(), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_during_a_stop_is_not_repaired() {
    let trio = Trio::start(OneForOne, |_, spec| spec).await;
    trio.addrs[2].try_tell(Work(2 * S)).unwrap();
    let crash = async {
        tokio::time::sleep(S).await;
        trio.crash(0).await;
    };
    let (exit, ()) = tokio::join!(trio.root.stop(), crash);
    assert_eq!(exit, Exit::Stopped);
    assert_eq!(trio.journal.take(), "-c -b");
    assert_eq!(trio.restarts(), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_start_that_is_under_way() {
    let never = ChildSpec::task("never", |ctx| async move {
        ctx.stopping().await;
        Ok(())
    });
    let supervisor = Supervisor::new("root", OneForOne);
    let handle = supervisor.handle();
    let root = supervisor.start().await.unwrap();
    let before = tokio::time::Instant::now();
    let stop = async {
        tokio::time::sleep(S).await;
        root.stop().await
    };
    let (added, exit) = tokio::join!(handle.add(never.start_within(LONG)), stop);
    assert!(added.is_err());
    assert_eq!((exit, before.elapsed().as_secs()), (Exit::Stopped, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_pause_before_a_restart() {
    let trio = Trio::start(OneForOne, |_, spec| spec.backoff(LONG, LONG)).await;
    trio.crash(1).await;
    let before = tokio::time::Instant::now();
    trio.root.stop().await;
    assert_eq!(before.elapsed().as_secs(), 0);
    assert_eq!(trio.journal.take(), "-c -a");
}

#[tokio::test(start_paused = true)]
async fn a_killed_tree_ends_at_once_with_all_its_grandchildren() {
    let journal = Journal::default();
    let (a, a_spec, _) = part("a", &journal);
    let (b, b_spec, _) = part("b", &journal);
    let inner = Supervisor::new("inner", OneForOne).child(b_spec);
    let root = Supervisor::new("root", OneForOne).child(a_spec).child(ChildSpec::supervisor(inner));
    let root = root.start().await.unwrap();
    a.try_tell(Work(LONG)).unwrap();
    b.try_tell(Work(LONG)).unwrap();
    tokio::task::yield_now().await;
    let before = tokio::time::Instant::now();
    root.kill().await;
    assert_eq!(before.elapsed().as_secs(), 0);
    let journal = journal.take();
    assert!(journal.contains("!a") && journal.contains("!b") && !journal.contains('-'), "{journal}");
}

#[tokio::test(start_paused = true)]
async fn a_root_that_is_dropped_stops_its_tree() {
    let journal = Journal::default();
    let (_a, spec, _) = part("a", &journal);
    drop(Supervisor::new("root", OneForOne).child(spec).start().await.unwrap());
    journal.expect("+a -a !a").await;
}

fn pending(root: &Root) -> Vec<String> {
    root.pending().iter().map(|info| format!("{} {}", info.path, info.state.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_takes_long_names_the_processes_that_have_not_ended() {
    let journal = Journal::default();
    let parts = ["a", "b", "c", "d"].map(|name| part(name, &journal));
    Settings::set(&parts[2].2.hang_in_stop);
    let [a, b, c, d] = parts.map(|(_, spec, _)| spec.shutdown(LONG));
    let inner = Supervisor::new("inner", OneForOne).child(b).child(c).child(d);
    let root = Supervisor::new("root", OneForOne).child(a).child(ChildSpec::supervisor(inner));
    let root = root.start().await.unwrap();
    assert_eq!(
        pending(&root),
        ["root/a running", "root/inner/b running", "root/inner/c running", "root/inner/d running"]
    );
    assert!(tokio::time::timeout(S, root.stop()).await.is_err());
    assert_eq!(pending(&root), ["root/inner/c stopping", "root/a running", "root/inner/b running"]);
    assert_eq!(root.kill().await, Exit::Stopped);
    assert!(pending(&root).is_empty(), "all have ended");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_process_between_two_incarnations() {
    let trio = Trio::start(OneForOne, |_, spec| spec.backoff(LONG, LONG)).await;
    trio.crash(1).await;
    tokio::time::sleep(S).await;
    assert_eq!(pending(&trio.root), ["root/a running", "root/c running"]);
}
