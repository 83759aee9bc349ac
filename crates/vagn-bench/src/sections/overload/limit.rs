//! The ways in which the service is made slow.

use vagn_load::pace::Rate;

use super::start;
use crate::bench::Bench;
use crate::load::{self, Load};
use crate::quota::Quota;
use crate::service::Service;
use crate::stats::short;

/// Period in which the limited service gets 1 ms: a tenth of a core, so that one sender can offer twenty times its maximum.
const PERIOD_US: u32 = 10_000;

/// The same for the threads that decode and store alone.
const STORE_PERIOD_US: u32 = 20_000;

/// The names of those threads begin with these words.
const STORE_THREADS: [&str; 2] = ["storage", "ingest"];

/// The part of the service that is made slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    None,
    Service,
    /// The threads that decode and store.
    Store,
}

impl Limit {
    pub(super) fn set(self, service: &Service) -> anyhow::Result<Option<Quota>> {
        let pid = service.process().pid();
        match self {
            Self::None => Ok(None),
            Self::Service => Quota::process(pid, PERIOD_US).map(Some),
            Self::Store => Quota::threads(pid, &STORE_THREADS, STORE_PERIOD_US).map(Some),
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Service => "the service",
            Self::Store => "the store",
        }
    }
}

/// Reports that the limited service stores per second at most: offered more and more, until more brings nothing.
pub(super) fn maximum(bench: &Bench, limit: Limit) -> anyhow::Result<f64> {
    let (service, mut fleet) = start(bench, None)?;
    let _quota = limit.set(&service)?;
    let mut most: f64 = 0.0;
    let mut rate = 40e3;
    while rate < 3.0 * most.max(20e3) {
        let load = Load { rate: Rate::PerSecond(rate), seconds: bench.pick(2.0, 1.0), segments: true };
        let stored = load::measure(&service, &mut fleet, load)?.stored_per_s;
        bench.progress(format!(
            "overload: {} limited, offered {}: {}",
            limit.word(),
            short(rate),
            short(stored)
        ));
        most = most.max(stored);
        rate *= 1.5;
    }
    Ok(most)
}
