//! `vagn drill`: sends an alarm that is a drill, and follows it until the drill target has accepted the notice.

mod door;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep_until, timeout_at};
use vagn_load::sealed::{Framing, Sealing};
use vagn_load::target::Target;
use vagn_seal::Lane;
use vagn_wire::{Fate, Kind, Position, Reject, Report, VehicleId, encode};

use self::progress::{Progress, Verdict};
use super::api::{Api, ApiArgs, ApiError};
use super::exit::Coded;
use super::say;
use super::traffic::warn_if_readable;
use crate::config::Span;
use vagn_flow::clock::{Clock, SystemClock};

/// First pause between two looks at the incident: most drills are over within some milliseconds. Each pause is twice as long
/// as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Longest pause between two looks at the incident.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Time within which the incident is shown: another node of a cluster than the one that took the alarm may have it a moment later.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Flags of `vagn drill`.
#[derive(Debug, Args)]
#[command(after_help = "Example, one terminal per line:\n  vagn sink\n  \
vagn serve --drill-url http://127.0.0.1:9099/drill\n  vagn drill\n\n\
Where the service takes sealed reports only, the drill has a key of its own:\n  \
(umask 077; set -C; vagn device add drill --json > drill.key)\n  vagn drill --key-file drill.key\n\n\
Sends an alarm of kind `test` over TCP, as a vehicle would, and follows its incident until the drill target has \
accepted the notice. A drill never reaches any other target. Without --lat and --lon the alarm \
carries no position, so it moves no vehicle.\n\n\
Where the API asks for a token, VAGN_TOKEN in the environment or a --token-file has it:\n  \
(umask 077; set -C; vagn token add drill --role read --json > drill.token)\n  vagn drill --token-file drill.token\n\n\
The time in the line `stored` counts from sending. The times in the lines after it count from the arrival at the service.\n\n\
Exit codes: 0 the whole way works; 1 it does not, and the output says where it ends; 64 wrong usage.")]
pub(super) struct DrillArgs {
    /// Id of the vehicle that sends the alarm: 1 to 64 bytes.
    #[arg(default_value = "drill")]
    vehicle_id: String,
    /// Latitude in degrees, north positive.
    #[arg(long, value_name = "DEG", requires = "lon", allow_negative_numbers = true)]
    lat: Option<f64>,
    /// Longitude in degrees, east positive.
    #[arg(long, value_name = "DEG", requires = "lat", allow_negative_numbers = true)]
    lon: Option<f64>,
    /// Longest time for the whole way.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    within: Span,
    /// TCP door of the service.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9091")]
    target: Target,
    /// Seal the alarm with the key of its vehicle in this file, as `vagn device add --json` prints it. The last sequence used is kept
    /// beside it, in FILE.sequence.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
}

