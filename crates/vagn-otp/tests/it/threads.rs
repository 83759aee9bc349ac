//! Children on threads of their own. The tests run on the real clock, for threads know no other, and wait for conditions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vagn_otp::Strategy::{OneForOne, RestForOne};
use vagn_otp::testkit::{Alone, until};
use vagn_otp::{Actor, ChildSpec, Context, Exit, ExitReason, Fault, Handle, ProcessState, Supervisor};

use crate::parts::{Journal, LONG, part};

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_thread_starts_stops_and_is_restarted_like_any_child() {
    vagn_otp::quiet_panics();
    let journal = Journal::default();
    let noted = journal.clone();
    let spec = ChildSpec::thread("t", move |ctx| {
        noted.note("+t");
        ctx.ready();
        while !ctx.sleep(MS) {
            ctx.beat();
        }
        noted.note("-t");
        Ok(())
    });
    let alone = Alone::child(spec).await;
    alone.inject(Fault::Panic);
    assert!(matches!(alone.restarted(1).await, ExitReason::Panicked { .. }));
    journal.expect("+t +t").await;
    assert_eq!(alone.stop().await, Exit::Stopped);
    assert_eq!(journal.take(), "-t");
}

#[tokio::test]
async fn a_thread_that_hangs_is_found_by_its_watchdog() {
    let spec = ChildSpec::thread("t", |ctx| {
        ctx.ready();
        while !ctx.stopping() {
            ctx.beat();
            ctx.sleep(MS);
        }
        Ok(())
    });
    let alone = Alone::child(spec.watchdog(500 * MS)).await;
    alone.inject(Fault::Hang);
    assert_eq!(alone.restarted(1).await, ExitReason::Hung);
    until(|| (alone.info()?.state == ProcessState::Running).then_some(())).await;
    assert_eq!(alone.info().unwrap().abandoned, 0, "an injected hang ends when killed");
    alone.stop().await;
}

/// A thread that does not look at its stop flag until it is released, and then writes it down.
fn deaf(release: &Arc<AtomicBool>, journal: &Journal) -> ChildSpec {
    let release = release.clone();
    let journal = journal.clone();
    ChildSpec::thread("deaf", move |ctx| {
        ctx.ready();
        while !release.load(Ordering::SeqCst) {
            std::thread::sleep(MS);
        }
        journal.note(if ctx.stopping() { "told to stop" } else { "at work" });
        while !ctx.sleep(LONG) {}
        Ok(())
    })
}

#[tokio::test]
async fn a_stuck_thread_is_left_behind_fenced_and_shown() {
    let release = Arc::new(AtomicBool::new(false));
    let journal = Journal::default();
    let alone = Alone::child(deaf(&release, &journal)).await;
    alone.kill();
    alone.restarted(1).await;
    let info = until(|| alone.info().filter(|info| info.state == ProcessState::Running)).await;
    assert_eq!((info.abandoned, info.last_exit), (1, Some(ExitReason::Killed)));
    release.store(true, Ordering::SeqCst);
    until(|| (alone.info()?.abandoned == 0).then_some(())).await;
    // The old one stays stopped, and the new one works; either may be first.
    let both = ["told to stop at work", "at work told to stop"];
    until(|| both.contains(&journal.read().as_str()).then_some(())).await;
    alone.stop().await;
}

#[tokio::test]
async fn a_thread_never_to_be_abandoned_is_waited_for() {
    let release = Arc::new(AtomicBool::new(false));
    let journal = Journal::default();
    let alone = Alone::child(deaf(&release, &journal).never_abandon()).await;
    alone.kill();
    until(|| (alone.info()?.state == ProcessState::Stopping).then_some(())).await;
    // More time than a thread gets that may be left behind.
    let early = tokio::time::timeout(1500 * MS, alone.restarted(1)).await;
    assert!(early.is_err(), "no second incarnation while the first still runs");
    release.store(true, Ordering::SeqCst);
    alone.restarted(1).await;
    assert_eq!(alone.info().unwrap().abandoned, 0);
    alone.stop().await;
}

#[tokio::test]
async fn a_thread_never_to_be_abandoned_is_listed_as_hung_until_it_has_ended() {
    let release = Arc::new(AtomicBool::new(false));
    let journal = Journal::default();
    let alone = Alone::child(deaf(&release, &journal).never_abandon().watchdog(50 * MS)).await;
    until(|| alone.info()?.hung.filter(|hung| *hung >= 50 * MS)).await;
    assert_eq!(alone.info().unwrap().restarts, 0);
    release.store(true, Ordering::SeqCst);
    assert_eq!(alone.restarted(1).await, ExitReason::Hung);
    alone.stop().await;
}

