//! Common parts of `simulate` and `replay`: the way to the server, the progress bar and the summary.

mod summary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::runtime::Runtime;
use vagn_flow::clock::{Clock, SystemClock};
use vagn_load::Source;
use vagn_load::balance::{Balance, Counts};
use vagn_load::ops::Ops;
use vagn_load::sealed::{Framing, Sealed, Sealing};
use vagn_load::source::Tally;
use vagn_load::target::Target;
use vagn_load::tcp::{self, TcpSettings};
use vagn_load::trust::Trust;
use vagn_load::udp::{self, Sent, Watch};
use vagn_load::wrapping::SealError;

use self::summary::{Answers, Drawn, Summary};
use super::{exit, say};
use crate::config::readable;

/// Longest wait for a server to become idle after the last report.
const SETTLE_WITHIN: Duration = Duration::from_secs(20);

/// Transport of the reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Over {
    /// One datagram per report; no answer comes back, except to an alarm from `vagn send`.
    Udp,
    /// A TLS stream; every report is answered with its fate.
    Tcp,
}

/// Flags for the way to the server.
#[derive(Debug, Args)]
pub(super) struct WayArgs {
    /// Address of the server's door [default: localhost:9092 over UDP, localhost:9091 over TCP].
    #[arg(long, value_name = "HOST:PORT")]
    target: Option<Target>,
    /// Transport.
    #[arg(long, value_enum, default_value_t = Over::Udp)]
    pub(super) over: Over,
    /// Seal what is sent with the keys of this file, one JSON object a line, as `vagn device add --json` prints them. The last
    /// sequence used is kept beside it, in FILE.sequence.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Flags that say which server certificates are trusted.
#[derive(Debug, Args)]
pub(super) struct TrustArgs {
    /// With TLS: trust this certificate (PEM), and those signed by it. A server makes its own certificate and keeps it
    /// as cert.pem in its data directory. On this machine any certificate is trusted.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With TLS: trust any server anywhere.
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
}

impl WayArgs {
    /// Returns the target given, or else the default port on this machine.
    pub(super) fn target(&self) -> Target {
        let local = match self.over {
            Over::Udp => "localhost:9092",
            Over::Tcp => "localhost:9091",
        };
        self.target.clone().unwrap_or_else(|| local.parse().expect("it is written as host:port"))
    }

    pub(super) fn trust(&self) -> anyhow::Result<Trust> {
        self.trust.trust()
    }

    /// Returns the keys and their sequences; `None` when reports are sent in clear.
    ///
    /// # Errors
    /// When the key file cannot be used, or is in use.
    pub(super) fn sealing(&self) -> Result<Option<Sealing>, SealError> {
        self.key_file.as_deref().map(warn_if_readable);
        let now_ms = SystemClock::new().now_ms().max(0).unsigned_abs();
        self.key_file.as_deref().map(|file| Sealing::open(file, now_ms)).transpose()
    }

    /// Returns true when what is sent is sealed.
    pub(super) fn has_keys(&self) -> bool {
        self.key_file.is_some()
    }

    /// Returns the form of an envelope on this way.
    pub(super) fn framing(&self) -> Framing {
        match self.over {
            Over::Udp => Framing::Datagram,
            Over::Tcp => Framing::Bin,
        }
    }
}

/// Warns of a key file that every user of the machine can read: whoever does can speak for its vehicles.
pub(super) fn warn_if_readable(key_file: &Path) {
    if let Some(caution) = readable("--key-file", key_file) {
        exit::warn(&caution);
    }
}

impl TrustArgs {
    /// Returns which certificates are trusted.
    ///
    /// # Errors
    /// When the file holds no certificate.
    pub(super) fn trust(&self) -> anyhow::Result<Trust> {
        Ok(match (&self.ca, self.insecure) {
            (Some(file), _) => Trust::from_file(file)?,
            (None, true) => Trust::Anyone,
            (None, false) => Trust::Loopback,
        })
    }
}

/// Flags of the commands that send traffic.
#[derive(Debug, Args)]
pub(super) struct TrafficArgs {
    #[command(flatten)]
    pub(super) way: WayArgs,
    /// At the end, compare with the counters of this server, and fail if a report is unaccounted for. No other sender may be
    /// active.
    #[arg(long, value_name = "URL")]
    ops: Option<Ops>,
    /// For TCP: most reports at a time that still wait for an answer.
    #[arg(long, value_name = "N", default_value_t = TcpSettings::default().window as u32,
        value_parser = clap::value_parser!(u32).range(1..))]
    window: u32,
    /// Print the outcome as one JSON object.
    #[arg(long)]
    json: bool,
}

