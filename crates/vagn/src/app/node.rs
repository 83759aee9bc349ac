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
use vagn_store::DataDir;

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
    readiness: &Readiness,
) -> Result<(Registry, Option<String>), StartError> {
    let bucket = Arc::new(ToBrokers { way: Way(link.clone()), runtime: runtime.clone() });
    let key_file = super::registry::key_file(settings);
    let opened = control::open_copy(&settings.data_dir, key_file, bucket)
        .map_err(|err| super::registry::explained(&settings.data_dir, err))?;
    let old = settings.data_dir.join(Registry::FILE);
    if old.exists() && !is_open(&settings.data_dir, key_file) {
        // What was closed stays so, though its tokens are not those of the cluster.
        opened.0.close().context("note that the api asks for tokens")?;
        let what = format!(
            "{} has the devices and tokens of a single machine, which are not used with --nats; `vagn cluster import` brings them in",
            old.display()
        );
        warn!("{what}");
        readiness.warn("registry of a single machine", what);
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

/// Tells what the data directory has of a single machine.
pub(super) fn warn_of_unused(data: &DataDir, readiness: &Readiness) {
    if data.was_used() {
        warn_of_unused_fleet(data.path(), readiness);
    }
}

/// Tells that the data directory has a fleet of one machine, which a cluster does not use.
fn warn_of_unused_fleet(dir: &Path, readiness: &Readiness) {
    let what = format!(
        "{} has the fleet of a single machine, which is not used with --nats and stays as it is; `vagn cluster import` brings it in",
        dir.display()
    );
    warn!("{what}");
    readiness.warn("fleet of a single machine", what);
}

#[cfg(test)]
mod tests {
    use vagn_registry::{NewToken, Role};

    use super::*;

    fn make_token(registry: &Registry) {
        let new = NewToken {
            name: "anna".into(),
            role: Role::Read,
            is_person: true,
            is_on_behalf: false,
            expires_ms: None,
        };
        registry.add_token(new, 1).unwrap();
    }

    /// Starts a node on a machine that had this registry. Returns whether its API asks for tokens whatever the copy brings, and its warnings.
    fn start(make_registry: impl FnOnce(&Path)) -> (bool, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        make_registry(dir.path());
        let settings = Settings { data_dir: dir.path().into(), ..Settings::default() };
        let readiness = Readiness::default();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let link = NodeLink::default();
        let (registry, _) = open_registry(&settings, &link, runtime.handle(), &readiness).unwrap();
        (registry.is_noted_closed().unwrap(), readiness.report().warnings.into_keys().collect())
    }

    #[test]
    fn a_node_on_a_machine_that_asked_for_tokens_asks_for_them_and_says_that_its_own_are_not_used() {
        for (what, make_registry, is_closed) in [
            ("no registry", (|_| ()) as fn(&Path), false),
            ("no token", |dir| drop(Registry::open(dir, None).unwrap()), false),
            ("a token", |dir| make_token(&Registry::open(dir, None).unwrap()), true),
            ("a token in the settings", |dir| Registry::open(dir, None).unwrap().close().unwrap(), true),
            (
                "no registry that can be read",
                |dir| std::fs::write(dir.join(Registry::FILE), "noise").unwrap(),
                true,
            ),
        ] {
            let (has_closed, warnings) = start(make_registry);
            assert_eq!(has_closed, is_closed, "{what}");
            assert_eq!(
                warnings,
                if is_closed { &["registry of a single machine"][..] } else { &[] },
                "{what}"
            );
        }
    }
}
