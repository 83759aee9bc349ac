//! `vagn send`: sends one report.

use std::io::{Write, stderr};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use vagn_load::alarm;
use vagn_load::sealed::Sealed;
use vagn_load::source::{Next, Source};
use vagn_load::tcp::{self, TcpSettings};
use vagn_load::trace::TraceError;
use vagn_load::udp::{self, Watch};
use vagn_load::wrapping::{InClear, SealError, Wrapping};
use vagn_wire::ack::Ack;
use vagn_wire::{Fate, Kind, Position, Report, VehicleId, encode};

use super::exit::Coded;
use super::say;
use super::traffic::{Over, WayArgs};
use vagn_flow::clock::{Clock, SystemClock};

/// Flags of `vagn send`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn send bus-7 -36.47 -77.32\n  vagn send bus-7 30.27 -97.74 --over tcp --emergency --kind test\n  \
vagn send bus-7 30.27 -97.74 --key-file bus-7.key --emergency --kind test\n\n\
Over TCP it waits for the answer. `stored` means that the position is in the server's log; an incident id means that the \
alarm is on disk. Over UDP only an alarm is answered, once it is on disk. Until then it is repeated after \
1, 2 and 4 s. With --key-file the report is sealed and carries its time, and over UDP only a sealed answer is believed.\n\nExit codes: 0 sent and, where an answer is awaited, the position stored or the alarm on disk; 1 not; \
64 wrong usage."
)]
pub(super) struct SendArgs {
    /// Vehicle id: 1 to 64 bytes.
    id: String,
    /// Latitude in degrees, north positive.
    #[arg(allow_negative_numbers = true)]
    lat: f64,
    /// Longitude in degrees, east positive.
    #[arg(allow_negative_numbers = true)]
    lon: f64,
    #[command(flatten)]
    way: WayArgs,
    /// Set the emergency flag: the report is an alarm, a call for help.
    #[arg(long)]
    emergency: bool,
    /// Kind of alarm: auto, manual or test. A test is a drill: only the drill target receives a notice about it.
    #[arg(long, requires = "emergency")]
    kind: Option<Kind>,
    /// The vehicle's own id for the incident.
    #[arg(long, value_name = "ID", requires = "emergency")]
    incident: Option<String>,
    /// Event time in ms since 1970 [default: the server's time of arrival].
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    time: Option<i64>,
    /// Speed in m/s.
    #[arg(long, value_name = "MPS")]
    speed: Option<f32>,
    /// Heading in degrees clockwise from north.
    #[arg(long, value_name = "DEG")]
    heading: Option<f32>,
}

/// A key that the server skips. It makes an alarm so long that the answer may name the incident: over UDP an answer is never
/// longer than the alarm.
const PAD: &[u8] = b"\xa3Pad\xb2                  ";

/// Sends the report and prints the answer if there is one to wait for.
///
/// # Errors
/// When the report makes no sense or the server cannot be reached.
pub(super) fn run(args: SendArgs) -> anyhow::Result<ExitCode> {
    // Only a report with `Seq` is answered. The time in ms is higher at each run, so that no report repeats an earlier one.
    let asks_ack = args.way.over == Over::Tcp || args.emergency;
    let seq = asks_ack.then(|| SystemClock::new().now_ms().unsigned_abs());
    let mut bytes = Vec::new();
    let sealing = args.way.sealing()?;
    let mut report = args.report(seq)?;
    if sealing.is_some() {
        // A seal proves who sent a report, and not when.
        report.event_time_ms = report.event_time_ms.or_else(|| Some(SystemClock::new().now_ms()));
    }
    encode(&report, &mut bytes);
    match (args.way.over, sealing) {
        (Over::Udp, Some(mut sealing)) if args.emergency => alarm_over_udp(&args, bytes, &mut sealing),
        (Over::Udp, None) if args.emergency => alarm_over_udp(&args, bytes, &mut InClear),
        (_, None) => over(&args, &mut Single::new(bytes)),
        (_, Some(sealing)) => {
            let key = sealing.keys().of(report.vehicle_id);
            key.ok_or_else(|| SealError::NoKey(args.id.as_str().into()))?;
            over(&args, &mut Sealed::new(&mut Single::new(bytes), sealing, args.way.framing()))
        }
    }
}