impl TrafficArgs {
    /// Sends all of `source`, sealed by the keys if there are some, or until Ctrl-C, and draws the balance.
    ///
    /// # Errors
    /// When the server cannot be reached at all, or no key speaks for any vehicle.
    pub(super) fn run(&self, source: &mut impl Source, sealing: Option<Sealing>) -> anyhow::Result<Summary> {
        let Some(sealing) = sealing else { return self.send(source) };
        let mut sealed = Sealed::new(source, sealing, self.way.framing());
        let summary = self.send(&mut sealed)?;
        let keyless = sealed.keyless();
        if let (true, Some(first)) = (summary.is_nothing(), &keyless.first) {
            return Err(SealError::NoKey(first.clone()).into());
        }
        Ok(summary.with_keyless(keyless))
    }

    fn send(&self, source: &mut impl Source) -> anyhow::Result<Summary> {
        let before = self.ops.as_ref().map(Counts::scrape).transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let stop = stop_on_ctrl_c(&runtime);
        let bar = bar(source.total());
        let mut progress = |tally: &Tally| bar.set_position(tally.reports);
        let mut watch = Watch { stop: &stop, progress: &mut progress };
        let target = self.way.target();
        let (over, (sent, answers)) = match self.way.over {
            Over::Udp => ("udp", (udp::send_all(source, &target, &mut watch)?, None)),
            Over::Tcp => ("tcp", self.over_tcp(&runtime, source, &target, &mut watch)?),
        };
        bar.finish_and_clear();
        let balance = self.balance(before.as_ref(), sent.tally.reports);
        Ok(Summary::new(format!("{over} {target}"), sent, answers, balance))
    }

    fn over_tcp(
        &self,
        runtime: &Runtime,
        source: &mut impl Source,
        target: &Target,
        watch: &mut Watch<'_>,
    ) -> anyhow::Result<(Sent, Option<Answers>)> {
        let settings =
            TcpSettings { trust: self.way.trust()?, window: self.window as usize, ..TcpSettings::default() };
        let started = Instant::now();
        let mut outcome = runtime.block_on(tcp::send_all(source, target, &settings, watch, &mut |_| {}))?;
        // The time until the last answer counts. Sending alone only fills a buffer, and its time says nothing.
        outcome.sent.took = started.elapsed();
        let answers = Answers::of(&outcome);
        Ok((outcome.sent, Some(answers)))
    }

    fn balance(&self, before: Option<&Counts>, sent: u64) -> Option<Drawn> {
        let drawn = Balance::draw(self.ops.as_ref()?, before?, sent, SETTLE_WITHIN);
        Some(drawn.map_err(|err| format!("{:#}", anyhow::Error::new(err))))
    }

    /// Prints the summary. The exit code is a failure if a report is unaccounted for.
    pub(super) fn close(&self, summary: &Summary) -> anyhow::Result<ExitCode> {
        let text = if self.json { format!("{}\n", summary.json()) } else { summary.text() };
        say(&text)?;
        Ok(ExitCode::from(u8::from(!summary.is_whole())))
    }
}

/// Returns a flag that Ctrl-C sets. The first Ctrl-C ends the sending, so that the balance is still drawn; a second one ends
/// the process.
fn stop_on_ctrl_c(runtime: &Runtime) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    runtime.spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if flag.swap(true, Ordering::Relaxed) {
                // 128 + SIGINT, as shells expect of an interrupted process.
                std::process::exit(130);
            }
        }
    });
    stop
}

/// Returns a progress bar, which draws on a terminal only.
fn bar(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
    let template = match total {
        Some(_) => "{wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
        None => "{spinner} {human_pos} reports {per_sec} {elapsed}",
    };
    bar.set_style(ProgressStyle::with_template(template).expect("the template names known parts"));
    bar
}
