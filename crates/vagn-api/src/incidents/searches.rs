//! Searches for the incidents of one vehicle: through thousands of records, by the one thread that reads incidents.
//!
//! Everybody else who asks for an incident waits meanwhile. So few are under way at a time, and fewer from one source.

use std::sync::Arc;

use vagn_http::account::{Account, AccountGauges, Full, Portion};
use vagn_http::caller::Caller;
use vagn_http::problem::{Kind, Problem};

/// Most searches at a time, each of half a second at most: a question behind all of them still has its answer in time.
const SEARCHES_MAX: usize = 3;

/// Most of them from one address.
const ADDRESS_MAX: usize = 2;

/// Returns places for searches.
pub(crate) fn places() -> Arc<Account> {
    Account::new(SEARCHES_MAX, ADDRESS_MAX, AccountGauges::default())
}

/// Takes a place for a search until it is over.
pub(super) fn begin(places: &Arc<Account>, caller: &Caller) -> Result<Portion, Problem> {
    caller.take_place(places).map_err(|full| match full {
        Full::All => Problem::new(
            Kind::Overloaded,
            "as many searches for the incidents of a vehicle are under way as may be",
        ),
        Full::Peer => Problem::new(
            Kind::TooManyRequests,
            "as many searches for the incidents of a vehicle are under way from this address as one may have",
        ),
    })
}
