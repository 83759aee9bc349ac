//! One writer per partition, and beside each the thread that syncs what it wrote.

use std::sync::Arc;

use parking_lot::RwLock;
use vagn_live::Positions;
use vagn_otp::{Addr, ChildSpec, Strategy, Supervisor};
use vagn_store::{DataDir, Fleet};

use super::{DRAIN_WITHIN, Parts};
use crate::app::WORK_NICE;
use crate::config::Settings;
use crate::odd::OddFleet;
use crate::storage::{Bounds, Storage, StorageMetrics, StorageParts};
use crate::sync::{SyncMetrics, SyncQueue};

/// Returns the storages, by partition, and their supervisor.
pub(super) fn build(
    parts: &Parts,
    data: &Arc<RwLock<DataDir>>,
    fleet: &Arc<Fleet>,
    odd: &OddFleet,
    positions: &Positions,
) -> (Arc<[Addr<Storage>]>, ChildSpec) {
    let metrics = StorageMetrics::new(&parts.metric_registry);
    let sync_metrics = SyncMetrics::new(&parts.metric_registry);
    let mut supervisor = Supervisor::new("stores", Strategy::OneForOne);
    let mut storages = Vec::new();
    for number in 0..fleet.partitions() as u32 {
        let limit = parts.settings.hang_limit.0;
        let queue = SyncQueue::new(parts.settings.fsync, parts.clock.clone(), limit, sync_metrics.clone());
        let queue = Arc::new(queue);
        let (storage, child) = storage(
            parts,
            StorageParts {
                data: data.clone(),
                number,
                settings: settings(&parts.settings),
                bounds: bounds(&parts.settings, fleet.partitions()),
                fleet: fleet.clone(),
                sync: queue.clone(),
                odd: odd.of_partition(number),
                clock: parts.clock.clone(),
                stamper: parts.stamper.clone(),
                trust: parts.trust.clone(),
                metrics: metrics.clone(),
                readiness: parts.readiness.clone(),
                positions: positions.clone(),
            },
        );
        storages.push(storage);
        supervisor = supervisor.child(child).child(sync(parts, number, queue));
    }
    (storages.into(), ChildSpec::supervisor(supervisor))
}

fn storage(parts: &Parts, of: StorageParts) -> (Addr<Storage>, ChildSpec) {
    let name = format!("storage-{}", of.number);
    let of = Arc::new(of);
    let mailbox = parts.settings.pools.storage_mailbox as usize;
    let (storage, child) = ChildSpec::actor(&name, mailbox, move || Storage::new(of.clone()));
    // Two writers of one log would be worse than none, so a stuck one is waited for.
    let child = child.on_thread().nice(WORK_NICE).never_abandon().shutdown(DRAIN_WITHIN);
    (storage, child.watchdog(parts.settings.hang_limit.0))
}

fn sync(parts: &Parts, number: u32, queue: Arc<SyncQueue>) -> ChildSpec {
    let child = ChildSpec::thread(&format!("sync-{number}"), move |ctx| queue.run(&ctx));
    child.never_abandon().shutdown(DRAIN_WITHIN).watchdog(parts.settings.hang_limit.0)
}

fn settings(settings: &Settings) -> vagn_store::Settings {
    vagn_store::Settings {
        history_keep_ms: settings.history.keep.as_ms(),
        free_floor_bytes: settings.free_floor_bytes,
        hash_seed: fastrand::u64(..),
        ..vagn_store::Settings::default()
    }
}

fn bounds(settings: &Settings, partitions: usize) -> Bounds {
    Bounds {
        max_vehicles: (settings.max_vehicles as usize).div_ceil(partitions),
        forget_after_ms: settings.forget_after.as_ms(),
    }
}
