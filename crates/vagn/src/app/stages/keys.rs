//! The guard of the doors, and the thread that keeps its keys equal to the registry.

use std::sync::Arc;

use anyhow::Context;
use tracing::warn;
use vagn_emergency::EmergencyHandle;
use vagn_flow::answers::AnswerSequence;
use vagn_flow::guard::{Guard, GuardParts};
use vagn_otp::ChildSpec;

use super::Parts;
use crate::keys::{self, DepartedKeys, KeyParts, LoadedKeys};

/// Number in the sequence of answers of a machine that is no node of a cluster. Nodes have theirs from the registry, from 1 on.
const NODE: u16 = 0;

/// A guard with all keys in force, and the sequence of its answers.
pub(super) struct Guarding {
    pub(super) guard: Arc<Guard>,
    answers: Option<Arc<AnswerSequence>>,
    revision: u64,
}

/// Puts all keys in force, before a door opens.
pub(super) fn build(parts: &Parts) -> anyhow::Result<Guarding> {
    let keys = LoadedKeys::read(&parts.registry).context("read the keys of devices")?;
    let answers = AnswerSequence::open(&parts.settings.data_dir, NODE, parts.clock.now_ms());
    let answers = answers.inspect_err(|err| {
        let what = format!(
            "{} in the data directory cannot be used: {err}; sealed calls are taken, and get no answer",
            vagn_flow::answers::FILE
        );
        warn!("{what}");
        parts.readiness.warn("answers", what);
    });
    let answers = answers.ok().map(Arc::new);
    if let (Some(answers), Some(name)) = (&answers, &parts.node_name) {
        answers.set_node(parts.registry.node_number(name).context("read the number of this node")?);
    }
    let guard = Guard::new(GuardParts {
        mode: parts.settings.auth.devices,
        keys: keys.table,
        reports: parts.reports.clone(),
        answers: answers.clone(),
        clock: parts.clock.clone(),
    });
    keys::tell_lacking(&guard, &parts.registry, parts.wrapped_by.as_deref()).context("read the registry")?;
    guard.unproven().name_by(keys::names(&parts.registry));
    keys.replacing.into_iter().for_each(|key_id| guard.noted().expect(key_id));
    Ok(Guarding { guard, answers, revision: keys.revision })
}

/// Returns the thread that follows the registry.
pub(super) fn child(
    parts: &Parts,
    guarding: Guarding,
    incidents: EmergencyHandle,
    departed: Option<DepartedKeys>,
) -> ChildSpec {
    let Guarding { guard, answers, revision } = guarding;
    let key_parts = KeyParts {
        registry: parts.registry.clone(),
        guard,
        answers,
        wrapped_by: parts.wrapped_by.clone(),
        node_name: parts.node_name.clone(),
        revision,
        incidents,
        departed,
        readiness: parts.readiness.clone(),
        clock: parts.clock.clone(),
        runtime: tokio::runtime::Handle::current(),
    };
    let keys = ChildSpec::thread("keys", move |ctx| keys::run(&key_parts, &ctx));
    keys.watchdog(parts.settings.hang_limit.0)
}
