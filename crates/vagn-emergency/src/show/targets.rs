//! The state of the targets, as the API gives it to people who answer calls.
//!
//! It is brought up to date with the gauges and read from memory, so that a console can ask for it every other second
//! however busy the desk is.

use parking_lot::Mutex;
use serde::Serialize;
use vagn_flow::rfc3339::rfc3339;

use crate::notify::target::Turn;
use crate::rules::Rules;

/// Warnings in `/readyz` that people who answer calls should know of.
const WARNINGS: [&str; 7] = [
    "dead letters",
    "emergency calls",
    "incident journal",
    "incident records",
    "incident store",
    "incidents restored",
    "refused emergencies",
];

/// State of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetState {
    /// Name of the target, from the settings.
    pub name: Box<str>,
    /// False while the target does not answer and is only probed.
    pub up: bool,
    /// Time from which that is so, at the earliest the start of the service; RFC 3339.
    pub since: String,
}

/// State of all targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetReport {
    /// Targets of real incidents, in their order.
    pub targets: Vec<TargetState>,
    /// The target of drills.
    pub drill: Option<TargetState>,
}

/// Returns true for a warning that people who answer calls should know of.
pub fn is_about_calls(warning: &str) -> bool {
    WARNINGS.contains(&warning)
}

/// The board on which the state of the targets is kept.
#[derive(Debug)]
pub(crate) struct TargetBoard(Mutex<TargetReport>);

impl TargetBoard {
    /// Returns a board on which every target is up since `now_ms`.
    pub(crate) fn new(rules: &Rules, now_ms: i64) -> Self {
        let state = |turn: &Turn| TargetState { name: turn.target.clone(), up: true, since: rfc3339(now_ms) };
        let targets = rules.chain.iter().map(state).collect();
        Self(Mutex::new(TargetReport { targets, drill: rules.drill.as_ref().map(state) }))
    }

    /// Notes at `now_ms` whether each target is up: the chain first, then the one for drills.
    pub(crate) fn note(&self, are_up: &[bool], now_ms: i64) {
        let report = &mut *self.0.lock();
        for (state, up) in report.targets.iter_mut().chain(&mut report.drill).zip(are_up) {
            if state.up != *up {
                (state.up, state.since) = (*up, rfc3339(now_ms));
            }
        }
    }

    pub(crate) fn report(&self) -> TargetReport {
        self.0.lock().clone()
    }
}
