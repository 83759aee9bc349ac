//! Rates: how often a principal, or an address, may ask. Without the settings there is no limit.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_flow::allowance::{Allowances, Quota};
use vagn_flow::clock::Clock;
use vagn_registry::Digest;

use super::caller::Caller;
use super::principal::Principal;
use super::refusal::Refusal;

/// Time from which each token is as if it had never asked; those without one are one.
type Rested = Mutex<HashMap<Option<Digest>, Duration>>;

/// The rates. Cheap to clone.
#[derive(Clone)]
pub struct Rates(Arc<Kept>);

struct Kept {
    clock: Arc<dyn Clock>,
    of_principals: Option<(Quota, Rested)>,
    of_addresses: Option<Mutex<Allowances>>,
}

impl Rates {
    /// Allows so many requests a second to each principal and to each address; 0: as many as come. `seed` is any secret number.
    pub fn new(clock: Arc<dyn Clock>, of_principal: u32, of_address: u32, seed: u64) -> Self {
        let of_principals = quota(of_principal).map(|quota| (quota, Mutex::default()));
        let of_addresses = quota(of_address).map(|quota| Mutex::new(Allowances::new(quota, seed)));
        Self(Arc::new(Kept { clock, of_principals, of_addresses }))
    }

    /// Uses one of what this address has left. Addresses that many share have no limit.
    pub(crate) fn of_address(&self, caller: Option<&Caller>) -> Result<(), Refusal> {
        let (Some(allowances), Some(source)) = (&self.0.of_addresses, caller.and_then(Caller::peer)) else {
            return Ok(());
        };
        allowances.lock().take(source, self.0.clock.monotonic()).map_err(Refusal::AddressRate)
    }

    /// Uses one of what this principal has left; all its sessions have it together.
    pub(crate) fn of_principal(&self, principal: &Principal) -> Result<(), Refusal> {
        let Some((Quota { burst, every }, rested)) = &self.0.of_principals else { return Ok(()) };
        let now = self.0.clock.monotonic();
        let mut rested = rested.lock();
        // There are no more places than tokens that were right.
        let place = rested.entry(principal.token()).or_default();
        let next = (*place).max(now) + *every;
        let latest = now + *every * *burst;
        if next > latest {
            return Err(Refusal::Rate(next - latest));
        }
        *place = next;
        Ok(())
    }
}

/// Allows a second's worth at once.
fn quota(per_second: u32) -> Option<Quota> {
    (per_second > 0).then(|| Quota { burst: per_second, every: Duration::from_secs(1) / per_second })
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use vagn_flow::clock::ManualClock;

    use super::*;
    use crate::principal::Proof;

    #[test]
    fn a_principal_asks_as_often_as_it_may_and_holds_up_no_other() {
        let clock = Arc::new(ManualClock::at(0));
        let rates = Rates::new(clock.clone(), 2, 0, 7);
        // They have one name, and are two all the same.
        let of = |token: u8, session: u8| Principal::of_setting([token; 32], Proof::Session([session; 32]));
        assert_eq!(rates.of_principal(&of(1, 1)), Ok(()));
        assert_eq!(rates.of_principal(&of(1, 2)), Ok(()));
        assert_eq!(rates.of_principal(&of(1, 3)), Err(Refusal::Rate(Duration::from_millis(500))));
        assert_eq!(rates.of_principal(&of(2, 4)), Ok(()));
        clock.advance(Duration::from_millis(500));
        assert_eq!(rates.of_principal(&of(1, 1)), Ok(()));
        assert!(rates.of_principal(&of(1, 1)).is_err());
    }

    #[test]
    fn an_address_has_a_limit_and_a_shared_one_has_none() {
        let rates = Rates::new(Arc::new(ManualClock::at(0)), 0, 1, 7);
        let from = |address: &str| Caller::new(Arc::default(), address.parse().unwrap());
        assert_eq!(rates.of_address(Some(&from("192.0.2.1"))), Ok(()));
        assert_eq!(
            rates.of_address(Some(&from("192.0.2.1"))),
            Err(Refusal::AddressRate(Duration::from_secs(1)))
        );
        for address in ["192.0.2.2", "127.0.0.1", "127.0.0.1"] {
            assert_eq!(rates.of_address(Some(&from(address))), Ok(()), "{address}");
        }
    }
}
