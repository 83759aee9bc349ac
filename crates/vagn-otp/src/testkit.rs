//! For tests: one actor alone, a probe in place of its neighbour, and faults on demand.
//!
//! Everything runs on tokio's paused clock: `#[tokio::test(start_paused = true)]` makes waits take no time. Threads, and therefore
//! pools, do not know that clock, and it runs ahead of them: a test with those does not pause it, and waits [`until`] a condition
//! is met.

use std::sync::Arc;
use std::time::Duration;

use crate::actor::Actor;
use crate::addr::{Addr, TellError};
use crate::child::ChildSpec;
use crate::exit::{Exit, ExitReason};
use crate::fault::Fault;
use crate::mailbox::BoxFuture;
use crate::process::{ProcessInfo, Processes};
use crate::queue::{PushError, Queue};
use crate::recipient::{Recipient, Target};
use crate::reply::Reply;
use crate::stats::Stats;
use crate::supervisor::{Root, Strategy, Supervisor};

/// Time a test waits for something that must come. Longer than any build machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One child that runs alone under a root, which restarts it without end.
pub struct Alone {
    root: Root,
    name: String,
}

impl Alone {
    /// Starts an actor by itself, with room for 64 messages.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn actor<A: Actor>(new: impl Fn() -> A + Send + Sync + 'static) -> (Addr<A>, Alone) {
        let (addr, spec) = ChildSpec::actor("actor", 64, new);
        (addr, Alone::child(spec).await)
    }

    /// Starts any child by itself.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn child(spec: ChildSpec) -> Alone {
        let name = spec.name().to_owned();
        // A test may make the child fail as often as it likes.
        let supervisor = Supervisor::new("test", Strategy::OneForOne).intensity(usize::MAX, PATIENCE);
        let root = supervisor.child(spec).start().await.expect("the child under test starts");
        Alone { root, name }
    }

    /// Returns the process list that the child is in.
    pub fn processes(&self) -> Processes {
        self.root.processes()
    }

    /// Returns the child's entry in the process list; none once it has ended for good.
    pub fn info(&self) -> Option<ProcessInfo> {
        self.processes().get(&self.name)
    }

    /// Lets the child fail at its next message, job or beat.
    pub fn inject(&self, fault: Fault) {
        assert!(self.processes().inject(&self.name, fault), "the child is gone");
    }

    /// Kills the child's present incarnation.
    pub fn kill(&self) {
        assert!(self.processes().kill(&self.name), "the child is gone");
    }

    /// Waits until the child was restarted this often, and returns the reason for its last end.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn restarted(&self, times: u64) -> ExitReason {
        until(|| self.info().filter(|info| info.restarts >= times).and_then(|info| info.last_exit)).await
    }

    /// Stops the child, and waits for its end.
    pub async fn stop(self) -> Exit {
        self.root.stop().await
    }
}

/// Waits until `condition` returns something. It looks again and again, and lets others run; on a paused clock it takes no time.
///
/// # Panics
/// If nothing has come after [`PATIENCE`].
pub async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let look = async {
        loop {
            if let Some(found) = condition() {
                return found;
            }
            // Not a mere yield, which would never let a paused clock go on.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the condition is met in time")
}

/// Takes the place of a neighbour, and shows its messages to the test.
pub struct Probe<M, R = ()> {
    inbox: Arc<Inbox<M, R>>,
}

struct Inbox<M, R> {
    queue: Queue<Letter<M, R>>,
    answer: Box<dyn Fn(&M) -> R + Send + Sync>,
    stats: Arc<Stats>,
}

struct Letter<M, R> {
    message: M,
    reply: Option<Reply<R>>,
}

impl<M: Send + 'static> Probe<M> {
    /// Makes a probe with room for 64 messages. Calls are answered with `()` when the test looks at them.
    #[expect(clippy::new_without_default, reason = "a probe is always made on purpose")]
    pub fn new() -> Self {
        Probe::answering(|_| ())
    }

    /// Makes a probe with room for `capacity` messages.
    pub fn with_capacity(capacity: usize) -> Self {
        Probe::build(capacity, |_| ())
    }
}

