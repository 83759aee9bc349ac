//! The process list.

use std::time::Duration;

use vagn_otp::Strategy::OneForOne;
use vagn_otp::testkit::until;
use vagn_otp::{ChildSpec, Kind, Pool, ProcessState, Supervisor};

use crate::parts::{Crash, Finish, Journal, LONG, Work, part};

const S: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_list_shows_the_tree_with_parents_before_children_in_start_order() {
    let (_addr, actor, _) = part("a", &Journal::default());
    let task = ChildSpec::task("t", |ctx| async move {
        ctx.ready();
        ctx.stopping().await;
        Ok(())
    });
    let thread = ChildSpec::thread("th", |ctx| {
        ctx.ready();
        while !ctx.sleep(LONG) {}
        Ok(())
    });
    let (_pool, pool) = Pool::<()>::builder("p").workers(2).child(|_| |()| ());
    let inner = Supervisor::new("inner", OneForOne).child(task).child(thread);
    let root =
        Supervisor::new("root", OneForOne).child(ChildSpec::supervisor(inner)).child(actor).child(pool);
    let processes = root.processes();
    let root = root.start().await.unwrap();
    let lines: Vec<_> = processes.list().iter().map(|p| format!("{} {}", p.path, p.kind.as_str())).collect();
    let expected = [
        "root supervisor",
        "root/inner supervisor",
        "root/inner/t task",
        "root/inner/th thread",
        "root/a actor",
        "root/p supervisor",
        "root/p/p-0 worker",
        "root/p/p-1 worker",
    ];
    assert_eq!(lines, expected);
    let list = processes.list();
    assert!(list.iter().all(|p| p.state == ProcessState::Running));
    assert_eq!(list[2].parent.as_deref(), Some("root/inner"));
    root.stop().await;
    assert!(processes.list().iter().all(|p| p.path == "root" || p.state == ProcessState::Ended));
}

#[tokio::test(start_paused = true)]
async fn the_list_tells_the_state_and_the_counters_of_each_process() {
    vagn_otp::quiet_panics();
    let (addr, spec, _) = part("a", &Journal::default());
    let root = Supervisor::new("root", OneForOne).child(spec.transient()).start().await.unwrap();
    addr.call(Work(2 * S), LONG).await.unwrap();
    addr.call(Crash, LONG).await.unwrap_err();
    let info = until(|| root.processes().get("a").filter(|info| info.restarts == 1)).await;
    assert_eq!((info.kind, info.handled, info.sent, info.lost), (Kind::Actor, 1, 2, 1));
    assert_eq!(info.busy.as_secs(), 2);
    assert_eq!(info.mailbox_capacity, 1024);
    let exit = info.last_exit.unwrap().to_string();
    assert!(exit.starts_with("panicked: a crashed (") && exit.contains("parts.rs:"), "{exit}");

    addr.try_tell(Work(10 * S)).unwrap();
    addr.try_tell(Finish).unwrap();
    tokio::time::sleep(4 * S).await;
    let info = root.processes().get("root/a").unwrap();
    assert_eq!(info.mailbox_depth, 1);
    assert_eq!(info.busy.as_secs(), 6, "the message in hand counts");
    tokio::time::sleep(10 * S).await;
    let info = root.processes().get("a").unwrap();
    assert_eq!((info.state, info.since.as_secs()), (ProcessState::Ended, 4));
    assert_eq!(info.last_exit.unwrap().to_string(), "finished");
}

#[tokio::test(start_paused = true)]
async fn a_task_counts_its_own_work() {
    let spec = ChildSpec::task("t", |ctx| async move {
        ctx.ready();
        let busy = ctx.busy();
        tokio::time::sleep(2 * S).await;
        drop(busy);
        ctx.stats().add_handled(3);
        ctx.stopping().await;
        Ok(())
    });
    let root = Supervisor::new("root", OneForOne).child(spec).start().await.unwrap();
    tokio::time::sleep(9 * S).await;
    let info = root.processes().get("t").unwrap();
    assert_eq!((info.handled, info.busy.as_secs()), (3, 2));
}
