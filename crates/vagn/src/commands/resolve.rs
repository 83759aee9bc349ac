//! `vagn resolve`: resolves many incidents of a running service, request by request, until none is left.

use std::process::ExitCode;

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::api::ApiArgs;
use super::exit::Coded;
use super::say;

/// Path of the request.
const PATH: &str = "/api/v1/incidents/resolve";

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

/// Asks until none is left.
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
        let body = self.body();
        let mut resolved = 0;
        loop {
            let done = api.post(PATH, &body).await.context("ask to resolve incidents")?;
            let [matched, these, left] = ["matched", "resolved", "left"].map(|name| done[name].as_u64());
            let (Some(matched), Some(these), Some(left)) = (matched, these, left) else {
                return Err(Coded::software(format!("the answer makes no sense: {done}")).into());
            };
            if self.dry_run {
                say(&format!("{matched} incidents would be resolved\n"))?;
                return Ok(ExitCode::SUCCESS);
            }
            resolved += these;
            say(&format!("{resolved} resolved, {left} left{}\n", unrecorded(&done)))?;
            if left == 0 || these == 0 {
                return Ok(ExitCode::from(u8::from(left > 0)));
            }
        }
    }

    fn body(&self) -> Value {
        let Conditions { standing, vehicle_ids, vehicle_id_prefix, opened_from, opened_until, state, test } =
            &self.conditions;
        let fields = [
            ("by", Some(json!(self.by))),
            ("note", Some(json!(self.note))),
            ("dry_run", Some(json!(self.dry_run))),
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

fn unrecorded(done: &Value) -> &'static str {
    if done["recorded"] == false { "; not yet on disk" } else { "" }
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
        Line::try_parse_from(line.split(' ')).map(|line| line.args.body())
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
            let refused = asked.map(|line| line.args.body()).unwrap_err();
            // Usage: exit code 64.
            assert!(refused.use_stderr() && refused.to_string().contains(flag), "{refused}");
        }
    }
}
