//! Guard of the tokens: counts those that are refused, and slows down an address that tries many.
//!
//! A token is looked up before its address is judged. One that cannot be guessed passes if it is right, whatever else came from there: a
//! stranger behind the same address locks no client out, and a caller that tries many learns nothing by it. Only short tokens of the settings,
//! which people may have made up, are waited for with the wrong ones, so that a caller learns which is right no faster than the quota allows. One of
//! them that was right from an address before passes there all the same; and where many are known to share an address, as behind a proxy
//! or on this machine, every right one does.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tracing::warn;
use vagn_flow::allowance::{Allowances, Quota, Source};
use vagn_flow::clock::Clock;
use vagn_flow::metrics::MetricRegistry;

use super::caller::Caller;
use super::refusal::Refusal;

/// Wrong tokens that one address may send: ten in any minute. Half of them at once, because a page asks several times with one that a
/// person has mistyped; and so a caller that was slowed down waits for some seconds only.
pub const WRONG_TOKENS: Quota = Quota { burst: 5, every: Duration::from_secs(12) };

/// Lines in the log about one address.
const LINES: Quota = Quota { burst: 1, every: Duration::from_secs(600) };

/// A token, as it was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookedUp {
    /// It is none that holds.
    Wrong,
    /// It holds, and is short enough to be found by trying. Has the beginning of its digest.
    Guessable(u64),
    /// It holds, and was not found by trying.
    Sure,
}

/// Most tokens that are known to have been right from an address. Only the holder of a token adds to them.
const FAMILIAR_MAX: usize = 1 << 14;

/// The guard. One is enough for all routes.
pub struct TokenGuard {
    clock: Arc<dyn Clock>,
    wrong: Mutex<Allowances>,
    lines: Mutex<Allowances>,
    /// Tokens by the beginning of their digests, each with an address from which it was right.
    familiar: Mutex<HashSet<(Source, u64)>>,
    refused: Family<RefusedLabel, Counter>,
}

/// `route="incidents",reason="wrong"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabel {
    route: &'static str,
    reason: &'static str,
}

impl TokenGuard {
    /// Makes a guard. `seed` is any secret number.
    pub fn new(clock: Arc<dyn Clock>, registry: &MetricRegistry, seed: u64) -> Arc<Self> {
        let help = "Requests refused for their token, by route and reason";
        let refused: Family<RefusedLabel, Counter> = Family::default();
        Arc::new(Self {
            clock,
            wrong: Mutex::new(Allowances::new(WRONG_TOKENS, seed)),
            lines: Mutex::new(Allowances::new(LINES, seed)),
            familiar: Mutex::default(),
            refused: registry.register("tokens_refused", help, refused),
        })
    }

    /// Judges a token from this caller.
    pub(crate) fn judge(&self, token: LookedUp, caller: Option<&Caller>) -> Result<(), Refusal> {
        let now = self.clock.monotonic();
        match token {
            LookedUp::Sure => Ok(()),
            LookedUp::Guessable(mark) => {
                caller.and_then(Caller::peer).map_or(Ok(()), |peer| self.admit(mark, peer, now))
            }
            // Without a caller, as in tests of a router alone, one cannot be told from others, and so none is slowed.
            LookedUp::Wrong => Err(caller.map_or(Refusal::Wrong, |caller| self.wrong(source(caller), now))),
        }
    }

    fn admit(&self, mark: u64, source: Source, now: Duration) -> Result<(), Refusal> {
        if self.familiar.lock().contains(&(source, mark)) {
            return Ok(());
        }
        if let Some(wait) = self.wrong.lock().wait(source, now) {
            return Err(Refusal::Slowed(wait));
        }
        self.remember(source, mark);
        Ok(())
    }

    fn remember(&self, source: Source, mark: u64) {
        let mut familiar = self.familiar.lock();
        if familiar.len() >= FAMILIAR_MAX
            && let Some(any) = familiar.iter().next().copied()
        {
            familiar.remove(&any);
        }
        familiar.insert((source, mark));
    }

    fn wrong(&self, source: Source, now: Duration) -> Refusal {
        let Err(wait) = self.wrong.lock().take(source, now) else { return Refusal::Wrong };
        if self.lines.lock().take(source, now).is_ok() {
            warn!(%source, "many wrong tokens come from this address; most get no answer but to wait");
        }
        Refusal::Slowed(wait)
    }

    /// Counts a refusal at a route.
    pub(crate) fn count(&self, route: &'static str, refusal: Refusal) {
        self.refused.get_or_create(&RefusedLabel { route, reason: refusal.reason() }).inc();
    }
}