impl<M: Send + 'static, R: Send + 'static> Probe<M, R> {
    /// Makes a probe that answers calls with `answer`, when the test looks at them.
    pub fn answering(answer: impl Fn(&M) -> R + Send + Sync + 'static) -> Self {
        Probe::build(64, answer)
    }

    fn build(capacity: usize, answer: impl Fn(&M) -> R + Send + Sync + 'static) -> Self {
        let stats = Arc::new(Stats::default());
        let queue = Queue::new(capacity);
        Probe { inbox: Arc::new(Inbox { queue, answer: Box::new(answer), stats }) }
    }

    /// Returns the recipient to give to the actor under test.
    pub fn recipient(&self) -> Recipient<M, R> {
        Recipient::new(ProbeTarget { inbox: self.inbox.clone() })
    }

    /// Waits for the next message, and returns it.
    ///
    /// # Panics
    /// If none comes.
    pub async fn expect(&self) -> M {
        let next = tokio::time::timeout(PATIENCE, self.inbox.queue.pop()).await;
        let letter = next.expect("a message comes in time").expect("the probe is open");
        self.open(letter)
    }

    /// Returns the next message, if one is there.
    pub fn try_next(&self) -> Option<M> {
        self.inbox.queue.try_pop().map(|letter| self.open(letter))
    }

    /// Makes sure that no message comes for this long.
    ///
    /// # Panics
    /// If one comes.
    pub async fn expect_nothing(&self, during: Duration) {
        let next = tokio::time::timeout(during, self.inbox.queue.pop()).await;
        assert!(next.is_err(), "a message came where none was expected");
    }

    /// Lets the neighbour be down from now on: messages are refused, and waiting calls end.
    pub fn close(&self) {
        self.inbox.queue.close();
        self.inbox.queue.drain();
    }

    fn open(&self, letter: Letter<M, R>) -> M {
        if let Some(reply) = letter.reply {
            reply.send((self.inbox.answer)(&letter.message));
        }
        letter.message
    }
}

struct ProbeTarget<M, R> {
    inbox: Arc<Inbox<M, R>>,
}

impl<M, R> ProbeTarget<M, R> {
    fn sent(&self, result: Result<(), PushError<Letter<M, R>>>) -> Result<(), TellError<M>> {
        let stats = &self.inbox.stats;
        match result {
            Ok(()) => {
                stats.add_sent();
                Ok(())
            }
            Err(PushError::Full(letter)) => {
                stats.add_full();
                Err(TellError::Full(letter.message))
            }
            Err(PushError::Closed(letter)) => {
                stats.add_down();
                Err(TellError::Down(letter.message))
            }
        }
    }
}

impl<M: Send + 'static, R: Send + 'static> Target<M, R> for ProbeTarget<M, R> {
    fn name(&self) -> &str {
        "probe"
    }

    fn stats(&self) -> Arc<Stats> {
        self.inbox.stats.clone()
    }

    fn offer(&self, message: M) -> Result<(), TellError<M>> {
        self.sent(self.inbox.queue.try_push(Letter { message, reply: None }))
    }

    fn send(
        &self,
        message: M,
        reply: Option<Reply<R>>,
        within: Duration,
    ) -> BoxFuture<'_, Result<(), TellError<M>>> {
        Box::pin(async move { self.sent(self.inbox.queue.push(Letter { message, reply }, within).await) })
    }

    fn send_blocking(
        &self,
        message: M,
        reply: Option<Reply<R>>,
        within: Duration,
    ) -> Result<(), TellError<M>> {
        self.sent(self.inbox.queue.push_blocking(Letter { message, reply }, within))
    }
}
