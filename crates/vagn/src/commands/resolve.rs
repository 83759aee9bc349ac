//! `vagn resolve`: resolves many incidents of a running service, request by request, until none is left.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use super::api::{ApiArgs, ApiError};
use super::exit::Coded;
use super::{counted, say};

/// Path of the request.
const PATH: &str = "/api/v1/incidents/resolve";

/// Times in a row that a service is asked again that has no time to resolve anything.
const BUSY_MAX: u32 = 10;

/// Pause before it is asked again.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Flags of `vagn resolve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vagn resolve --by Anna --note forged --standing stranger --dry-run\n  \
vagn resolve --by Anna --note forged --standing stranger\n  \
vagn resolve --by Anna --test true\n\n\
Resolves the open incidents that meet all conditions; at least one must be given. Each gets an entry of its own in the trail. \
A vehicle that is new to the service is a stranger as well: look with --dry-run and at the console first.\n\n\
Exit codes: 0 none is left, or --dry-run; 1 some could not be resolved; 64 wrong usage.")]
pub(super) struct ResolveArgs {
    /// Your name, for the trail.
    #[arg(long, value_name = "NAME")]
    by: String,
    /// Reason, for the trail.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Only count them.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    conditions: Conditions,
    #[command(flatten)]
    api: ApiArgs,
}

/// Conditions that an incident must meet.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Conditions {
    /// What was known of its vehicle when it called.
    #[arg(long)]
    standing: Option<Standing>,
    /// Id of its vehicle; may be given several times.
    #[arg(long = "vehicle-id", value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    vehicle_ids: Vec<String>,
    /// Beginning of the id of its vehicle.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    vehicle_id_prefix: Option<String>,
    /// First time of its opening, such as 2026-11-22T08:15:30Z.
    #[arg(long, value_name = "TIME")]
    opened_from: Option<String>,
    /// Last time of its opening.
    #[arg(long, value_name = "TIME")]
    opened_until: Option<String>,
    /// Its state.
    #[arg(long)]
    state: Option<OpenState>,
    /// Drills alone, or real incidents alone.
    #[arg(long, value_name = "true|false")]
    test: Option<bool>,
}

/// Words of `--standing`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Standing {
    Known,
    Undecided,
    Stranger,
}

/// Words of `--state`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OpenState {
    Open,
    Notified,
    Acknowledged,
}

/// Asks until none is left. A service that has no time for it at the moment is asked again.
///
/// # Errors
/// When the service cannot be reached, or refuses.
pub(super) fn run(args: ResolveArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(args.resolve())
}

impl ResolveArgs {
    async fn resolve(&self) -> anyhow::Result<ExitCode> {
        let api = self.api.api()?;
        let mut ask = async |dry_run| api.post(PATH, &self.body(dry_run)).await;
        let found = ask_patiently(&mut ask, true).await?.matched;
        if self.dry_run {
            say(&format!("{} would be resolved\n", counted(found, "incident")))?;
            return Ok(ExitCode::SUCCESS);
        }
        let left = resolve_all(ask, found, say).await?;
        Ok(ExitCode::from(u8::from(left > 0)))
    }

