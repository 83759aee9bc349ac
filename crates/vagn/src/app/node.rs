//! Checks of a start as a node of a cluster.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Handle;
use tracing::warn;
use vagn_flow::readiness::Readiness;
use vagn_http::host;
use vagn_registry::Registry;
use vagn_shard::FleetShard;

use super::StartError;
use crate::cluster::registry::{ToBrokers, Way};
use crate::cluster::{NodeLink, tls};
use crate::config::Settings;
use crate::control;

/// Returns the name of this node; `None` on one machine.
pub(super) fn name(settings: &Settings) -> Option<String> {
    settings.cluster.is_set().then(|| settings.cluster.node_name(&host::of_machine()))
}

/// Opens this node's copy of the cluster's registry, and returns it with the mark of the key that wraps secrets here.
pub(super) fn open_registry(
    settings: &Settings,
    link: &NodeLink<FleetShard>,
    runtime: &Handle,
) -> Result<(Registry, Option<String>), StartError> {
    let bucket = Arc::new(ToBrokers { way: Way(link.clone()), runtime: runtime.clone() });
    let key_file = super::key_file(settings);
    let opened = control::open_copy(&settings.data_dir, key_file, bucket).map_err(super::of_registry)?;
    let old = settings.data_dir.join(Registry::FILE);
    if old.exists() && !is_open(&settings.data_dir, key_file) {
        // What was closed stays so, though its tokens are not those of the cluster.
        opened.0.close().context("note that the api asks for tokens")?;
        warn!(
            "{} has the devices and tokens of a single machine, which are not used with --nats; `vagn cluster import` brings them in",
            old.display()
        );
    }
    Ok(opened)
}

/// True if there is a registry of a single machine, and it never had a token.
fn is_open(data_dir: &Path, key_file: Option<&Path>) -> bool {
    let key = key_file.and_then(|path| control::read_key(path).ok());
    let read = Registry::open_to_read(data_dir, key.as_ref());
    read.and_then(|old| old.is_closed()).is_ok_and(|is_closed| !is_closed)
}

/// Sees to it that the node has a name, and that its certificates can be used.
pub(super) fn check(settings: &Settings) -> Result<(), StartError> {
    let cluster = &settings.cluster;
    if !cluster.is_set() {
        return Ok(());
    }
    if cluster.node_name(&host::of_machine()).is_empty() {
        let why = "this machine has no name that would do for a node of the cluster; give it one with --node";
        return Err(StartError::Unusable(why.to_owned()));
    }
    let unusable = |err| {
        let why = anyhow::Error::new(err);
        StartError::Unusable(format!(
            "{why:#}; name PEM files that the service's user may read, or leave them out"
        ))
    };
    tls(cluster).map(drop).map_err(unusable)
}

/// Tells that the data directory has a fleet of one machine, which a cluster does not use.
pub(super) fn warn_of_unused_fleet(dir: &Path, readiness: &Readiness) {
    let what = format!(
        "{} has the fleet of a single machine, which is not used with --nats and stays as it is; `vagn cluster import` brings it in",
        dir.display()
    );
    warn!("{what}");
    readiness.warn("fleet of a single machine", what);
}
