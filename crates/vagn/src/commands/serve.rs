//! `vagn serve`: runs the service until it is told to stop or gives up.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use toml::Value;
use tracing::warn;
use tracing_appender::non_blocking::WorkerGuard;

use super::exit::{self, Coded};
use super::printer::Printer;
use crate::app::{App, Ground, ReadSettings, StartError};
use crate::config::{self, Caution, Loaded, LogFormat, LogLevel};
use crate::logging;

/// Flags that are settings; `vagn config` takes them too.
#[derive(Debug, Clone, Args)]
pub(super) struct SettingArgs {
    /// Settings file (TOML); `vagn config` prints one.
    #[arg(long, value_name = "FILE", env = "VAGN_CONFIG")]
    config: Option<PathBuf>,
    /// Directory for everything that is kept [default: ./vagn-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// UDP door [default: localhost:9092]; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    udp: Option<String>,
    /// TLS TCP door [default: localhost:9091].
    #[arg(long, value_name = "HOST:PORT")]
    tcp: Option<String>,
    /// HTTPS API [default: localhost:9090].
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Address under which people reach the API, such as https://fleet.example, for its certificate.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Serve the API without TLS, on loopback or with http.trusted_proxies: for a proxy that ends TLS.
    #[arg(long)]
    http_plain: bool,
    /// Metrics and health, plain HTTP [default: localhost:9093].
    #[arg(long, value_name = "HOST:PORT")]
    ops: Option<String>,
    /// Target for notices about incidents; without it incidents are only listed.
    #[arg(long, value_name = "URL")]
    emergency_url: Option<String>,
    /// Target for notices about drills (`vagn drill`), and about nothing else.
    #[arg(long, value_name = "URL")]
    drill_url: Option<String>,
    /// Map file (PMTiles) for the pages to draw the vehicles on, instead of the built-in map.
    #[arg(long, value_name = "FILE")]
    map_pmtiles: Option<PathBuf>,
    /// Map style for the pages: an https URL, or a path on this server; the pages load what it names.
    #[arg(long, value_name = "URL")]
    map_style_url: Option<String>,
    /// NATS brokers that bind several nodes to one fleet, such as tls://a.example,b.example,c.example; nats:// for loopback alone.
    #[arg(long, value_name = "URL,…")]
    nats: Option<String>,
    /// Part of this node in the cluster: some of ingest (doors), store (shards), query (the fleet's API), emergency (may lead calls for help) [default: all four].
    #[arg(long, value_name = "ROLE,…")]
    role: Option<String>,
    /// Name of this node in the cluster, the same over restarts [default: the machine's].
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Zone of this node: the copies of a shard are kept in different ones [default: a zone of its own].
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Listen on addresses beyond loopback although no key or token is asked for.
    #[arg(long)]
    insecure_open: bool,
    /// Take the kernel's word that its clock is synchronised [default: true].
    #[arg(long, value_name = "BOOL")]
    clock_kernel: Option<bool>,
    /// Amount of logging, on standard error [default: info].
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Format of the log [default: text].
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl SettingArgs {
    /// Returns the settings in force, and warns on standard error of variables that look like settings and are none.
    pub(super) fn load(self) -> Result<Loaded, config::ConfigError> {
        let loaded = self.read()?;
        loaded.foreign.iter().for_each(exit::warn);
        Ok(loaded)
    }

    /// Returns the settings in force: these flags over the environment, the file and the defaults.
    fn read(self) -> Result<Loaded, config::ConfigError> {
        let texts = [
            ("data_dir", self.data_dir.map(|path| path.to_string_lossy().into_owned())),
            ("udp.listen", self.udp),
            ("tcp.listen", self.tcp),
            ("http.listen", self.http),
            ("http.public_url", self.public_url),
            ("ops.listen", self.ops),
            ("emergency.url", self.emergency_url),
            ("emergency.drill.url", self.drill_url),
            ("map.pmtiles", self.map_pmtiles.map(|path| path.to_string_lossy().into_owned())),
            ("map.style_url", self.map_style_url),
            ("cluster.node", self.node),
            ("cluster.zone", self.zone),
            ("log.level", self.log_level.map(value_name)),
            ("log.format", self.log_format.map(value_name)),
        ];
        let mut flags: config::Flags =
            texts.into_iter().filter_map(|(key, text)| Some((key, text?.into()))).collect();
        for (key, list) in [("cluster.nats", self.nats), ("cluster.role", self.role)] {
            let texts = |list: String| Value::Array(list.split(',').map(|text| text.trim().into()).collect());
            flags.extend(list.map(|list| (key, texts(list))));
        }
        if self.insecure_open {
            flags.push(("insecure_open", true.into()));
        }
        if self.http_plain {
            flags.push(("http.plain", true.into()));
        }
        if let Some(kernel) = self.clock_kernel {
            flags.push(("clock.kernel", kernel.into()));
        }
        config::load(self.config.as_deref(), std::env::vars_os(), flags)
    }

    fn names_data_dir(&self) -> bool {
        self.data_dir.is_some()
    }
}

fn value_name(value: impl clap::ValueEnum) -> String {
    let possible = value.to_possible_value().expect("every value of a setting is shown in the help");
    possible.get_name().to_owned()
}

/// Flags of `vagn serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vagn serve --demo\n  \
vagn serve --data-dir /var/lib/vagn --emergency-url https://dispatch.example/calls\n  \
vagn serve --config vagn.toml --udp 0.0.0.0:9092 --insecure-open\n  \
vagn serve --nats tls://a.example,b.example,c.example --node north-1 --zone north\n\n\
With --nats the fleet is on all nodes that name the same brokers and data set (cluster.set): each report is synced at two of three brokers \
and on the disk of one owner of its shard before it counts as stored, and every node answers for the whole fleet. Calls for help are made by the node that takes them.\n\
Standard output has a line `listening …` for each listener and then `ready`; the log goes to standard error.\n\
SIGTERM and SIGINT stop it in order. SIGHUP reloads the settings that can be (log.level, http.cert, http.key, http.names, http.tokens, \
http.public_url) and the certificate; the log names those that cannot. It stops a service whose terminal is gone; under nohup it does \
nothing.\n\
Exit codes: 0 told to stop; 64 wrong usage, settings, certificate or data directory; 69 port or data directory in use; \
70 the service gave up, or failed by a fault of its own.")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingArgs,
    /// Drive the recorded Austin bus fleet through the service, in a data directory of its own (./vagn-demo-data).
    #[arg(long)]
    demo: bool,
}

