//! How the outcome of a notice is printed: a line for people or an object for scripts.

use serde_json::{Value, json};

use super::judge::{Judgement, Outcome, Wrong};
use super::notice::Notice;
use crate::visible::quoted;

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Lost => "lost",
            Self::Failed(_) => "failed",
            Self::Refused(_) => "refused",
        }
    }
}

impl Wrong {
    fn text(self) -> &'static str {
        match self {
            Self::Method => "not a POST",
            Self::NotJson => "the body is not a JSON object",
            Self::NoKey => "no Idempotency-Key",
            Self::Unsigned => "not signed",
            Self::Signature => "the signature does not fit",
            Self::SignatureAge => "the signature is more than 5 minutes off",
        }
    }
}

impl Judgement {
    fn why(&self) -> Option<&'static str> {
        if let Outcome::Refused(wrong) = self.outcome { Some(wrong.text()) } else { None }
    }

    /// Returns one line for people.
    pub(super) fn text(&self, notice: &Notice) -> String {
        let key = notice.key.as_deref().map_or("-".into(), quoted);
        if let Some(why) = self.why() {
            return format!("{:8} {}: {why}", self.outcome.word(), key);
        }
        let mut line = format!(
            "{:8} {} {}{}{} vehicle {} at {},{} {} attempt {} age {} s",
            self.outcome.word(),
            key,
            if notice.is_drill() { "TEST " } else { "" },
            notice.field("type"),
            notice.text("target").map(|target| format!(" to {}", quoted(target))).unwrap_or_default(),
            notice.field("vehicle_id"),
            notice.field("lat"),
            notice.field("lon"),
            notice.field("kind"),
            notice.field("attempt"),
            notice.field("age_s"),
        );
        if self.attempts > 1 {
            line += if self.accepted_before { ", again, accepted before" } else { ", again" };
        }
        line
    }

    /// Returns one object for scripts.
    pub(super) fn json(&self, notice: &Notice) -> Value {
        json!({
            "outcome": self.outcome.word(),
            "status": self.outcome.status().as_u16(),
            "why": self.why(),
            "idempotency_key": notice.key,
            "type": notice.text("type"),
            "target": notice.text("target"),
            "test": notice.is_drill(),
            "signed": notice.signed.is_some(),
            "calls": self.attempts,
            "again": self.attempts > 1,
            "accepted_before": self.accepted_before,
            "call": notice.body,
        })
    }
}
