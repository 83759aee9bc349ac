//! An address and its mailbox, over crashes, restarts and the end.

use std::time::Duration;

use vagn_otp::Strategy::OneForOne;
use vagn_otp::testkit::{Alone, Probe, until};
use vagn_otp::{Actor, Addr, CallError, ChildSpec, Context, Handle, Recipient, Supervisor, TellError};

use crate::parts::{Crash, Finish, Journal, LONG, Note, Work, part};

const S: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_mailbox_survives_a_crash_and_only_the_message_in_hand_is_lost() {
    vagn_otp::quiet_panics();
    let journal = Journal::default();
    let (addr, spec, _) = part("a", &journal);
    for n in 1..=3 {
        addr.try_tell(Note(n)).unwrap();
    }
    addr.try_tell(Crash).unwrap();
    for n in 4..=6 {
        addr.try_tell(Note(n)).unwrap();
    }
    let alone = Alone::child(spec).await;
    journal.expect("+a a1 a2 a3 !a +a a4 a5 a6").await;
    let stats = addr.stats();
    assert_eq!((stats.sent(), stats.handled(), stats.lost(), stats.restarts()), (7, 6, 1, 1));
    alone.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_into_a_crash_is_answered_at_once() {
    vagn_otp::quiet_panics();
    let (addr, spec, _) = part("a", &Journal::default());
    let _alone = Alone::child(spec).await;
    let before = tokio::time::Instant::now();
    assert_eq!(addr.call(Crash, LONG).await, Err(CallError::Crashed));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_in_hand_when_its_actor_is_killed_is_answered_at_once() {
    let (addr, spec, _) = part("a", &Journal::default());
    let alone = Alone::child(spec).await;
    let call = addr.call(Work(LONG), LONG);
    let kill = async {
        tokio::time::sleep(S).await;
        alone.kill();
    };
    assert_eq!(tokio::join!(call, kill).0, Err(CallError::Crashed));
}

#[tokio::test(start_paused = true)]
async fn a_call_into_a_restart_waits_and_is_answered_by_the_next_incarnation() {
    vagn_otp::quiet_panics();
    let (addr, spec, _) = part("a", &Journal::default());
    let _alone = Alone::child(spec.backoff(5 * S, 5 * S)).await;
    addr.try_tell(Crash).unwrap();
    assert_eq!(addr.call(Note(1), S).await, Err(CallError::Timeout), "not back within a second");
    assert_eq!(addr.call(Note(2), LONG).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_caller_has_given_up_is_not_handled() {
    let journal = Journal::default();
    let (addr, spec, _) = part("a", &journal);
    let _alone = Alone::child(spec).await;
    addr.try_tell(Work(10 * S)).unwrap();
    assert_eq!(addr.call(Note(1), S).await, Err(CallError::Timeout));
    assert_eq!(addr.call(Note(2), LONG).await, Ok(2));
    assert_eq!(journal.take(), "+a a2");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_covers_the_queue_and_the_work() {
    let (addr, spec, _) = part("a", &Journal::default());
    let _alone = Alone::child(spec).await;
    addr.try_tell(Work(3 * S)).unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(addr.call(Work(3 * S), 5 * S).await, Err(CallError::Timeout));
    assert_eq!(before.elapsed().as_secs(), 5);
}

/// Takes ten seconds for each message.
struct Slow;

impl Actor for Slow {}

impl Handle<u32> for Slow {
    type Reply = u32;

    async fn handle(&mut self, n: u32, _: &mut Context<Self>) -> u32 {
        tokio::time::sleep(10 * S).await;
        n
    }
}

async fn full_mailbox() -> (Addr<Slow>, Alone) {
    let (addr, spec) = ChildSpec::actor("slow", 1, || Slow);
    let alone = Alone::child(spec).await;
    addr.try_tell(1).expect("room for one");
    until(|| (addr.stats().depth() == 0).then_some(())).await;
    addr.try_tell(2).expect("room for another");
    (addr, alone)
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_hands_the_message_back_and_counts_it() {
    let (addr, _alone) = full_mailbox().await;
    assert_eq!(addr.try_tell(3), Err(TellError::Full(3)));
    assert_eq!(addr.tell(4, S).await, Err(TellError::Full(4)));
    assert_eq!(addr.call(5, S).await, Err(CallError::Full));
    let stats = addr.stats();
    assert_eq!((stats.sent(), stats.full(), stats.depth(), stats.capacity()), (2, 3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_can_wait_for_room_gets_it() {
    let (addr, _alone) = full_mailbox().await;
    assert_eq!(addr.tell(3, LONG).await, Ok(()));
    assert_eq!(addr.call(4, LONG).await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn messages_left_when_an_actor_ends_for_good_are_counted_and_their_callers_told() {
    let (addr, spec, _) = part("a", &Journal::default());
    let _alone = Alone::child(spec.transient()).await;
    addr.try_tell(Work(S)).unwrap();
    addr.try_tell(Finish).unwrap();
    addr.try_tell(Note(1)).unwrap();
    assert_eq!(addr.call(Note(2), LONG).await, Err(CallError::Down));
    assert_eq!(addr.try_tell(Note(3)).map_err(|error| error.into_inner().0), Err(3));
    let stats = addr.stats();
    assert_eq!((stats.handled(), stats.lost(), stats.down()), (2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_address_whose_child_never_ran_says_so() {
    let (addr, spec, _) = part("a", &Journal::default());
    addr.try_tell(Note(1)).unwrap();
    drop(spec);
    assert!(matches!(addr.try_tell(Note(2)), Err(TellError::Down(Note(2)))));
    assert_eq!(addr.stats().lost(), 1);
}

#[tokio::test]
async fn a_plain_thread_can_tell_and_call() {
    let journal = Journal::default();
    let (addr, spec, _) = part("a", &journal);
    let caller = addr.clone();
    let thread = ChildSpec::thread("caller", move |ctx| {
        ctx.ready();
        caller.tell_blocking(Note(1), LONG).map_err(|_| "not told")?;
        caller.call_blocking(Note(2), LONG)?;
        Ok(())
    });
    let supervisor = Supervisor::new("root", OneForOne).child(spec).child(thread.transient());
    let root = supervisor.start().await.unwrap();
    journal.expect("+a a1 a2").await;
    root.stop().await;
}

/// Sends itself a message every second.
struct Clock {
    probe: Recipient<&'static str>,
}

struct Tick;
struct Die;

impl Actor for Clock {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), vagn_otp::Failure> {
        ctx.tell_self_after(S, Tick);
        Ok(())
    }
}

impl Handle<Tick> for Clock {
    type Reply = ();

    async fn handle(&mut self, _: Tick, ctx: &mut Context<Self>) {
        self.probe.tell("tick", S).await.expect("the probe listens");
        ctx.tell_self_after(S, Tick);
    }
}

impl Handle<Die> for Clock {
    type Reply = ();

    async fn handle(&mut self, _: Die, ctx: &mut Context<Self>) {
        ctx.fail("asked to");
    }
}

#[tokio::test(start_paused = true)]
async fn timers_belong_to_the_incarnation_that_set_them() {
    let probe = Probe::new();
    let recipient = probe.recipient();
    let (addr, alone) = Alone::actor(move || Clock { probe: recipient.clone() }).await;
    probe.expect().await;
    tokio::time::sleep(S / 2).await;
    assert_eq!(addr.call(Die, LONG).await, Ok(()), "an actor that fails on purpose still answers");
    assert_eq!(alone.restarted(1).await, vagn_otp::ExitReason::Failed("asked to".to_owned()));
    // The first incarnation's next tick was due in half a second, the second's is due in one.
    probe.expect_nothing(S * 9 / 10).await;
    probe.expect().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_answers_refuses_and_waits_like_a_neighbour() {
    let probe = Probe::answering(|n: &u32| n * 2);
    let neighbour = probe.recipient();
    let (answer, question) = tokio::join!(neighbour.call(21, S), probe.expect());
    assert_eq!((answer, question), (Ok(42), 21));
    let waiting = tokio::join!(neighbour.call(1, LONG), async { probe.close() }).0;
    assert_eq!(waiting, Err(CallError::Down));
    assert_eq!(neighbour.try_tell(2), Err(TellError::Down(2)));
    assert_eq!(neighbour.call(3, S).await, Err(CallError::Down));
}

#[tokio::test(start_paused = true)]
async fn an_address_forgets_its_actors_type_and_works_as_before() {
    let journal = Journal::default();
    let (addr, spec, _) = part("a", &journal);
    let _alone = Alone::child(spec).await;
    let recipient: Recipient<Note, u32> = addr.recipient();
    recipient.try_tell(Note(1)).unwrap();
    recipient.tell(Note(2), S).await.unwrap();
    assert_eq!(recipient.call(Note(3), S).await, Ok(3));
    assert_eq!((recipient.name(), recipient.stats().handled()), ("a", 3));
    assert_eq!(journal.take(), "+a a1 a2 a3");
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_send_to_itself_without_deadlock() {
    struct Echo(Vec<u32>);
    impl Actor for Echo {}
    impl Handle<u32> for Echo {
        type Reply = Vec<u32>;
        async fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Vec<u32> {
            self.0.push(n);
            if n > 0 {
                ctx.addr().try_tell(n - 1).unwrap();
            }
            self.0.clone()
        }
    }
    let (addr, _alone) = Alone::actor(|| Echo(Vec::new())).await;
    addr.try_tell(3).unwrap();
    until(|| (addr.stats().handled() == 4).then_some(())).await;
    assert_eq!(addr.call(0, S).await, Ok(vec![3, 2, 1, 0, 0]));
}
