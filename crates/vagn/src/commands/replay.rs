//! `vagn replay`: sends a recorded trace as if its vehicles drove now.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use vagn_load::Replay;
use vagn_load::replay::ReplaySettings;
use vagn_load::timeline::Speed;

use super::traffic::{Over, TrafficArgs};
use crate::config::Span;
use vagn_flow::clock::{Clock, SystemClock};

/// Event times that the reports carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Time {
    /// The time of sending; at `--speed max` the whole trace is moved so that its last row is now.
    Now,
    /// The time of recording.
    Original,
}

/// Flags of `vagn replay`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vagn replay data/capmetro-austin-30min-small.csv --speed 60x\n  \
vagn replay data/ais-us-2022-01-03-sample.csv.zst --speed max --time original --over tcp --ops http://localhost:9093\n  \
vagn replay data/capmetro-austin-30min-small.csv --key-file gateway.key\n\n\
The file is CSV, plain or compressed with Zstandard. Its columns are vehicle_id, timestamp_ms, lat, lon and, optionally, \
speed_mps and heading_deg. An empty field means unknown, and so does a speed of 113.995 m/s (255 mph, the byte with which a \
tracker says \"none\"). Every other row is sent unchanged, also with a position of (0, 0). Rows that cannot be a report are \
counted, and the first one is named. To the server, two rows with the same vehicle, time and position are a duplicate.\n\n\
With --key-file each row is sealed by the key of its vehicle, or by that of a gateway with a prefix of its id; rows of other \
vehicles are not sent, and counted.\n\n\
Exit codes: 0 every report is accounted for; 1 not, or something cannot be read or reached; 64 wrong usage.")]
pub(super) struct ReplayArgs {
    /// Trace to send (CSV).
    file: PathBuf,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Speed relative to the recording, such as 60x, or `max`.
    #[arg(long, value_name = "N|max", default_value = "1x")]
    speed: Speed,
    /// Event times that the reports carry.
    #[arg(long, value_enum, default_value_t = Time::Now)]
    time: Time,
    /// Longest pause: a longer silence in the trace, such as a night, is shortened to this.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    gap_max: Span,
}

/// Sends the trace and prints the outcome.
///
/// # Errors
/// When the trace cannot be read or the server cannot be reached.
pub(super) fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let settings = ReplaySettings {
        speed: args.speed,
        now_ms: (args.time == Time::Now).then(|| SystemClock::new().now_ms()),
        gap_max: args.gap_max.0,
        ask_acks: args.traffic.way.over == Over::Tcp,
    };
    let mut replay = Replay::open(&args.file, settings)?;
    let summary =
        args.traffic.run(&mut replay, args.traffic.way.sealing()?)?.with_unusable(replay.unusable());
    args.traffic.close(&summary)
}