#[tokio::test]
async fn a_stuck_thread_delays_the_stop_of_the_others_by_its_limits_only() {
    let release = Arc::new(AtomicBool::new(false));
    let journal = Journal::default();
    let (_a, a_spec, _) = part("a", &journal);
    let deaf = deaf(&release, &Journal::default()).shutdown(10 * MS);
    let root = Supervisor::new("root", OneForOne).child(a_spec).child(deaf).start().await.unwrap();
    let exit = tokio::time::timeout(LONG, root.stop()).await;
    assert_eq!(exit, Ok(Exit::Stopped));
    assert_eq!(journal.take(), "+a -a !a");
    assert_eq!(root.processes().get("deaf").unwrap().abandoned, 1);
    release.store(true, Ordering::SeqCst);
}

/// An actor that tells the name of its thread, and may block it.
struct OnThread;

impl Actor for OnThread {}

struct WhereAreYou;
struct Sleep(Duration);

impl Handle<WhereAreYou> for OnThread {
    type Reply = Option<String>;

    async fn handle(&mut self, _: WhereAreYou, _: &mut Context<Self>) -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }
}

impl Handle<Sleep> for OnThread {
    type Reply = ();

    async fn handle(&mut self, sleep: Sleep, _: &mut Context<Self>) {
        std::thread::sleep(sleep.0);
    }
}

#[tokio::test]
async fn an_actor_on_its_own_thread_may_block_without_holding_up_the_runtime() {
    let (addr, spec) = ChildSpec::actor("writer", 8, || OnThread);
    let root = Supervisor::new("root", OneForOne).child(spec.on_thread().nice(5)).start().await.unwrap();
    assert_eq!(addr.call(WhereAreYou, LONG).await, Ok(Some("writer".to_owned())));
    let blocked = addr.call(Sleep(50 * MS), LONG);
    // The runtime has one thread here. It can still answer, so the actor has another.
    let (blocked, state) = tokio::join!(blocked, async { root.processes().get("writer").unwrap().state });
    assert_eq!((blocked, state), (Ok(()), ProcessState::Running));
    root.stop().await;
}

/// Blocks its thread until it may go on.
struct Block(Arc<AtomicBool>);

impl Handle<Block> for OnThread {
    type Reply = ();

    async fn handle(&mut self, block: Block, _: &mut Context<Self>) {
        while !block.0.load(Ordering::SeqCst) {
            std::thread::sleep(MS);
        }
    }
}

#[tokio::test]
async fn an_actor_left_behind_in_a_blocking_handler_touches_the_mailbox_no_more() {
    let release = Arc::new(AtomicBool::new(false));
    let (addr, spec) = ChildSpec::actor("writer", 1024, || OnThread);
    let alone = Alone::child(spec.on_thread().watchdog(300 * MS)).await;
    addr.try_tell(Block(release.clone())).unwrap();
    assert_eq!(alone.restarted(1).await, ExitReason::Hung);
    until(|| (alone.info()?.state == ProcessState::Running).then_some(())).await;
    assert_eq!(alone.info().unwrap().abandoned, 1);
    addr.try_tell(Block(release.clone())).unwrap();
    release.store(true, Ordering::SeqCst);
    until(|| (alone.info()?.abandoned == 0).then_some(())).await;
    assert!(addr.call(WhereAreYou, LONG).await.is_ok());
    // The old one finished its message, which was not lost after all; the new one handled the rest.
    until(|| (addr.stats().handled() == 3).then_some(())).await;
    assert_eq!((addr.stats().lost(), alone.info().unwrap().restarts), (0, 1));
    alone.stop().await;
}

#[tokio::test]
async fn an_actor_on_its_own_thread_survives_panics_and_drains_like_any_other() {
    vagn_otp::quiet_panics();
    let (addr, spec) = ChildSpec::actor("writer", 1024, || OnThread);
    let root = Supervisor::new("root", RestForOne).child(spec.on_thread()).start().await.unwrap();
    root.processes().inject("writer", Fault::Panic);
    assert!(addr.call(WhereAreYou, LONG).await.is_err());
    assert!(addr.call(WhereAreYou, LONG).await.is_ok());
    for _ in 0..1000 {
        addr.try_tell(WhereAreYou).unwrap();
    }
    root.stop().await;
    assert_eq!((addr.stats().handled(), addr.stats().lost()), (1001, 1));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thread_runs_at_its_own_nice_value_and_no_other_thread_does() {
    // Field 19 of the thread's own stat, counted after the name in brackets.
    fn nice() -> Option<i32> {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()
    }
    let before = nice().unwrap();
    let journal = Journal::default();
    let noted = journal.clone();
    let spec = ChildSpec::thread("low", move |ctx| {
        noted.note(format!("{:?}", nice()));
        ctx.ready();
        while !ctx.sleep(LONG) {}
        Ok(())
    });
    let alone = Alone::child(spec.nice(19)).await;
    assert_eq!((journal.take(), nice()), ("Some(19)".to_owned(), Some(before)));
    alone.stop().await;
}