/// Sends the drill, follows it and prints the outcome.
///
/// # Errors
/// When the report makes no sense or the service cannot be reached.
pub(super) fn run(args: DrillArgs) -> anyhow::Result<ExitCode> {
    // With a new name each time, a drill never joins the incident of an earlier one.
    let name = format!("drill {}", SystemClock::new().now_ms());
    let bytes = args.sealed(args.report(&name)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let verdict = runtime.block_on(args.drill(&bytes, &name))?;
    say(&format!("{verdict}\n"))?;
    Ok(ExitCode::from(u8::from(verdict != Verdict::Passed)))
}

impl DrillArgs {
    /// Returns the alarm as bytes.
    fn report(&self, name: &str) -> Result<Vec<u8>, Coded> {
        let vehicle_id = VehicleId::new(&self.vehicle_id)?;
        let position = self.lat.zip(self.lon).map(|(lat, lon)| Position::new(lat, lon)).transpose()?;
        // `Report::new` asks for a position; the field `position` below replaces it, also where there is none.
        let placeholder = Position::new(0.0, 0.0).expect("it is on the globe");
        let report = Report {
            position: position.ok_or(Reject::NoLatitude),
            emergency: true,
            seq: Some(1),
            kind: Some(Kind::Test),
            incident: Some(name),
            // A seal proves who sent a report, and not when.
            event_time_ms: self.key_file.is_some().then(|| SystemClock::new().now_ms()),
            ..Report::new(vehicle_id, placeholder)
        };
        let mut bytes = Vec::new();
        encode(&report, &mut bytes);
        Ok(bytes)
    }

    /// Seals the alarm where there is a key file.
    fn sealed(&self, report: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let Some(file) = &self.key_file else { return Ok(report) };
        warn_if_readable(file);
        let now_ms = SystemClock::new().now_ms().max(0).unsigned_abs();
        Ok(Sealing::open(file, now_ms)?.seal_framed(&report, Lane::Call, Framing::Bin)?)
    }

    async fn drill(&self, report: &[u8], name: &str) -> anyhow::Result<Verdict> {
        let deadline = Instant::now() + self.within.0;
        let (api, trust) = (self.api.api()?, self.api.trust()?);
        let Ok(answer) = timeout_at(deadline, door::send(&self.target, &trust, report)).await else {
            return Ok(Verdict::failed(format!(
                "tcp {} gave no answer within {}{}",
                self.target,
                self.within,
                self.unanswered()
            )));
        };
        let answer = answer?;
        let Some(id) = answer.incident else {
            return Ok(Verdict::failed(format!(
                "the call is not on disk: the service answered `{}` and named no incident; {}",
                answer.fate,
                self.cause(answer.fate)
            )));
        };
        say(&format!("stored after {} ms: incident {id} is on disk\n", answer.took.as_millis()))?;
        self.follow(&api, &id, name, deadline).await
    }

    /// Looks at the incident again and again, and prints each new step.
    async fn follow(&self, api: &Api, id: &str, name: &str, deadline: Instant) -> anyhow::Result<Verdict> {
        let mut progress = Progress::new(name);
        let mut pause = PAUSE_MIN;
        let mut missed = None;
        let shown_by = Instant::now() + SHOWN_WITHIN;
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
                // The service may be restarting; it is asked again until the time is over.
                Ok(Err(err @ ApiError::Unreachable(_))) => missed = Some(err),
                Ok(Err(ApiError::Status(StatusCode::NOT_FOUND))) if Instant::now() < shown_by => {}
                Ok(Err(err)) => return Err(err).context("ask for the incident"),
                Err(_) => break,
            }
            sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(self.late(progress.standing(), missed))
    }

    /// Says why a call is not on disk, or where it is said.
    fn cause(&self, fate: Fate) -> String {
        let id = &self.vehicle_id;
        match (fate, &self.key_file) {
            (Fate::Unauthenticated, None) => format!(
                "it asks for a seal: give the key of {id} with --key-file (`vagn device add {id} --json` prints one)"
            ),
            (Fate::Unauthenticated, Some(_)) => {
                format!("the key is not one of {id} there: `vagn device list` shows whose it is")
            }
            _ => "its /readyz says why".to_owned(),
        }
    }

    /// Says why a sealed call may have no answer: a seal that cannot be opened hides who would be answered.
    fn unanswered(&self) -> String {
        let Some(file) = &self.key_file else { return String::new() };
        format!(
            ": it may refuse the seal, which is not answered; the key in {} must be in force there (`vagn device list`), and \
             vagn_reports_unauthenticated_total counts the reason",
            file.display()
        )
    }

    fn late(&self, standing: &str, missed: Option<ApiError>) -> Verdict {
        let within = self.within;
        let cause = missed.map(|err| anyhow::Error::new(err).root_cause().to_string());
        Verdict::Failed(match cause {
            Some(cause) => format!("{} cannot be reached: {cause}", self.api.url),
            None => format!("the drill target has not accepted it within {within}: {standing}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        drill: DrillArgs,
    }

    #[tokio::test]
    async fn a_node_that_does_not_show_the_incident_yet_is_asked_again() {
        const ACCEPTED: &str = r#"{"id":"a","test":true,"vehicle_incident":"drill 1","opened_at":"2026-11-22T08:15:30.120Z","ledger":[],
            "call":{"status":"accepted","targets":[{"name":"drill","status":"accepted","accepted_at":"2026-11-22T08:15:30.125Z"}]}}"#;
        let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", node.local_addr().unwrap());
        let answers = async {
            for (status, body) in [("404 Not Found", "{}"), ("200 OK", ACCEPTED)] {
                let (mut connection, _) = node.accept().await.unwrap();
                let _ = connection.read(&mut [0; 4096]).await.unwrap();
                let head = format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                connection.write_all((head + body).as_bytes()).await.unwrap();
            }
        };
        let args = Flags::parse_from(["drill", "--api", &url]).drill;
        let api = args.api.api().unwrap();
        let follow = args.follow(&api, "a", "drill 1", Instant::now() + SHOWN_WITHIN);
        let (verdict, ()) = tokio::join!(follow, answers);
        assert_eq!(verdict.unwrap(), Verdict::Passed);
    }
}