impl fmt::Debug for TokenGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenGuard").finish_non_exhaustive()
    }
}

/// Returns the source of a wrong token: all callers that share addresses are one.
fn source(caller: &Caller) -> Source {
    caller.peer().unwrap_or_else(|| IpAddr::V4(Ipv4Addr::LOCALHOST).into())
}

/// Returns the class of a route by its path, as in `incidents` for `/api/v1/incidents/{id}`: a label of few values.
pub(crate) fn class(path: &'static str) -> &'static str {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    match path.trim_start_matches('/').split('/').next() {
        None | Some("") => "nearest",
        Some(first) => first,
    }
}

#[cfg(test)]
mod tests {
    use vagn_flow::clock::ManualClock;

    use super::*;

    fn guard() -> (Arc<TokenGuard>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(0));
        (TokenGuard::new(clock.clone(), &MetricRegistry::new(), 7), clock)
    }

    fn from(address: &str) -> Caller {
        Caller::new(Arc::default(), address.parse().unwrap())
    }

    fn guess(guard: &TokenGuard, address: &str) {
        for _ in 0..WRONG_TOKENS.burst {
            assert_eq!(guard.judge(LookedUp::Wrong, Some(&from(address))), Err(Refusal::Wrong));
        }
        assert!(matches!(guard.judge(LookedUp::Wrong, Some(&from(address))), Err(Refusal::Slowed(_))));
    }

    #[test]
    fn a_token_that_nobody_can_guess_passes_beside_any_number_of_wrong_ones() {
        let (guard, _) = guard();
        guess(&guard, "192.0.2.1");
        assert_eq!(guard.judge(LookedUp::Sure, Some(&from("192.0.2.1"))), Ok(()));
        assert!(guard.familiar.lock().is_empty(), "nothing need be remembered of it");
        let slowed = guard.judge(LookedUp::Wrong, Some(&from("192.0.2.1")));
        assert!(matches!(slowed, Err(Refusal::Slowed(_))), "it gives wrong ones no new allowance");
    }

    #[test]
    fn who_tries_many_tokens_is_not_told_which_is_right() {
        let (guard, clock) = guard();
        guess(&guard, "192.0.2.1");
        assert_eq!(
            guard.judge(LookedUp::Guessable(0), Some(&from("192.0.2.1"))),
            Err(Refusal::Slowed(WRONG_TOKENS.every))
        );
        assert_eq!(
            guard.judge(LookedUp::Guessable(0), Some(&from("192.0.2.2"))),
            Ok(()),
            "another address is not held up"
        );
        assert_eq!(guard.judge(LookedUp::Guessable(0), None), Ok(()));
        clock.advance(WRONG_TOKENS.every);
        assert_eq!(guard.judge(LookedUp::Wrong, Some(&from("192.0.2.1"))), Err(Refusal::Wrong));
        assert_eq!(
            guard.judge(LookedUp::Wrong, Some(&from("192.0.2.1"))),
            Err(Refusal::Slowed(WRONG_TOKENS.every))
        );
    }

    #[test]
    fn a_token_that_was_right_from_an_address_goes_on_from_there() {
        let (guard, _) = guard();
        assert_eq!(guard.judge(LookedUp::Guessable(3), Some(&from("192.0.2.1"))), Ok(()));
        guess(&guard, "192.0.2.1");
        assert_eq!(guard.judge(LookedUp::Guessable(3), Some(&from("192.0.2.1"))), Ok(()));
        assert!(
            guard.judge(LookedUp::Guessable(4), Some(&from("192.0.2.1"))).is_err(),
            "one that was not is none of a known caller"
        );
        for number in 0..100_000_u32 {
            guard.admit(0, IpAddr::V4(number.into()).into(), Duration::ZERO).unwrap();
        }
        assert_eq!(guard.familiar.lock().len(), FAMILIAR_MAX);
    }

    #[test]
    fn on_this_machine_a_right_token_always_passes() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let (guard, _) = guard();
            guess(&guard, address);
            assert_eq!(guard.judge(LookedUp::Guessable(0), Some(&from(address))), Ok(()), "{address}");
        }
    }

    #[test]
    fn the_routes_are_few_classes() {
        for (path, expected) in [
            ("/", "nearest"),
            ("/api/v1/incidents/{id}/resolve", "incidents"),
            ("/api/v1/positions", "positions"),
            ("/tiles/{z}", "tiles"),
        ] {
            assert_eq!(class(path), expected);
        }
    }
}