impl SendArgs {
    fn report(&self, seq: Option<u64>) -> Result<Report<'_>, Coded> {
        let vehicle_id = VehicleId::new(&self.id)?;
        let position = Position::new(self.lat, self.lon)?;
        // The name of an incident follows the rules of a vehicle id.
        let incident = self.incident.as_deref().map(VehicleId::new).transpose();
        let incident = incident
            .map_err(|_| Coded::usage("--incident takes 1 to 64 bytes without control characters"))?;
        Ok(Report {
            emergency: self.emergency,
            event_time_ms: self.time,
            seq,
            speed_mps: self.speed,
            heading_deg: self.heading,
            kind: self.kind,
            incident: incident.map(VehicleId::as_str),
            ..Report::new(vehicle_id, position)
        })
    }
}

fn over(args: &SendArgs, single: &mut impl Source) -> anyhow::Result<ExitCode> {
    match args.way.over {
        Over::Udp => over_udp(args, single),
        Over::Tcp => over_tcp(args, single),
    }
}

fn over_udp(args: &SendArgs, single: &mut impl Source) -> anyhow::Result<ExitCode> {
    let target = args.way.target();
    let stop = AtomicBool::new(false);
    let sent = udp::send_all(single, &target, &mut Watch { stop: &stop, progress: &mut |_| {} })?;
    let bytes = sent.tally.bytes;
    say(&format!("sent {bytes} bytes to udp {target}; over udp nothing comes back\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn alarm_over_udp(
    args: &SendArgs,
    mut bytes: Vec<u8>,
    wrapping: &mut dyn Wrapping,
) -> anyhow::Result<ExitCode> {
    // The first byte of a msgpack map holds the number of its pairs.
    bytes[0] += 1;
    bytes.splice(1..1, PAD.iter().copied());
    let mut repeats = |wait: Duration| {
        let waited = wait.as_secs();
        // Fails only when standard error is closed; the alarm is repeated all the same.
        writeln!(stderr(), "no answer within {waited} s: the alarm is repeated").ok();
    };
    let incident = alarm::raise(&bytes, wrapping, &args.way.target(), &alarm::WAITS, &mut repeats);
    let incident = incident.context("the alarm may not be recorded: try --over tcp")?;
    let incident = incident.map(|id| format!(", incident {id}")).unwrap_or_default();
    // What is believed under a key was opened with it.
    let sealed = if args.way.has_keys() { "; the answer was sealed" } else { "" };
    say(&format!("stored{incident}{sealed}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn over_tcp(args: &SendArgs, single: &mut impl Source) -> anyhow::Result<ExitCode> {
    let settings = TcpSettings { trust: args.way.trust()?, ..TcpSettings::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let target = args.way.target();
    let stop = AtomicBool::new(false);
    let mut watch = Watch { stop: &stop, progress: &mut |_| {} };
    let mut answer = None;
    let outcome =
        runtime.block_on(tcp::send_all(single, &target, &settings, &mut watch, &mut |ack: &Ack<'_>| {
            answer = Some((ack.fate, ack.incident.map(str::to_owned)));
        }))?;
    match (answer, outcome.broken) {
        (Some((fate, incident)), _) => {
            let kept = fate == Fate::Stored || incident.is_some();
            let incident = incident.map(|id| format!(", incident {id}")).unwrap_or_default();
            say(&format!("{fate}{incident}\n"))?;
            Ok(ExitCode::from(u8::from(!kept)))
        }
        (None, Some(err)) => Err(err.into()),
        (None, None) => Err(anyhow::anyhow!("tcp {target} gave no answer")),
    }
}

/// A source of one report.
struct Single(Option<Vec<u8>>);

impl Single {
    fn new(bytes: Vec<u8>) -> Self {
        Self(Some(bytes))
    }
}

impl Source for Single {
    fn next(&mut self, _: Duration, out: &mut Vec<u8>) -> Result<Next, TraceError> {
        let Some(bytes) = self.0.take() else { return Ok(Next::End) };
        out.extend_from_slice(&bytes);
        Ok(Next::Report { emergency: vagn_wire::is_emergency(&bytes) })
    }

    fn total(&self) -> Option<u64> {
        Some(1)
    }
}
