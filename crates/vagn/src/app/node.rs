//! Checks of a start as a node of a cluster.

use std::path::Path;
use std::sync::Arc;

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
    control::open_copy(&settings.data_dir, super::key_file(settings), bucket).map_err(super::of_registry)
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
