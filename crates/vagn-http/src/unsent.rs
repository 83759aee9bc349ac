//! Memory for output that sockets do not take. It is apart from that of answers: else peers who read nothing would use up what is kept back
//! there for others.
//!
//! The socket of an honest peer takes no more for a moment, too. So when all is held, whoever has waited longest gives way.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::Instant;
use vagn_flow::allowance::Source;

use super::account::{Account, Full, Portion};

/// Time for which output may wait in any case. Over a poor network a peer takes something sooner.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(1);

/// Most outputs that give way for one. So many hold as much as one may, if each holds a kilobyte.
const GIVE_WAY_MAX: usize = 64;

/// The memory.
#[derive(Debug)]
pub(crate) struct Unsent {
    account: Arc<Account>,
    /// Outputs that wait, by rising numbers.
    waits: Mutex<BTreeMap<u64, Arc<Wait>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Wait {
    since: Instant,
    /// None once it has given way: what it holds is freed when its connection ends, which is as soon as that is woken.
    portion: Mutex<Option<Portion>>,
    waker: AtomicWaker,
}

/// The output of one connection, while it waits for the socket.
#[derive(Debug)]
pub(crate) struct Waiting {
    number: u64,
    wait: Arc<Wait>,
    unsent: Arc<Unsent>,
}

/// Reason why output cannot wait: it had to give way.
pub(crate) const GAVE_WAY: &str = "gave_way";
/// Reason why output cannot wait: there is no room, and nobody who would give way.
pub(crate) const NO_ROOM: &str = "no_room";

impl Unsent {
    pub(crate) fn new(account: Arc<Account>) -> Arc<Self> {
        Arc::new(Self { account, waits: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Bytes that are held now.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.account.held()
    }

    /// Begins a wait, which holds nothing yet.
    pub(crate) fn begin(self: &Arc<Self>, peer: Option<Source>) -> Waiting {
        let portion = Mutex::new(Some(self.account.owe(peer, 0)));
        let wait = Arc::new(Wait { since: Instant::now(), portion, waker: AtomicWaker::new() });
        let number = self.next.fetch_add(1, atomic::Ordering::Relaxed);
        self.waits.lock().insert(number, wait.clone());
        Waiting { number, wait, unsent: self.clone() }
    }

    /// Lets the one that has waited longest give way; false if none has waited long.
    fn let_the_oldest_give_way(&self) -> bool {
        let oldest = {
            let mut waits = self.waits.lock();
            match waits.first_entry().filter(|oldest| oldest.get().since.elapsed() >= GIVES_WAY_AFTER) {
                Some(oldest) => oldest.remove(),
                None => return false,
            }
        };
        drop(oldest.portion.lock().take());
        oldest.waker.wake();
        true
    }
}

impl Waiting {
    /// Holds so many bytes from now on.
    ///
    /// # Errors
    /// The reason why it cannot: then the connection is to be ended.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), &'static str> {
        for _ in 0..=GIVE_WAY_MAX {
            match self.try_hold(bytes)? {
                Ok(()) => return Ok(()),
                Err(Full::All) if self.unsent.let_the_oldest_give_way() => {}
                Err(_) => break,
            }
        }
        Err(NO_ROOM)
    }

    // On its own, so that no lock is held while another gives way: that may be this one.
    fn try_hold(&self, bytes: usize) -> Result<Result<(), Full>, &'static str> {
        let mut portion = self.wait.portion.lock();
        let portion = portion.as_mut().ok_or(GAVE_WAY)?;
        let before = portion.amount();
        match bytes.cmp(&before) {
            // Mostly: a connection is woken for much else.
            Ordering::Equal => {}
            Ordering::Less => portion.shrink(bytes),
            Ordering::Greater => return Ok(portion.add(bytes - before, self.unsent.account.limit())),
        }
        Ok(Ok(()))
    }

    /// Resolves when it has given way.
    pub(crate) fn poll_given_way(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.waker.register(cx.waker());
        if self.wait.portion.lock().is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.unsent.waits.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::account::AccountGauges;
    use vagn_flow::peer::SharedAddresses;

    fn unsent() -> Arc<Unsent> {
        Unsent::new(Account::new(100, 40, AccountGauges::default()))
    }

    fn has_given_way(waiting: &Waiting) -> bool {
        waiting.poll_given_way(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_longest_gives_way_and_no_more_is_held_than_may_be() {
        let unsent = unsent();
        let crowd: Vec<_> = (0..10).map(|_| unsent.begin(None)).collect();
        crowd.iter().for_each(|one| one.hold(10).unwrap());
        assert_eq!(unsent.begin(None).hold(25), Err(NO_ROOM), "all have only begun to wait");
        tokio::time::advance(GIVES_WAY_AFTER).await;
        let newcomer = unsent.begin(None);
        assert_eq!((newcomer.hold(25), unsent.held()), (Ok(()), 95));
        let given_way: Vec<_> = crowd.iter().map(has_given_way).collect();
        assert_eq!(given_way, [true, true, true, false, false, false, false, false, false, false]);
        assert_eq!(crowd[0].hold(1), Err(GAVE_WAY));
        drop((crowd, newcomer));
        assert_eq!((unsent.held(), unsent.waits.lock().len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_needs_more_than_all_others_have_gives_way_itself() {
        let unsent = unsent();
        let (first, second) = (unsent.begin(None), unsent.begin(None));
        assert_eq!((first.hold(60), second.hold(40)), (Ok(()), Ok(())));
        tokio::time::advance(GIVES_WAY_AFTER).await;
        assert_eq!(first.hold(70), Err(GAVE_WAY), "it is the oldest");
        assert_eq!((second.hold(100), second.hold(5), unsent.held()), (Ok(()), Ok(()), 5));
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_leaves_room_to_others() {
        let unsent = unsent();
        let peer = SharedAddresses::default().peer("192.0.2.1".parse().unwrap());
        let (greedy, more) = (unsent.begin(peer), unsent.begin(peer));
        assert_eq!(
            (greedy.hold(40), more.hold(1), unsent.begin(None).hold(60)),
            (Ok(()), Err(NO_ROOM), Ok(()))
        );
    }
}
