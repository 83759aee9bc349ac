//! A node for as long as a command runs. It stores nothing, and says that it leaves, so that no other node misses it afterwards.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};
use vagn_flow::clock::Clock;
use vagn_flow::metrics::MetricRegistry;
use vagn_nats::{Handle, Unavailable};
use vagn_shard::FleetShard;

use super::super::exit::{self, Coded};
use crate::cluster::{ClusterMetrics, News, NodeLink, NodeParts, Picture, tls};
use crate::config::{self, Settings};

/// Longest wait for a cluster whose shards have owners.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(30);

/// Time after which it is told what is waited for: most clusters need less.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// Pause between two looks at the cluster.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Time for the word to go out that this node leaves. Nodes say what they are twice a second.
const LEAVE_WITHIN: Duration = Duration::from_millis(1_200);

/// Reads the settings of a cluster as a node does.
///
/// # Errors
/// They are wrong, or name no brokers.
pub(super) fn load(
    data_dir: Option<PathBuf>,
    nats: Option<String>,
    config: Option<&Path>,
) -> anyhow::Result<Settings> {
    let mut flags = config::Flags::new();
    flags.extend(data_dir.map(|dir| ("data_dir", dir.to_string_lossy().into_owned().into())));
    flags.extend(nats.map(|list| ("cluster.nats", list.into())));
    let loaded = config::load(config, std::env::vars_os(), flags)?;
    loaded.foreign.iter().for_each(exit::warn);
    let cluster = &loaded.settings.cluster;
    if !cluster.is_set() {
        let why =
            "name the brokers of the cluster with --nats, such as --nats tls://a.example,b.example,c.example";
        return Err(Coded::usage(why).into());
    }
    tls(cluster).map_err(|err| Coded::usage(format!("{:#}", anyhow::Error::new(err))))?;
    Ok(loaded.settings)
}

/// A node that is there for a command.
pub(super) struct Guest {
    /// Settings, as the nodes of the cluster have them.
    pub(super) settings: Settings,
    /// The command, in the name of the node.
    pub(super) command: &'static str,
    /// What has not happened where the cluster cannot be used.
    pub(super) undone: &'static str,
}

impl Guest {
    /// Runs the node, does the deed once each shard has an owner with all it has, and leaves.
    ///
    /// # Errors
    /// The node cannot be run, the cluster cannot be used, or the deed failed.
    pub(super) fn stay<T>(
        self,
        clock: Arc<dyn Clock>,
        deed: impl AsyncFnOnce(&Handle<FleetShard>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.stay_by(&NodeLink::default(), clock, deed)
    }

    /// Does the same with a way to the node that the deed knows.
    ///
    /// # Errors
    /// As [`stay`](Self::stay).
    pub(super) fn stay_by<T>(
        self,
        link: &NodeLink<FleetShard>,
        clock: Arc<dyn Clock>,
        deed: impl AsyncFnOnce(&Handle<FleetShard>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Self { settings, command, undone } = self;
        let set = settings.cluster.set.clone();
        let node = NodeParts {
            name: format!("{command}-{:08x}", fastrand::u32(..)),
            stores: false,
            // It begins no data set.
            begin: Vec::new(),
            settings_hash: settings.cluster_hash(),
            files: None,
            draw: || fastrand::u64(..),
            clock,
            link: link.clone(),
            news: News::new(Arc::new(ClusterMetrics::new(&MetricRegistry::new()))),
            settings: settings.cluster,
        };
        let through = async {
            let handle = ready(link, &set, undone).await?;
            let done = deed(&handle).await;
            // Else the nodes would miss it, and say so for an hour.
            if handle.leave().is_ok() {
                sleep(LEAVE_WITHIN).await;
            }
            done
        };
        let runtime = Builder::new_current_thread().enable_all().build().context("start the node")?;
        runtime.block_on(async {
            tokio::select! {
                ended = node.run() => match ended {
                    Err(err) => Err(anyhow!(err).context("run a node of the cluster")),
                    Ok(()) => bail!("the node of the command has ended"),
                },
                done = through => done,
            }
        })
    }
}

/// Waits until each shard has an owner with all it has, and says what it waits for.
async fn ready(link: &NodeLink<FleetShard>, set: &str, undone: &str) -> anyhow::Result<Handle<FleetShard>> {
    let begun = Instant::now();
    let mut told = String::new();
    loop {
        let lack = match link.handle() {
            Ok(handle) => match lack(&handle, set).await {
                None => return Ok(handle),
                Some(lack) => lack,
            },
            Err(Unavailable) => {
                "no broker of `cluster.nats` answers; see that they run, and that `vagn doctor` finds nothing wrong with them".to_owned()
            }
        };
        let waited = begun.elapsed();
        if waited >= READY_WITHIN {
            bail!("{undone}: for {} s, {lack}", READY_WITHIN.as_secs());
        }
        if waited >= TELL_AFTER && lack != told {
            eprintln!("waiting: {lack}");
            told = lack;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Returns what the cluster lacks to be used.
async fn lack(handle: &Handle<FleetShard>, set: &str) -> Option<String> {
    let Ok(picture) = handle.look(Picture::of).await else { return Some("the node is busy".to_owned()) };
    if !picture.is_known {
        return Some(format!(
            "the brokers have no data set `{set}`; start the nodes of the cluster, or set cluster.set as they have it"
        ));
    }
    unowned(&picture.unowned())
}

/// Says which shards nobody answers for; `None` where there are none.
pub(super) fn unowned(shards: &[u16]) -> Option<String> {
    let names: Vec<_> = shards.iter().map(u16::to_string).collect();
    (!names.is_empty()).then(|| {
        format!(
            "no node answers for all of these shards: {}; start the nodes that own them",
            names.join(", ")
        )
    })
}

/// Returns a bar of progress.
pub(super) fn bar(what: &str, of: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template(&format!("{what} {{wide_bar}} {{eta}}")).expect("the template is right");
    ProgressBar::new(of).with_style(style)
}
