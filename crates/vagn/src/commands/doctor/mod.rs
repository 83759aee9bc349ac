//! `vagn doctor`: checks whether this machine is fit to run the service.

mod brokers;
mod certificate;
mod disk;
mod finding;
mod hour;
mod map;
mod network;
mod scarce;
mod service;

use std::process::ExitCode;

use clap::Args;
use vagn_flow::clock::{Clock, SystemClock};

use self::finding::{Finding, Level};
use super::exit::Coded;
use super::say;
use super::serve::SettingArgs;
use crate::config::Loaded;

/// Flags of `vagn doctor`: those of `vagn serve` that are settings.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn doctor\n  vagn doctor --data-dir /var/lib/vagn --emergency-url https://dispatch.example/calls\n  \
vagn doctor --nats tls://a.example,b.example,c.example --nats-monitor http://a.example:8222,http://b.example:8222,http://c.example:8222\n\n\
Each line says ok, warn or fail, and what to do about it. It connects to the emergency targets, but sends them no notice. \
If a service answers on the ops port, what it misses and warns of is listed too, and how much of its descriptors and of its memory for answers is left.\n\n\
With --nats it connects to each broker as a node would, reads the streams of the data set, and changes nothing. What brokers and their monitors do \
not tell is named as not checked.\n\n\
A service that doubts the wall clock forgets no vehicle, removes no history and ends no incident by age (warning `clock` in /readyz). \
If the clock of the machine is right, for example after it was set far ahead on purpose or after months without power, say so:\n  \
vagn doctor --accept-clock\n\n\
Exit codes: 0 nothing fails, 1 something does, 64 wrong usage or settings."
)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    settings: SettingArgs,
    /// Monitors of the brokers (`http:` in their configurations), such as http://a.example:8222: they tell what brokers do not tell nodes.
    #[arg(long, value_name = "URL,…", value_delimiter = ',')]
    nats_monitor: Vec<String>,
    /// Tell the running service that the clock of this machine is right, and check nothing else.
    #[arg(long)]
    accept_clock: bool,
}

/// Runs all checks and prints their findings.
pub(super) fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let Loaded { settings, cautions, .. } = args.settings.load()?;
    if args.accept_clock {
        return service::accept_clock(&settings.ops.listen);
    }
    if !args.nats_monitor.is_empty() && !settings.cluster.is_set() {
        let why = "--nats-monitor needs brokers: name them with --nats, such as --nats tls://a.example,b.example,c.example";
        return Err(Coded::usage(why).into());
    }
    let checks: [&dyn Fn() -> Vec<Finding>; 11] = [
        &|| cautions.iter().map(|caution| Finding::warn(&caution.what, &caution.remedy)).collect(),
        &|| network::receive_buffer(settings.udp.receive_buffer_bytes),
        &|| disk::check(&settings.data_dir, settings.free_floor_bytes),
        &|| hour::check(&settings.data_dir),
        &|| certificate::check(&settings.http, SystemClock::new().now_ms()),
        &|| map::check(&settings.map.pmtiles),
        &|| network::ports(&settings),
        &|| network::targets(&settings.emergency),
        &|| brokers::check(&settings, &args.nats_monitor),
        &|| scarce::check(&settings),
        &|| service::check(&settings.ops.listen),
    ];
    let mut failed = false;
    for finding in checks.iter().flat_map(|check| check()) {
        failed |= finding.level() == Level::Fail;
        say(&finding.to_string())?;
    }
    Ok(ExitCode::from(u8::from(failed)))
}
