//! `vagn drill`: a test call for help that goes the whole way, and is watched on it.

mod api;
mod door;
mod progress;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::time::{Instant, sleep_until, timeout_at};
use vagn_load::target::Target;
use vagn_wire::{Kind, Position, Reject, Report, VehicleId, encode};

use self::api::{Api, ApiError, ApiUrl};
use self::progress::{Progress, Verdict};
use super::exit::Coded;
use super::say;
use super::traffic::TrustArgs;
use crate::config::Span;
use vagn_flow::clock::{Clock, SystemClock};

/// First and longest pause between two looks at the incident.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// What to try out.
#[derive(Debug, Args)]
#[command(after_help = "Example, one terminal per line:\n  vagn sink\n  \
vagn serve --drill-url http://127.0.0.1:9099/drill\n  vagn drill\n\n\
Sends a call for help of kind `test` over TCP, as a vehicle would, and follows its incident until the target for drills has \
accepted it. A drill never reaches any other target. Without --lat and --lon it \
carries no position, so it moves no vehicle.\n\n\
Times count from the moment of sending for `stored`, and from the arrival at the service for what comes behind.\n\n\
Exit codes: 0 the whole way works, 1 it does not, and the output says where it ends, 64 wrong usage.")]
pub struct DrillArgs {
    /// The vehicle that calls: 1 to 64 bytes.
    #[arg(default_value = "drill")]
    vehicle_id: String,
    /// Latitude in degrees, north positive.
    #[arg(long, value_name = "DEG", requires = "lon", allow_negative_numbers = true)]
    lat: Option<f64>,
    /// Longitude in degrees, east positive.
    #[arg(long, value_name = "DEG", requires = "lat", allow_negative_numbers = true)]
    lon: Option<f64>,
    /// How long the whole way may take.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    within: Span,
    /// The service's TCP door.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9091")]
    target: Target,
    /// The service's API.
    #[arg(long, value_name = "URL", default_value = "https://localhost:9090")]
    api: ApiUrl,
    /// A token for the API, if it asks for one.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Calls, watches, and says what came of it.
///
/// # Errors
/// When the report makes no sense or the service cannot be reached.
pub fn run(args: DrillArgs) -> anyhow::Result<ExitCode> {
    let name = format!("drill {}", SystemClock::new().now_ms());
    let bytes = args.report(&name)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let verdict = runtime.block_on(args.drill(&bytes, &name))?;
    say(&format!("{verdict}\n"))?;
    Ok(ExitCode::from(u8::from(verdict != Verdict::Passed)))
}

impl DrillArgs {
    /// What the vehicle sends. An incident of its own keeps it apart from earlier drills.
    fn report(&self, name: &str) -> Result<Vec<u8>, Coded> {
        let usage = |reject: Reject| Coded::usage(reject.to_string());
        let vehicle_id = VehicleId::new(&self.vehicle_id).map_err(usage)?;
        let place = self.lat.zip(self.lon).map(|(lat, lon)| Position::new(lat, lon)).transpose();
        // Where the vehicle is has been checked; this one only stands in for a place that is left out.
        let nowhere = Position::new(0.0, 0.0).expect("it is on the globe");
        let report = Report {
            position: place.map_err(usage)?.ok_or(Reject::NoLatitude),
            emergency: true,
            seq: Some(1),
            kind: Some(Kind::Test),
            incident: Some(name),
            ..Report::new(vehicle_id, nowhere)
        };
        let mut bytes = Vec::new();
        encode(&report, &mut bytes);
        Ok(bytes)
    }

    async fn drill(&self, report: &[u8], name: &str) -> anyhow::Result<Verdict> {
        let deadline = Instant::now() + self.within.0;
        let trust = self.trust.trust()?;
        let api = Api::new(&self.api, self.token.as_deref(), &trust)?;
        let Ok(answer) = timeout_at(deadline, door::call(&self.target, &trust, report)).await else {
            return Ok(Verdict::failed(format!("tcp {} gave no answer within {}", self.target, self.within)));
        };
        let answer = answer?;
        let Some(id) = answer.incident else {
            return Ok(Verdict::failed(format!(
                "the call is not on disk: the service answered `{}` and named no incident; its /readyz says why",
                answer.fate
            )));
        };
        say(&format!("stored after {} ms: incident {id} is on disk\n", answer.took.as_millis()))?;
        self.follow(&api, &id, name, deadline).await
    }

    /// Looks at the incident again and again, and tells what is new.
    async fn follow(&self, api: &Api, id: &str, name: &str, deadline: Instant) -> anyhow::Result<Verdict> {
        let (mut progress, mut pause, mut missed) = (Progress::new(name), LOOK_EVERY.0, None);
        while Instant::now() < deadline {
            match timeout_at(deadline, api.incident(id)).await {
                Ok(Ok(incident)) => {
                    let seen = progress.see(&incident);
                    say(&seen.lines)?;
                    if let Some(verdict) = seen.verdict {
                        return Ok(verdict);
                    }
                    missed = None;
                }
                Ok(Err(err @ ApiError::Unreachable(_))) => missed = Some(err),
                Ok(Err(err)) => return Err(err).context("ask for the incident"),
                Err(_) => break,
            }
            sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(LOOK_EVERY.1);
        }
        Ok(self.late(progress.standing(), missed))
    }

    fn late(&self, standing: &str, missed: Option<ApiError>) -> Verdict {
        let within = self.within;
        let cause = missed.map(|err| anyhow::Error::new(err).root_cause().to_string());
        Verdict::Failed(match cause {
            Some(cause) => format!("{} cannot be reached: {cause}", self.api),
            None => format!("the drill target has not accepted it within {within}: {standing}"),
        })
    }
}