/// Runs the service until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub(super) fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    // First of all: from here on a signal stops the service instead of ending the process where it stands.
    let mut ground = Ground::lay().map_err(own_fault)?;
    let Some(begun) = ground.begin(|| begin(args)) else {
        return Ok(ExitCode::SUCCESS);
    };
    let (app, log) = begun?;
    let printer = Printer::new();
    for line in app.listening() {
        printer.print(&format!("listening {line}\n"));
    }
    let exit = app.run(&mut ground, || printer.print("ready\n"));
    ground.leave(move || drop((printer, log)));
    let exit = exit.map_err(coded)?;
    Ok(ExitCode::from(if exit.is_failure() { exit::SOFTWARE } else { 0 }))
}

/// Starts the service, and the log that goes with it.
fn begin(args: ServeArgs) -> anyhow::Result<(App, WorkerGuard)> {
    let read = reader(&args);
    let Loaded { settings, foreign, cautions } = read()?;
    let log = logging::init(&settings.log);
    for foreign in foreign {
        warn!("{foreign}");
    }
    for caution in cautions {
        warn!("{caution}");
    }
    // Supervisors log each panic; the default hook would print it a second time.
    vagn_otp::quiet_panics();
    let app = App::start(settings, args.demo, read).map_err(coded)?;
    Ok((app, log))
}

/// Returns what reads the settings of these flags, as often as it is called.
fn reader(args: &ServeArgs) -> ReadSettings {
    let (flags, demo) = (args.settings.clone(), args.demo);
    Arc::new(move || {
        let own_data_dir = demo && !flags.names_data_dir();
        let mut loaded = flags.clone().read()?;
        // The recorded buses must not end up among the vehicles of a real service.
        if own_data_dir {
            loaded.settings.data_dir = "./vagn-demo-data".into();
        }
        if demo && loaded.settings.emergency.has_real_target() {
            loaded.cautions.push(Caution {
                what: "--demo sends no notices to real targets".to_owned(),
                remedy: "the emergency targets in the settings are not used".to_owned(),
            });
            loaded.settings.emergency.remove_real_targets();
        }
        Ok(loaded)
    })
}

fn coded(err: StartError) -> anyhow::Error {
    match err {
        StartError::InUse(message) => Coded::unavailable(message).into(),
        StartError::Unusable(message) => Coded::usage(message).into(),
        StartError::Other(err) => own_fault(err),
    }
}

fn own_fault(err: anyhow::Error) -> anyhow::Error {
    Coded::software(format!("{err:#}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn started(settings: Settings) -> Result<App, StartError> {
        let again = settings.clone();
        let read: ReadSettings = Arc::new(move || {
            Ok(Loaded { settings: again.clone(), foreign: Vec::new(), cautions: Vec::new() })
        });
        Ground::lay().unwrap().begin(|| App::start(settings, false, read)).expect("no signal comes")
    }

    fn check(change: impl FnOnce(&mut Settings, &std::path::Path), key: &str) {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings { data_dir: dir.path().join("data"), ..Settings::default() };
        for listen in [
            &mut settings.udp.listen,
            &mut settings.tcp.listen,
            &mut settings.http.listen,
            &mut settings.ops.listen,
        ] {
            *listen = "localhost:0".into();
        }
        change(&mut settings, dir.path());
        let err = coded(started(settings).err().expect("it cannot start"));
        let told = err.downcast_ref::<Coded>().expect("it has a code");
        assert!(told.code == exit::USAGE && told.message.contains(key), "{told:?}");
    }

    #[test]
    fn a_file_named_in_the_settings_that_cannot_be_used_is_reported_as_wrong_settings() {
        check(
            |settings, dir| {
                std::fs::write(dir.join("file"), "").unwrap();
                settings.data_dir = dir.join("file");
            },
            "data_dir",
        );
        check(
            |settings, _| {
                std::fs::create_dir(&settings.data_dir).unwrap();
                std::fs::write(settings.data_dir.join("partitions"), "format 99\n").unwrap();
            },
            "of a newer version",
        );
        check(
            |settings, dir| {
                settings.http.cert = dir.join("no.pem");
                settings.http.key = dir.join("no.key");
            },
            "http.cert",
        );
        check(
            |settings, dir| {
                std::fs::write(dir.join("text"), "no pem").unwrap();
                settings.http.cert = dir.join("text");
                settings.http.key = dir.join("text");
            },
            "http.cert",
        );
        check(|settings, dir| settings.map.pmtiles = dir.join("no.pmtiles"), "`map.pmtiles` ");
        check(
            |settings, dir| {
                std::fs::write(dir.join("text"), "no map").unwrap();
                settings.map.pmtiles = dir.join("text");
            },
            "is no PMTiles file",
        );
    }
}