    fn body(&self, dry_run: bool) -> Value {
        let Conditions { standing, vehicle_ids, vehicle_id_prefix, opened_from, opened_until, state, test } =
            &self.conditions;
        let fields = [
            ("by", Some(json!(self.by))),
            ("note", Some(json!(self.note))),
            ("dry_run", Some(json!(dry_run))),
            ("standing", standing.as_ref().and_then(word)),
            ("vehicle_ids", (!vehicle_ids.is_empty()).then(|| json!(vehicle_ids))),
            ("vehicle_id_prefix", vehicle_id_prefix.as_ref().map(|prefix| json!(prefix))),
            ("opened_from", opened_from.as_ref().map(|time| json!(time))),
            ("opened_until", opened_until.as_ref().map(|time| json!(time))),
            ("state", state.as_ref().and_then(word)),
            ("test", test.map(|test| json!(test))),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(given.collect::<Map<_, _>>())
    }
}

fn word(value: &impl ValueEnum) -> Option<Value> {
    value.to_possible_value().map(|value| json!(value.get_name()))
}

/// Answer of the service.
struct Answer {
    /// Open incidents that were chosen.
    matched: u64,
    resolved: u64,
    left: u64,
    is_recorded: bool,
}

impl Answer {
    fn of(done: &Value) -> anyhow::Result<Self> {
        let numbers = ["matched", "resolved", "left"].map(|name| done[name].as_u64());
        let [Some(matched), Some(resolved), Some(left)] = numbers else {
            return Err(Coded::software(format!("the answer makes no sense: {done}")).into());
        };
        Ok(Self { matched, resolved, left, is_recorded: done["recorded"] != false })
    }
}

/// Asks, and asks again for a while if the service has no time at the moment. `ask` is told whether to count only.
async fn ask_patiently(
    ask: &mut impl AsyncFnMut(bool) -> Result<Value, ApiError>,
    dry_run: bool,
) -> anyhow::Result<Answer> {
    let mut times = 0;
    loop {
        match ask(dry_run).await {
            Err(ApiError::Refused(StatusCode::SERVICE_UNAVAILABLE, _)) if times < BUSY_MAX => times += 1,
            done => return Answer::of(&done.context("ask to resolve incidents")?),
        }
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

/// Asks until none is left of those that were `found`, and says each time how far it is. Returns how many are left.
async fn resolve_all(
    mut ask: impl AsyncFnMut(bool) -> Result<Value, ApiError>,
    found: u64,
    mut say: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let (mut resolved, mut left) = (0, found);
    loop {
        let done = ask_patiently(&mut ask, false).await?;
        // What was not done in the time of the request before was done after its answer, which does not count it.
        resolved += left.saturating_sub(done.matched) + done.resolved;
        left = done.left;
        let unrecorded = if done.is_recorded { "" } else { "; not yet on disk" };
        say(&format!("{resolved} resolved, {left} left{unrecorded}\n"))?;
        if left == 0 || done.resolved == 0 {
            return Ok(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ResolveArgs,
    }

    fn body(line: &str) -> Result<Value, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.args.body(line.args.dry_run))
    }

    /// Resolves the 5 of a service that answers like this, and returns what is said and how many are left. `None` is an answer that it
    /// has no time.
    async fn resolved(answers: &[Option<[u64; 3]>]) -> (String, Option<u64>) {
        let mut answers = answers.iter();
        let ask = async |_: bool| match answers.next().expect("it is asked no more than that") {
            Some([matched, resolved, left]) => {
                Ok(json!({"matched": matched, "resolved": resolved, "left": left, "recorded": true}))
            }
            None => Err(ApiError::Refused(StatusCode::SERVICE_UNAVAILABLE, "busy".into())),
        };
        let mut said = String::new();
        let say = |line: &str| {
            said.push_str(line);
            Ok(())
        };
        let left = resolve_all(ask, 5, say).await.ok();
        (said, left)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_resolved_behind_an_answer_is_counted_too() {
        let (said, left) = resolved(&[Some([5, 3, 2]), Some([1, 1, 0])]).await;
        assert_eq!((said.as_str(), left), ("3 resolved, 2 left\n5 resolved, 0 left\n", Some(0)));
        let (said, left) = resolved(&[Some([7, 4, 3]), Some([3, 0, 3])]).await;
        assert_eq!((said.as_str(), left), ("4 resolved, 3 left\n4 resolved, 3 left\n", Some(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_has_no_time_is_asked_again_and_not_for_ever() {
        let (said, left) = resolved(&[None, Some([5, 2, 3]), None, None, Some([2, 2, 0])]).await;
        assert_eq!((said.as_str(), left), ("2 resolved, 3 left\n5 resolved, 0 left\n", Some(0)));
        assert_eq!(resolved(&[None; 11]).await, (String::new(), None));
    }

    #[test]
    fn the_flags_become_the_fields_of_the_request() {
        let line = "resolve --by Anna --note forged --standing stranger --vehicle-id a --vehicle-id b --state notified --test false";
        let expected = json!({"by": "Anna", "note": "forged", "dry_run": false, "standing": "stranger",
            "vehicle_ids": ["a", "b"], "state": "notified", "test": false});
        assert_eq!(body(line).unwrap(), expected);
        let line = "resolve --by Anna --dry-run --vehicle-id-prefix x- --opened-from 2026-11-22T08:15:30Z";
        let expected = json!({"by": "Anna", "note": "", "dry_run": true, "vehicle_id_prefix": "x-",
            "opened_from": "2026-11-22T08:15:30Z"});
        assert_eq!(body(line).unwrap(), expected);
    }

    #[test]
    fn without_a_condition_or_a_name_nothing_is_asked() {
        for line in ["resolve --by Anna", "resolve --standing stranger", "resolve --by Anna --state resolved"]
        {
            assert!(body(line).is_err(), "{line}");
        }
        for flag in ["--vehicle-id", "--vehicle-id-prefix"] {
            let asked = Line::try_parse_from(["resolve", "--by", "Anna", flag, ""]);
            let refused = asked.map(|line| line.args.body(false)).unwrap_err();
            // Usage: exit code 64.
            assert!(refused.use_stderr() && refused.to_string().contains(flag), "{refused}");
        }
    }
}
