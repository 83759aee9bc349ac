//! `vagn replay`: a recorded trace, played as if its vehicles drove now.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use vagn_load::Replay;
use vagn_load::replay::ReplaySettings;
use vagn_load::timeline::Speed;

use super::traffic::{Over, TrafficArgs};
use crate::config::Span;
use vagn_flow::clock::{Clock, SystemClock};

/// Which times reports carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Time {
    /// The time at which they are sent; at `--speed max` the trace is moved so that its last row is now.
    Now,
    /// The time at which they were recorded.
    Original,
}

/// What to send, and how.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vagn replay data/capmetro-austin-30min-small.csv --speed 60x\n  \
vagn replay data/ais-us-2022-01-03-sample.csv.zst --speed max --time original --over tcp --ops http://localhost:9093\n\n\
The file is CSV, plain or compressed with Zstandard, with the columns vehicle_id, timestamp_ms, lat, lon and, if there \
are any, speed_mps and heading_deg. Empty fields are unknown, and so is a speed of 113.995 m/s (255 mph, a tracker's byte \
for \"none\"). Every other row is sent as it is, a position of (0, 0) too; rows that are no report at all are counted and \
the first is named. Two rows with the same vehicle, time and position are a duplicate to the server.\n\n\
Exit codes: 0 all is well, 1 it does not add up or something cannot be read or reached, 64 wrong usage.")]
pub struct ReplayArgs {
    /// The trace.
    file: PathBuf,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// How much faster than recorded, or `max`.
    #[arg(long, value_name = "N|max", default_value = "1x")]
    speed: Speed,
    /// Which times reports carry.
    #[arg(long, value_enum, default_value_t = Time::Now)]
    time: Time,
    /// Silences of the trace that are longer than this, such as nights, are cut down to it.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    gap_max: Span,
}

/// Sends, and says what became of it.
///
/// # Errors
/// When the trace cannot be read or the server cannot be reached.
pub fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let settings = ReplaySettings {
        speed: args.speed,
        now_ms: (args.time == Time::Now).then(|| SystemClock::new().now_ms()),
        gap_max: args.gap_max.0,
        ask_acks: args.traffic.way.over == Over::Tcp,
    };
    let mut replay = Replay::open(&args.file, settings)?;
    let summary = args.traffic.run(&mut replay)?.with_unusable(replay.unusable());
    args.traffic.close(&summary)
}
