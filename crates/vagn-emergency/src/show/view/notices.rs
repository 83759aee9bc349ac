//! Views of the notices about one incident: how far each target is, and the attempts.

use std::time::Duration;

use serde::Serialize;

use crate::desk::{Desk, Moment};
use crate::notify::target::TargetIndex;
use crate::record::attempt::{Attempt, Message, Outcome};
use crate::record::delivery::Delivery;
use crate::record::incident::Incident;
use crate::rules::Rules;
use vagn_flow::rfc3339::rfc3339;

/// Notices about an incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoticesView {
    /// Status of all targets together.
    pub status: NoticeStatus,
    /// Number of attempts that have ended.
    pub attempts: u32,
    /// True when the first notice went out before the incident was on disk.
    pub unrecorded: bool,
    /// Latest attempts, oldest first.
    pub latest: Vec<AttemptView>,
    /// Targets that have had a turn, in the order of their turns.
    pub targets: Vec<TargetView>,
    /// Escalation of the incident.
    pub escalation: EscalationView,
}

/// Notices to one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetView {
    /// Name of the target.
    pub name: Box<str>,
    /// `pending`, `calling`, `accepted` or `dead_letter`.
    pub status: NoticeStatus,
    /// Time at which the target accepted.
    pub accepted_at: Option<String>,
    /// Time of the next notice.
    pub next_at: Option<String>,
}

/// Escalation of an incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EscalationView {
    /// Number of turns that have passed on; 0 is the first target alone.
    pub level: u32,
    /// End of this turn, unless a person acknowledges before.
    pub next_at: Option<String>,
}

/// Status of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeStatus {
    /// There is no target.
    NoTarget,
    /// Waits for its first or next attempt.
    Pending,
    /// Is being sent now.
    #[serde(rename = "calling")]
    UnderWay,
    /// A target accepted it.
    Accepted,
    /// A target refused it for good.
    DeadLetter,
}

/// An attempt among the latest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptView {
    /// Number within the incident, from 1.
    pub number: u32,
    /// Name of the target.
    pub target: Box<str>,
    /// Start of the attempt.
    pub at: String,
    /// Duration of the attempt.
    pub took_ms: u64,
    /// Result of the attempt.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// An attempt as the ledger has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LedgerView {
    /// Number within the incident, from 1.
    pub number: u32,
    /// Name of the target.
    pub target: Box<str>,
    /// `opened`, `updated` or `escalated`.
    pub kind: &'static str,
    /// Start of the attempt.
    pub at: String,
    /// Duration of the attempt.
    pub took_ms: u64,
    /// Result of the attempt.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Time of the next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
}

impl NoticesView {
    pub(super) fn new(incident: &Incident, desk: &Desk, rules: &Rules, now: Moment) -> Self {
        let notices = &incident.notices;
        let targets = targets(incident, desk, rules, now);
        Self {
            status: overall(incident, &targets),
            attempts: notices.attempts,
            unrecorded: notices.unrecorded,
            latest: notices.latest_attempts.iter().map(Into::into).collect(),
            targets,
            escalation: EscalationView {
                level: incident.escalation.level,
                next_at: incident.escalation.next_ms.map(rfc3339),
            },
        }
    }
}

/// Returns a view of each target that has had a turn, in the order of the rules.
fn targets(incident: &Incident, desk: &Desk, rules: &Rules, now: Moment) -> Vec<TargetView> {
    let mut views = Vec::new();
    for (position, turn) in rules.turns(incident.drill).iter().enumerate() {
        let mut deliveries = incident.notices.deliveries.iter();
        if let Some(delivery) = deliveries.find(|delivery| delivery.target == turn.target) {
            let index = rules.target_index(incident.drill, position);
            views.push(target(incident, delivery, index, desk, now));
        }
    }
    views
}

fn target(
    incident: &Incident,
    delivery: &Delivery,
    index: TargetIndex,
    desk: &Desk,
    now: Moment,
) -> TargetView {
    let status = match delivery {
        _ if desk.is_under_way(incident.id, index) => NoticeStatus::UnderWay,
        Delivery { dead: Some(_), .. } => NoticeStatus::DeadLetter,
        Delivery { accepted_ms: Some(_), .. } => NoticeStatus::Accepted,
        Delivery { .. } => NoticeStatus::Pending,
    };
    TargetView {
        name: delivery.target.clone(),
        status,
        accepted_at: delivery.accepted_ms.map(rfc3339),
        next_at: desk.next_notice_at(incident.id, index).map(|due| wall_time(due, now)),
    }
}

/// Returns a time on the monotonic clock by the wall clock; a past time is now.
fn wall_time(at: Duration, now: Moment) -> String {
    let wait = at.saturating_sub(now.at);
    rfc3339(now.ms.saturating_add_unsigned(wait.as_millis() as u64))
}

/// Returns the best status of all targets together.
fn overall(incident: &Incident, targets: &[TargetView]) -> NoticeStatus {
    // A target that the settings name no longer may have accepted it.
    if incident.progress.accepted_ms.is_some() {
        return NoticeStatus::Accepted;
    }
    if targets.is_empty() {
        return NoticeStatus::NoTarget;
    }
    let mut open = [NoticeStatus::UnderWay, NoticeStatus::Pending].into_iter();
    open.find(|status| targets.iter().any(|target| target.status == *status))
        .unwrap_or(NoticeStatus::DeadLetter)
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        Self {
            number: attempt.number,
            target: attempt.target.clone(),
            at: rfc3339(attempt.at_ms),
            took_ms: attempt.took_ms,
            outcome: attempt.outcome.clone(),
        }
    }
}

impl From<&Attempt> for LedgerView {
    fn from(attempt: &Attempt) -> Self {
        let kind = match attempt.message {
            Message::Opened => "opened",
            Message::Updated => "updated",
            Message::Escalated => "escalated",
        };
        Self {
            number: attempt.number,
            target: attempt.target.clone(),
            kind,
            at: rfc3339(attempt.at_ms),
            took_ms: attempt.took_ms,
            outcome: attempt.outcome.clone(),
            next_at: attempt.next_ms.map(rfc3339),
        }
    }
}
