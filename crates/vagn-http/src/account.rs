//! Accounts of what is scarce, such as bytes or places: the amount of it, the part that each holder has, and what is kept back.
//!
//! A portion belongs to one holder and goes back when it is dropped, so that an account cannot be wrong for long.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::allowance::Source;

/// Gauges of an account.
#[derive(Debug, Clone, Default)]
pub struct AccountGauges {
    /// Amount that is held now.
    pub held: Gauge<u64, AtomicU64>,
    /// Most that was ever held at once.
    pub highest: Gauge<u64, AtomicU64>,
}

/// An account.
#[derive(Debug)]
pub struct Account {
    limit: usize,
    per_peer: usize,
    book: Mutex<Book>,
    gauges: AccountGauges,
}

#[derive(Debug, Default)]
struct Book {
    held: usize,
    highest: usize,
    /// Most that was held since the last look.
    peak: usize,
    /// Amount that each peer holds, for peers that hold something.
    by_peer: HashMap<Source, usize>,
}

/// Reason why a portion is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Others hold all of it.
    All,
    /// This peer holds as much as one may.
    Peer,
}

/// A part of an account, in the hands of one holder.
#[derive(Debug)]
pub struct Portion {
    account: Arc<Account>,
    peer: Option<Source>,
    amount: usize,
}

impl Account {
    /// Opens an account of `limit`, of which one peer may hold `per_peer`.
    pub fn new(limit: usize, per_peer: usize, gauges: AccountGauges) -> Arc<Self> {
        Arc::new(Self { limit, per_peer, book: Mutex::default(), gauges })
    }

    /// Returns all that there is.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns all that is held now.
    pub fn held(&self) -> usize {
        self.book.lock().held
    }

    /// Returns the most that was held since the last call.
    pub(crate) fn take_peak(&self) -> usize {
        let mut book = self.book.lock();
        let held = book.held;
        std::mem::replace(&mut book.peak, held)
    }

    /// Hands out `amount`, as long as no more than `up_to` is held then. What lies above is kept back for others.
    ///
    /// # Errors
    /// [`Full`] when there is not so much, or the peer holds too much already.
    pub fn take(
        self: &Arc<Self>,
        peer: Option<Source>,
        amount: usize,
        up_to: usize,
    ) -> Result<Portion, Full> {
        let mut portion = Portion { account: self.clone(), peer, amount: 0 };
        portion.add(amount, up_to)?;
        Ok(portion)
    }

    /// Hands out `amount` in any case: for what is there already, and is only counted.
    pub fn owe(self: &Arc<Self>, peer: Option<Source>, amount: usize) -> Portion {
        self.book(peer, amount, |_| Ok(())).ok();
        Portion { account: self.clone(), peer, amount }
    }

    fn book(
        &self,
        peer: Option<Source>,
        amount: usize,
        check: impl FnOnce(&Book) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let mut book = self.book.lock();
        check(&book)?;
        book.held += amount;
        book.highest = book.highest.max(book.held);
        book.peak = book.peak.max(book.held);
        if let Some(peer) = peer.filter(|_| amount > 0) {
            *book.by_peer.entry(peer).or_default() += amount;
        }
        self.gauges.held.set(book.held as u64);
        self.gauges.highest.set(book.highest as u64);
        Ok(())
    }

    fn check(&self, book: &Book, peer: Option<Source>, amount: usize, up_to: usize) -> Result<(), Full> {
        let by_peer = peer.and_then(|peer| book.by_peer.get(&peer)).copied().unwrap_or_default();
        if peer.is_some() && by_peer + amount > self.per_peer {
            return Err(Full::Peer);
        }
        if book.held + amount > up_to.min(self.limit) { Err(Full::All) } else { Ok(()) }
    }

    fn give_back(&self, peer: Option<Source>, amount: usize) {
        let mut book = self.book.lock();
        book.held -= amount;
        if let Some(peer) = peer
            && let Some(held) = book.by_peer.get_mut(&peer)
        {
            *held -= amount;
            if *held == 0 {
                book.by_peer.remove(&peer);
            }
        }
        self.gauges.held.set(book.held as u64);
    }
}

impl Portion {
    /// Takes `amount` more, as [`Account::take`] does.
    ///
    /// # Errors
    /// [`Full`], and then nothing has changed.
    pub fn add(&mut self, amount: usize, up_to: usize) -> Result<(), Full> {
        let Self { account, peer, .. } = self;
        account.book(*peer, amount, |book| account.check(book, *peer, amount, up_to))?;
        self.amount += amount;
        Ok(())
    }

    /// Gives back all but `amount`.
    pub fn shrink(&mut self, amount: usize) {
        let less = self.amount.saturating_sub(amount);
        self.account.give_back(self.peer, less);
        self.amount -= less;
    }

    /// Returns the amount.
    pub fn amount(&self) -> usize {
        self.amount
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.account.give_back(self.peer, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_flow::peer::SharedAddresses;

    fn peer(address: &str) -> Option<Source> {
        SharedAddresses::default().peer(address.parse().unwrap())
    }

    fn account() -> Arc<Account> {
        Account::new(100, 40, AccountGauges::default())
    }

    #[test]
    fn what_is_kept_back_is_there_for_others() {
        let account = account();
        let most = account.take(None, 70, 70).unwrap();
        assert_eq!(account.take(None, 1, 70).unwrap_err(), Full::All);
        let rest = account.take(None, 30, 100).unwrap();
        assert_eq!(account.take(None, 1, 1_000).unwrap_err(), Full::All, "no one gets beyond the limit");
        drop((most, rest));
        assert_eq!((account.held(), account.gauges.held.get(), account.gauges.highest.get()), (0, 0, 100));
    }

    #[test]
    fn a_peer_leaves_something_to_others() {
        let account = account();
        let (greedy, other) = (peer("192.0.2.1"), peer("192.0.2.2"));
        let mut first = account.take(greedy, 30, 100).unwrap();
        assert_eq!(account.take(greedy, 11, 100).unwrap_err(), Full::Peer);
        assert_eq!(first.add(11, 100).unwrap_err(), Full::Peer);
        assert_eq!(first.amount(), 30, "a refusal changes nothing");
        first.add(10, 100).unwrap();
        assert!(account.take(other, 40, 100).is_ok() && account.take(None, 60, 100).is_ok());
        first.shrink(5);
        assert!(account.take(greedy, 35, 100).is_ok());
        drop(first);
        assert_eq!(account.held(), 0);
        assert!(account.book.lock().by_peer.is_empty(), "a peer that holds nothing is forgotten");
    }

    #[test]
    fn what_is_owed_is_counted_beyond_the_limit_too() {
        let account = account();
        let owed = account.owe(peer("192.0.2.1"), 150);
        assert_eq!(account.held(), 150);
        assert!(account.take(None, 1, 100).is_err());
        drop(owed);
        assert_eq!(account.held(), 0);
    }
}
