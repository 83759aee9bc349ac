//! The memory of answers, and its way back to the system.
//!
//! The allocator keeps what was freed in small pieces, in case that it is wanted again. After a flood of answers it will not be.

use std::sync::Arc;
use std::time::Duration;

use vagn_http::memory::Memory;
use vagn_otp::ChildSpec;

use super::Parts;
use crate::config::Settings;
use vagn_flow::metrics::MetricRegistry;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Bytes that answers must have given back since they held most.
const WORTH_IT: usize = 32 << 20;

/// Opens the account of all answers.
pub(in crate::app) fn open(settings: &Settings, metric_registry: &MetricRegistry) -> Arc<Memory> {
    let http = &settings.http;
    Arc::new(Memory::new(http.max_answer_bytes as usize, http.shared(), metric_registry))
}

/// Returns the child that gives memory back once answers have held much of it.
pub(super) fn build(parts: &Parts) -> ChildSpec {
    let memory = parts.memory.clone();
    let child = ChildSpec::thread("memory", move |ctx| {
        ctx.ready();
        let mut peak = 0;
        while !ctx.sleep(LOOK_EVERY) {
            ctx.beat();
            peak = peak.max(memory.take_peak());
            let held = memory.answer_bytes();
            if peak - held >= WORTH_IT {
                give_back();
                peak = held;
            }
        }
        Ok(())
    });
    child.watchdog(parts.settings.hang_limit.0)
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}
