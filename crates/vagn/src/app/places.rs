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

/// Descriptors, as the service divides them.
pub(crate) struct Division {
    /// Most that may be open.
    pub(crate) limit: u64,
    /// Those that are set apart for calls to targets and for what the service itself has open.
    pub(crate) kept: u64,
    /// The ports: the operator's pages, HTTPS, TCP.
    pub(crate) ports: [PortPart; 3],
}

/// Part of one port.
pub(crate) struct PortPart {
    pub(crate) port: &'static str,
    /// Key of the setting that says how many it wants; none where their number is fixed.
    pub(crate) setting: Option<&'static str>,
    pub(crate) wanted: u64,
    pub(crate) places: u64,
}

impl Division {
    /// Divides what this process may have open.
    pub(crate) fn of(settings: &Settings) -> anyhow::Result<Self> {
        Self::within(files::raise_limit().unwrap_or(FILES), settings)
    }

    /// Divides a limit of descriptors.
    pub(crate) fn within(limit: u64, settings: &Settings) -> anyhow::Result<Self> {
        let ports = [
            ("ops", None, OPS),
            ("http", Some("http.max_connections"), settings.http.max_connections.into()),
            ("tcp", Some("tcp.max_connections"), settings.tcp.max_connections.into()),
        ];
        let kept = KEPT + calls(settings)?;
        let mut places = descriptors::divide(limit, kept, ports.map(|(.., wanted)| wanted)).into_iter();
        let ports = ports.map(|(port, setting, wanted)| {
            let places = places.next().unwrap_or(wanted);
            PortPart { port, setting, wanted, places }
        });
        Ok(Self { limit, kept, ports })
    }

    /// Returns how many are left when all ports are full.
    pub(crate) fn left(&self) -> u64 {
        let taken = self.ports.iter().map(|part| descriptors::open_at_most(part.places));
        self.limit.saturating_sub(self.kept + taken.sum::<u64>())
    }
}

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
        let Division { limit, ports, .. } = Division::of(settings)?;
        for PortPart { setting, wanted, places, .. } in &ports {
            if let Some(setting) = setting.filter(|_| places < wanted) {
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
        let [ops, http, tcp] = ports.map(|part| {
            // Nobody reaches the operator's pages through a proxy of the fleet.
            let (remedy, shared) = match part.setting {
                Some(setting) => (remedy(setting), settings.http.shared()),
                None => (OPS_REMEDY.to_owned(), SharedAddresses::default()),
            };
            Places::new(part.port, remedy, usize::try_from(part.places).unwrap_or(usize::MAX), shared, &parts)
        });
        Ok(Self { ops, http, tcp })
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
