//! Places for the connections of all ports, out of one account of descriptors.

use std::sync::Arc;

use tracing::warn;
use vagn_flow::clock::Clock;
use vagn_flow::descriptors::{self, KEPT, PlaceMetrics, PlaceParts, Places};
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::peer::SharedAddresses;
use vagn_flow::readiness::Readiness;

use super::files;
use crate::config::Settings;

/// Open files that are assumed where the limit cannot be read: the usual one.
const FILES: u64 = 1_024;

/// Places that the operator's pages want: some scrapers, and some people.
const OPS: u64 = 64;

/// Remedy when all places of the operator's pages are taken. Their number is fixed: who needs more has lost control of some.
const OPS_REMEDY: &str =
    "find out who holds them with `ss -tnp` and end what should not be there; their number is fixed";

/// The places of each port.
pub(super) struct PortPlaces {
    pub(super) ops: Arc<Places>,
    pub(super) http: Arc<Places>,
    pub(super) tcp: Arc<Places>,
}

impl PortPlaces {
    /// Divides what the limit of open files leaves beside calls to targets and what the service itself has open. Says in the log and in
    /// the readiness report where this is less than the settings want.
    pub(super) fn new(
        settings: &Settings,
        metric_registry: &MetricRegistry,
        readiness: &Arc<Readiness>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let limit = files::raise_limit().unwrap_or(FILES);
        let wanted = [OPS, settings.http.max_connections.into(), settings.tcp.max_connections.into()];
        let kept = KEPT + calls(settings)?;
        let [ops, http, tcp] = descriptors::divide(limit, kept, wanted);
        for (setting, places, wanted) in
            [("http.max_connections", http, wanted[1]), ("tcp.max_connections", tcp, wanted[2])]
        {
            if places < wanted {
                let what = format!(
                    "{places} connections instead of the {wanted} of `{setting}`, because only {limit} files may be open: raise that limit \
                     (LimitNOFILE=, ulimit -n), or lower the setting"
                );
                warn!("{what}");
                readiness.warn(setting, what);
            }
        }
        let parts = PlaceParts {
            metrics: PlaceMetrics::new(metric_registry),
            readiness: readiness.clone(),
            clock: clock.clone(),
            seed: fastrand::u64(..),
        };
        let places = |port, remedy: String, most, shared| {
            Places::new(port, remedy, usize::try_from(most).unwrap_or(usize::MAX), shared, &parts)
        };
        let shared = || settings.http.shared();
        Ok(Self {
            // Nobody reaches the operator's pages through a proxy of the fleet.
            ops: places("ops", OPS_REMEDY.to_owned(), ops, SharedAddresses::default()),
            http: places("http", remedy("http.max_connections"), http, shared()),
            tcp: places("tcp", remedy("tcp.max_connections"), tcp, shared()),
        })
    }
}

/// Returns the remedy for a port whose places are all taken, and whose number this setting limits.
fn remedy(setting: &str) -> String {
    format!("raise `{setting}` and the limit of open files, or find out who holds them with `ss -tnp`")
}

/// Connections to targets that may be open at a time, and as many that are about to be closed.
fn calls(settings: &Settings) -> anyhow::Result<u64> {
    let targets = settings.emergency.targets()?;
    Ok(targets.all().map(|target| 2 * target.slots as u64).sum())
}
