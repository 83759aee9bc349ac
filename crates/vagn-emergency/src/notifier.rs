//! `callers`: calls the targets about every incident that is owed a call, until it is accepted or a person resolves it.
//!
//! It keeps nothing but the calls under way. What is owed stands at the desk; what was under way when it crashed is tried
//! again under the same key. No target waits for another: each has lines of its own.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::Client;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use vagn_otp::{Failure, TaskContext};

use crate::lane::Lane;
use crate::notify::client::{self, NoClient};
use crate::notify::notice::{EndedNotice, Notice};
use crate::notify::target::{Target, Targets};
use crate::record::attempt::Outcome;

/// Longest sleep; the watchdog wants to hear from it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long first attempts and calls under way may take once the service stops. What is left is called after the restart.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// How often the log is told at most that a target fails.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// What the callers need.
pub struct Notifier {
    /// The lane they work for.
    lane: Arc<Lane>,
    lines: Vec<TargetClient>,
}

/// A target, and what it is called with.
struct TargetClient {
    target: Target,
    /// For trials, and for nothing else.
    drill: bool,
    /// Made once: certificates that cannot be read at a restart must not end what works.
    client: OnceLock<Client>,
}

impl TargetClient {
    fn new(target: &Target, drill: bool) -> Self {
        Self { target: target.clone(), drill, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&Client, NoClient> {
        match self.client.get() {
            Some(client) => Ok(client),
            None => client::client(&self.target).map(|made| self.client.get_or_init(|| made)),
        }
    }
}

impl Notifier {
    /// NoticeQueue `targets` about what `lane` owes.
    pub fn new(lane: Arc<Lane>, targets: &Targets) -> Self {
        let chain = targets.chain.iter().map(|target| TargetClient::new(target, false));
        let lines = chain.chain(targets.drill.iter().map(|target| TargetClient::new(target, true))).collect();
        Self { lane, lines }
    }

    async fn make(&self, call: Notice) -> EndedNotice {
        let line = &self.lines[call.target_index.0];
        let clock = &*self.lane.clock;
        let outcome = match line.client() {
            // The desk keeps them apart. Should it ever not, nobody is sent out for a trial.
            _ if line.drill != call.incident.drill => {
                "a trial and a real target, or the other way round".into()
            }
            Err(err) => err.to_string(),
            Ok(client) => {
                let attempt = client::attempt(client, &line.target, &call, self.lane.head(), clock).await;
                return call.end(attempt);
            }
        };
        let failed = Outcome::Failed { reason: outcome };
        let attempt = client::ended(&call, clock.now_ms(), Duration::ZERO, failed);
        call.end(attempt)
    }

    fn note(&self, ended: EndedNotice) {
        let urgent = ended.attempt.outcome.accepted() || ended.attempt.outcome.dead().is_some();
        self.lane.attempted(ended);
        if urgent {
            self.lane.ring();
        }
    }
}

/// One incarnation.
///
/// # Errors
/// None: what goes wrong with a target is the outcome of an attempt.
pub async fn run(callers: Arc<Notifier>, ctx: TaskContext) -> Result<(), Failure> {
    let lane = &*callers.lane;
    lane.desk.lock().hung_up();
    ctx.ready();
    let mut under_way = FuturesUnordered::new();
    let mut moods: Vec<TargetMood> = callers.lines.iter().map(|_| TargetMood::default()).collect();
    let mut stop_at = None;
    loop {
        ctx.beat().await;
        lane.rescue(stop_at.is_some());
        while let Some(call) = lane.next_call() {
            under_way.push(callers.make(call));
        }
        lane.tell();
        if stop_at
            .is_some_and(|at| Instant::now() >= at || (under_way.is_empty() && !lane.desk.lock().has_fresh()))
        {
            return Ok(());
        }
        tokio::select! {
            Some(ended) = under_way.next() => {
                let (outcome, target) = (&ended.attempt.outcome, &callers.lines[ended.target_index.0].target);
                let news = moods[ended.target_index.0].hear(outcome.accepted(), lane.clock.monotonic());
                news.iter().for_each(|news| say(news, outcome, target));
                callers.note(ended);
            }
            () = lane.news.notified() => {}
            () = sleep(nap(lane)) => {}
            () = ctx.stopping(), if stop_at.is_none() => stop_at = Some(Instant::now() + FINISH_WITHIN),
        }
    }
}

fn nap(lane: &Lane) -> Duration {
    let now = lane.clock.monotonic();
    lane.wake_at().map_or(LOOK_EVERY, |at| at.saturating_sub(now).min(LOOK_EVERY))
}

/// Whether a target works, so that the log hears of it once and not once per call.
#[derive(Default)]
struct TargetMood {
    /// The log was told that it fails, and not yet that it works again.
    failing: bool,
    /// When it was last told so, on the monotonic clock.
    told: Option<Duration>,
}

/// What the log should be told.
#[derive(Debug, PartialEq, Eq)]
enum MoodChange {
    Fails,
    WorksAgain,
}

impl TargetMood {
    /// What is new at `now`, if anything. That it fails is new at most once a minute: a target may refuse every other call.
    fn hear(&mut self, accepted: bool, now: Duration) -> Option<MoodChange> {
        let may_tell = self.told.is_none_or(|told| now.saturating_sub(told) >= SAID_EVERY);
        let news = match (self.failing, accepted) {
            (true, true) => MoodChange::WorksAgain,
            (false, false) if may_tell => MoodChange::Fails,
            _ => return None,
        };
        self.failing = !accepted;
        if self.failing {
            self.told = Some(now);
        }
        Some(news)
    }
}

fn say(news: &MoodChange, outcome: &Outcome, target: &Target) {
    match news {
        MoodChange::Fails => warn!(%target, ?outcome, "emergency calls are not accepted; trying on"),
        MoodChange::WorksAgain => info!(%target, "emergency calls are accepted again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_incarnation_calls_with_the_same_client() {
        let second = Duration::from_secs(1);
        let target = Target::new("primary", "http://127.0.0.1:1/", "", second, 1, second).unwrap();
        let line = TargetClient::new(&target, false);
        let (one, other) = (line.client().unwrap(), line.client().unwrap());
        assert!(std::ptr::eq(one, other));
    }

    #[test]
    fn a_target_that_flaps_is_told_of_once_a_minute() {
        let mut mood = TargetMood::default();
        let mut hear = |second, accepted| mood.hear(accepted, Duration::from_secs(second));
        assert_eq!(hear(0, true), None, "nothing was wrong");
        assert_eq!((hear(1, false), hear(2, false)), (Some(MoodChange::Fails), None));
        assert_eq!((hear(3, true), hear(4, true)), (Some(MoodChange::WorksAgain), None));
        assert!((5..61).all(|second| hear(second, second % 2 == 0).is_none()));
        assert_eq!(
            (hear(61, false), hear(62, true)),
            (Some(MoodChange::Fails), Some(MoodChange::WorksAgain))
        );
    }
}
