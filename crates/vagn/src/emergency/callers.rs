//! `callers`: calls the target about every incident that is owed a call, until it accepts.
//!
//! It keeps nothing but the calls under way. What is owed stands at the desk; what was under way when it crashed is tried
//! again under the same key.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::Client;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use vagn_otp::{Failure, TaskContext};

use super::caller::{self, NoClient};
use super::desk::Call;
use super::id::IncidentId;
use super::incident::{Attempt, Outcome};
use super::lane::Lane;
use super::target::Target;

/// Longest sleep; the watchdog wants to hear from it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long first attempts and calls under way may take once the service stops. What is left is called after the restart.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// What the callers need.
pub struct Callers {
    /// The lane they work for.
    pub lane: Arc<Lane>,
    /// Whom they call.
    pub target: Target,
    /// What they call with. Made once: certificates that cannot be read at a restart must not end what works.
    client: OnceLock<Client>,
}

impl Callers {
    /// Calls `target` about what `lane` owes.
    pub fn new(lane: Arc<Lane>, target: Target) -> Self {
        Self { lane, target, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&Client, NoClient> {
        match self.client.get() {
            Some(client) => Ok(client),
            None => caller::client(&self.target).map(|client| self.client.get_or_init(|| client)),
        }
    }
}

/// One incarnation.
///
/// # Errors
/// When the system's certificates could never be read.
pub async fn run(callers: Arc<Callers>, ctx: TaskContext) -> Result<(), Failure> {
    let Callers { lane, target, .. } = &*callers;
    let client = callers.client()?;
    lane.desk.lock().hung_up();
    ctx.ready();
    let mut under_way = FuturesUnordered::new();
    let mut mood = Mood::default();
    let mut stop_at = None;
    loop {
        ctx.beat().await;
        lane.rescue(stop_at.is_some());
        while let Some(call) = lane.next_call() {
            under_way.push(make(&callers, client, call));
        }
        if stop_at
            .is_some_and(|at| Instant::now() >= at || (under_way.is_empty() && !lane.desk.lock().has_fresh()))
        {
            return Ok(());
        }
        tokio::select! {
            Some((id, attempt)) = under_way.next() => {
                mood.hear(&attempt.outcome, target);
                callers.note(id, attempt);
            }
            () = lane.news.notified() => {}
            () = sleep(nap(lane)) => {}
            () = ctx.stopping(), if stop_at.is_none() => stop_at = Some(Instant::now() + FINISH_WITHIN),
        }
    }
}

async fn make(callers: &Callers, client: &Client, call: Call) -> (IncidentId, Attempt) {
    let attempt = caller::attempt(client, &callers.target, &call, &*callers.lane.clock).await;
    (call.incident.id, attempt)
}

fn nap(lane: &Lane) -> Duration {
    let now = lane.clock.monotonic();
    lane.wake_at().map_or(LOOK_EVERY, |at| at.saturating_sub(now).min(LOOK_EVERY))
}

impl Callers {
    fn note(&self, id: IncidentId, attempt: Attempt) {
        let accepted = attempt.outcome.accepted();
        self.lane.attempted(id, attempt);
        if accepted {
            self.lane.ring();
        }
    }
}

/// Whether the target works, so that the log hears of it once and not once per call.
#[derive(Default)]
struct Mood {
    failing: bool,
}

impl Mood {
    fn hear(&mut self, outcome: &Outcome, target: &Target) {
        let failing = !outcome.accepted();
        if failing && !self.failing {
            warn!(%target, ?outcome, "emergency calls are not accepted; trying on");
        } else if self.failing && !failing {
            info!(%target, "emergency calls are accepted again");
        }
        self.failing = failing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emergency::testing::test_lane;

    #[test]
    fn every_incarnation_calls_with_the_same_client() {
        let target = Target::new("http://127.0.0.1:1/", "", Duration::from_secs(1), 1).unwrap();
        let callers = Callers::new(test_lane(), target);
        let (one, other) = (callers.client().unwrap(), callers.client().unwrap());
        assert!(std::ptr::eq(one, other));
    }
}
