//! Hung processes, and faults put into them on purpose.

use std::time::Duration;

use vagn_otp::Strategy::OneForOne;
use vagn_otp::testkit::Alone;
use vagn_otp::{CallError, ChildSpec, ExitReason, Fault, Strategy, Supervisor};

use crate::parts::{Journal, LONG, Note, Trio, Work, part};

const S: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_actor_stuck_in_one_message_is_restarted_as_hung() {
    let (addr, spec, _) = part("a", &Journal::default());
    let alone = Alone::child(spec.watchdog(3 * S)).await;
    let before = tokio::time::Instant::now();
    assert_eq!(addr.call(Work(LONG), LONG).await, Err(CallError::Crashed));
    assert_eq!(before.elapsed().as_secs(), 3);
    assert_eq!(alone.restarted(1).await, ExitReason::Hung);
    assert_eq!(addr.call(Note(1), S).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_watchdog_ends_neither_an_actor_with_many_messages_nor_an_idle_one() {
    let (addr, spec, _) = part("a", &Journal::default());
    let _alone = Alone::child(spec.watchdog(3 * S)).await;
    for _ in 0..10 {
        addr.call(Work(2 * S), LONG).await.unwrap();
        tokio::time::sleep(5 * S).await;
    }
    assert_eq!(addr.stats().restarts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_stops_beating_is_restarted() {
    let journal = Journal::default();
    let noted = journal.clone();
    let spec = ChildSpec::task("beater", move |ctx| {
        let journal = noted.clone();
        async move {
            ctx.ready();
            for _ in 0..5 {
                ctx.beat().await;
                tokio::time::sleep(2 * S).await;
            }
            {
                // Waits that may take any time do not count.
                let _idle = ctx.idle();
                tokio::time::sleep(100 * S).await;
            }
            journal.note("silent");
            ctx.stopping().await;
            Ok(())
        }
    });
    let alone = Alone::child(spec.watchdog(3 * S)).await;
    tokio::time::sleep(109 * S).await;
    assert_eq!((journal.take().as_str(), alone.info().unwrap().restarts), ("", 0));
    assert_eq!(alone.restarted(1).await, ExitReason::Hung);
}

#[tokio::test(start_paused = true)]
async fn an_injected_panic_acts_at_the_next_message_and_is_repaired() {
    vagn_otp::quiet_panics();
    for strategy in [Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll] {
        let trio = Trio::start(strategy, |_, spec| spec).await;
        assert!(trio.root.processes().inject("root/b", Fault::Panic));
        assert_eq!(trio.addrs[1].call(Note(1), LONG).await, Err(CallError::Crashed));
        trio.assert_well().await;
        assert_eq!(trio.restarts()[1], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_injected_hang_is_found_by_the_watchdog() {
    let (addr, spec, _) = part("a", &Journal::default());
    let alone = Alone::child(spec.watchdog(2 * S)).await;
    alone.inject(Fault::Hang);
    assert_eq!(addr.call(Note(1), LONG).await, Err(CallError::Crashed));
    assert_eq!(alone.restarted(1).await, ExitReason::Hung);
}

#[tokio::test(start_paused = true)]
async fn a_fault_acts_once_and_only_on_the_process_that_it_names() {
    vagn_otp::quiet_panics();
    let trio = Trio::start(OneForOne, |_, spec| spec).await;
    let processes = trio.root.processes();
    assert!(processes.inject("c", Fault::Panic));
    assert!(!processes.inject("unknown", Fault::Panic));
    assert!(!processes.inject("root", Fault::Panic), "supervisors handle no messages");
    assert_eq!(trio.addrs[2].call(Note(1), LONG).await, Err(CallError::Crashed));
    trio.assert_well().await;
    assert_eq!(trio.restarts(), [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn injected_faults_act_at_the_beats_of_a_task() {
    vagn_otp::quiet_panics();
    let spec = ChildSpec::task("beater", |ctx| async move {
        ctx.ready();
        loop {
            ctx.beat().await;
            tokio::time::sleep(S).await;
        }
    });
    let alone = Alone::child(spec.watchdog(5 * S)).await;
    alone.inject(Fault::Panic);
    assert!(
        matches!(alone.restarted(1).await, ExitReason::Panicked { message, .. } if message == "injected panic")
    );
    alone.inject(Fault::Hang);
    assert_eq!(alone.restarted(2).await, ExitReason::Hung);
    alone.kill();
    assert_eq!(alone.restarted(3).await, ExitReason::Killed);
}

#[tokio::test(start_paused = true)]
async fn killing_a_supervisor_restarts_its_branch_and_keeps_the_mailboxes() {
    let (addr, spec, _) = part("a", &Journal::default());
    let inner = Supervisor::new("inner", OneForOne).child(spec);
    let root = Supervisor::new("root", OneForOne).child(ChildSpec::supervisor(inner)).start().await.unwrap();
    addr.try_tell(Work(LONG)).unwrap();
    tokio::task::yield_now().await;
    let later = addr.call(Note(7), LONG);
    assert!(root.processes().kill("root/inner"));
    assert_eq!(later.await, Ok(7));
    assert_eq!(addr.stats().lost(), 1);
    assert_eq!(root.processes().get("inner").unwrap().restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_standstill_of_the_whole_process_is_held_against_no_part() {
    let (addr, spec, _) = part("a", &Journal::default());
    let alone = Alone::child(spec.watchdog(3 * S)).await;
    for standstill in [4 * S, 30 * S, 3600 * S] {
        let (sender, work) = (addr.clone(), Work(standstill + S));
        let answer = sender.call(work, LONG + standstill);
        let frozen = async {
            tokio::task::yield_now().await;
            tokio::time::advance(standstill).await;
        };
        let (answer, ()) = tokio::join!(answer, frozen);
        assert_eq!(answer.map(drop), Ok(()), "{standstill:?}");
    }
    assert_eq!(alone.info().unwrap().restarts, 0);
    // It is still found when it hangs.
    assert_eq!(addr.call(Work(LONG), LONG).await.map(drop), Err(CallError::Crashed));
    assert_eq!(alone.restarted(1).await, ExitReason::Hung);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_hangs_in_a_wait_is_listed_as_hung_while_that_lasts_and_not_killed() {
    let spec = ChildSpec::task("patient", |ctx| async move {
        ctx.ready();
        {
            let _patient = ctx.patient();
            tokio::time::sleep(10 * S).await;
        }
        while !ctx.is_stopping() {
            ctx.beat().await;
            tokio::time::sleep(S).await;
        }
        Ok(())
    });
    let alone = Alone::child(spec.watchdog(2 * S)).await;
    let hung = || alone.info().unwrap().hung;
    tokio::time::sleep(1500 * S / 1000).await;
    assert_eq!(hung(), None);
    tokio::time::sleep(S).await;
    assert!(hung().is_some_and(|hung| hung >= 2 * S), "{:?}", hung());
    tokio::time::sleep(5 * S).await;
    assert!(hung().is_some_and(|hung| hung >= 7 * S), "{:?}", hung());
    tokio::time::sleep(4 * S).await;
    assert_eq!((hung(), alone.info().unwrap().restarts), (None, 0));
}
