//! `vagn simulate`: moving vehicles at a set rate, and what became of every report.

use std::process::ExitCode;

use clap::Args;
use vagn_load::Fleet;
use vagn_load::fleet::{Extras, FleetSettings};
use vagn_load::pace::Rate;

use super::traffic::{Over, TrafficArgs};
use crate::config::Span;
use vagn_flow::clock::{Clock, SystemClock};

/// What to send, and how.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn simulate --vehicles 10000 --rate 5000 --duration 30s --ops http://localhost:9093\n  \
vagn simulate --over tcp --count 100000 --rate max --json\n  \
vagn simulate --rate 200 --emergency-ratio 0.005 --duration 1m\n\n\
Vehicles drive along great circles within twenty cities around the world; the same --seed gives the same reports. \
At --rate max many datagrams leave in one system call, emergencies always on their own.\n\n\
Ends with what was sent and at which rate; with --ops also with how the server's counters add up to it.\n\n\
Exit codes: 0 all is well, 1 it does not add up or the server cannot be reached, 64 wrong usage."
)]
pub struct SimulateArgs {
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Number of vehicles; they report in turn.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    vehicles: u32,
    /// Reports per second of all vehicles together, or `max`.
    #[arg(long, value_name = "N|max", default_value = "1000")]
    rate: Rate,
    /// For how long, such as 30s or 10m [default: until Ctrl-C].
    #[arg(long, value_name = "TIME")]
    duration: Option<Span>,
    /// How many reports [default: until Ctrl-C].
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Share of reports that call for help, 0 to 1. These reach the server's --emergency-url.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    emergency_ratio: f64,
    /// What all that happens by chance follows from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Tell the time, speed and heading too, beyond the original's four fields.
    #[arg(long)]
    full: bool,
}

/// Sends, and says what became of it.
///
/// # Errors
/// When the server cannot be reached.
pub fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let now_ms = SystemClock::new().now_ms();
    let asks_acks = args.traffic.way.over == Over::Tcp;
    let mut fleet = Fleet::new(FleetSettings {
        vehicles: args.vehicles,
        rate: args.rate,
        count: args.count,
        duration: args.duration.map(|span| span.0),
        emergency_ratio: args.emergency_ratio,
        seed: args.seed,
        extras: Extras {
            // Later runs count from higher up: to the server an equal `Seq` is the same report.
            seq_from: asks_acks.then_some(now_ms.unsigned_abs() << 20),
            start_ms: args.full.then_some(now_ms),
            motion: args.full,
        },
    });
    let summary = args.traffic.run(&mut fleet)?;
    args.traffic.close(&summary)
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a share is a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is a number from 0 to 1".to_owned()) }
}
