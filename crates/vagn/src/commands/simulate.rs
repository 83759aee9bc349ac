//! `vagn simulate`: sends reports of moving vehicles at a set rate, and accounts for each of them.

use std::process::ExitCode;

use clap::Args;
use vagn_load::Fleet;
use vagn_load::fleet::{Extras, FleetSettings};
use vagn_load::pace::Rate;

use super::exit::Coded;
use super::traffic::{Over, TrafficArgs};
use crate::config::Span;
use vagn_flow::clock::{Clock, SystemClock};

/// Flags of `vagn simulate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn simulate --vehicles 10000 --rate 5000 --duration 30s --ops http://localhost:9093\n  \
vagn simulate --over tcp --count 100000 --rate max --json\n  \
vagn simulate --key-file gateway.key --rate 5000 --duration 30s\n  \
vagn simulate --rate 200 --emergency-ratio 0.005 --duration 1m\n\n\
Vehicles drive along great circles in twenty cities around the world. The same --seed gives the same reports. \
At --rate max many datagrams leave in one system call; each alarm always leaves on its own.\n\n\
With --key-file the vehicles are those of the file, --vehicles of them at most; if it has only gateways, the simulated ids stand \
behind the prefix of the first. Each report carries its time.\n\n\
At the end it prints how many reports were sent, and at which rate. With --ops it also compares this with the counters of the \
server.\n\n\
Exit codes: 0 every report is accounted for; 1 not, or the server cannot be reached; 64 wrong usage."
)]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Number of vehicles; they report one after the other.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    vehicles: u32,
    /// Reports per second of all vehicles together, or `max`.
    #[arg(long, value_name = "N|max", default_value = "1000")]
    rate: Rate,
    /// Length of the run, such as 30s or 10m [default: until Ctrl-C].
    #[arg(long, value_name = "TIME")]
    duration: Option<Span>,
    /// Number of reports [default: until Ctrl-C].
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Share of reports that are alarms, 0 to 1. The server sends notices about them to its --emergency-url.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    emergency_ratio: f64,
    /// Seed of everything random.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Send time, speed and heading too, in addition to the four fields of the original.
    #[arg(long)]
    full: bool,
}

/// Sends the reports and prints the outcome.
///
/// # Errors
/// When the server cannot be reached.
pub(super) fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let now_ms = SystemClock::new().now_ms();
    let asks_acks = args.traffic.way.over == Over::Tcp;
    let sealing = args.traffic.way.sealing()?;
    let mut fleet = Fleet::new(FleetSettings {
        vehicles: args.vehicles,
        rate: args.rate,
        count: args.count,
        duration: args.duration.map(|span| span.0),
        emergency_ratio: args.emergency_ratio,
        seed: args.seed,
        extras: Extras {
            // A later run starts from a higher number: to the server an equal `Seq` means the same report.
            seq_from: asks_acks.then_some(now_ms.unsigned_abs() << 20),
            // A seal proves who sent a report, and not when.
            start_ms: (args.full || sealing.is_some()).then_some(now_ms),
            motion: args.full,
        },
    });
    if let Some(sealing) = &sealing {
        let names = sealing.keys().names(fleet.ids());
        fleet
            .name_vehicles(names)
            .map_err(|_| Coded::usage("no id fits behind the prefix in the key file"))?;
    }
    let summary = args.traffic.run(&mut fleet, sealing)?;
    args.traffic.close(&summary)
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a share is a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is a number from 0 to 1".to_owned()) }
}
