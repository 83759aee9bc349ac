//! Turns the API's view of a drill's incident into lines for people. No I/O.
//!
//! It reads the fields that it knows and ignores the rest, so that it works with an older or newer service too.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use crate::visible::{Form, visible};

/// Outcome of a drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The drill target has accepted the notice.
    Passed,
    /// It has not, for this reason.
    Failed(String),
}

impl Verdict {
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed: a call for help goes the whole way"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
        }
    }
}

/// Result of one look at the incident.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    /// New steps, one per line.
    pub(super) lines: String,
    /// Outcome, if the drill is over.
    pub(super) verdict: Option<Verdict>,
}

/// State of the incident at the last look.
pub(super) struct Progress<'a> {
    name: &'a str,
    attempts: usize,
    standing: String,
}

impl<'a> Progress<'a> {
    /// Starts for a drill whose incident has this name.
    pub(super) fn new(name: &'a str) -> Self {
        Self { name, attempts: 0, standing: "nothing is known of it".to_owned() }
    }

    /// Compares the incident with the last look.
    pub(super) fn see(&mut self, incident: &Value) -> Seen {
        let attempts = list(incident, "ledger");
        let mut lines: String =
            attempts.iter().skip(self.attempts).map(|attempt| attempt_line(incident, attempt)).collect();
        self.attempts = attempts.len();
        let call = &incident["call"];
        self.standing = match (attempts.last(), text(call, "status")) {
            (Some(attempt), _) => format!("it {}", answered(attempt)),
            (None, Some(status)) => format!("its call is {status}"),
            (None, None) => "nothing is known of its call".to_owned(),
        };
        let verdict = self.verdict(incident);
        if verdict == Some(Verdict::Passed) {
            let accepted = list(call, "targets").iter().find_map(|target| text(target, "accepted_at"));
            lines += &format!("accepted by drill target{}\n", after(incident, accepted));
        }
        Seen { lines, verdict }
    }

    /// Returns the state of the notice at the last look, in words.
    pub(super) fn standing(&self) -> &str {
        &self.standing
    }

    fn verdict(&self, incident: &Value) -> Option<Verdict> {
        let call = &incident["call"];
        if incident["test"] != true {
            return Some(Verdict::failed(
                "the service has taken it for a real call for help: tell whoever it calls that it was a drill",
            ));
        }
        if text(incident, "vehicle_incident") != Some(self.name) {
            return Some(Verdict::failed(
                "it was added to an earlier drill of this vehicle: wait until that one is quiet (5 minutes), or take \
                 another vehicle id",
            ));
        }
        match text(call, "status") {
            Some("no_target") => Some(Verdict::failed(
                "the service has no drill target, so nobody was called: set url under [emergency.drill] in its settings, \
                 or start it with --drill-url",
            )),
            Some("test") => Some(Verdict::failed("this service is too old: it calls nobody about a drill")),
            _ if any_target_is(call, "accepted") => Some(Verdict::Passed),
            _ if any_target_is(call, "dead_letter") => {
                Some(Verdict::failed(format!("the drill target refuses it for good: {}", self.standing)))
            }
            _ => None,
        }
    }
}

fn any_target_is(call: &Value, status: &str) -> bool {
    list(call, "targets").iter().any(|target| text(target, "status") == Some(status))
}

/// Returns the line about one attempt.
fn attempt_line(incident: &Value, attempt: &Value) -> String {
    let next = text(attempt, "next_at").map(|next| format!(", next try{}", after(incident, Some(next))));
    let called = after(incident, text(attempt, "at"));
    format!("called drill target{called}: it {}{}\n", answered(attempt), next.unwrap_or_default())
}

/// Describes the answer of the target.
fn answered(attempt: &Value) -> String {
    let took = attempt["took_ms"].as_u64().map(|ms| format!(" in {ms} ms")).unwrap_or_default();
    match (attempt["status"].as_u64(), text(attempt, "reason")) {
        (Some(status), _) => format!("answered with status {status}{took}"),
        (None, Some(reason)) => format!("gave no answer{took}: {}", visible(reason, Form::Line)),
        (None, None) => "gave no answer".to_owned(),
    }
}

/// Returns ` after 12 ms`, counted from the arrival of the alarm; empty when either time is missing.
fn after(incident: &Value, moment: Option<&str>) -> String {
    let read = |text: Option<&str>| text?.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    match (read(text(incident, "opened_at")), read(moment)) {
        (Some(opened_ms), Some(at_ms)) => format!(" after {} ms", at_ms.saturating_sub(opened_ms)),
        _ => String::new(),
    }
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An incident as the API shows it.
    fn incident(call: Value, ledger: Value) -> Value {
        json!({
            "id": "a", "test": true, "vehicle_incident": "drill 1", "opened_at": "2026-11-22T08:15:30.120Z",
            "call": call, "ledger": ledger,
        })
    }

    fn target(status: &str, accepted_at: Option<&str>) -> Value {
        json!({"status": "calling", "targets": [{"name": "drill", "status": status, "accepted_at": accepted_at}]})
    }

    fn refused() -> Value {
        json!({"number": 1, "target": "drill", "at": "2026-11-22T08:15:30.125Z", "took_ms": 7, "outcome": "refused",
               "status": 503, "next_at": "2026-11-22T08:15:30.630Z"})
    }

    #[test]
    fn prints_each_step_once() {
        let mut progress = Progress::new("drill 1");
        let first = incident(target("pending", None), json!([refused()]));
        let lines =
            "called drill target after 5 ms: it answered with status 503 in 7 ms, next try after 510 ms\n";
        assert_eq!(progress.see(&first), Seen { lines: lines.into(), verdict: None });
        assert_eq!(progress.see(&first), Seen { lines: String::new(), verdict: None });
        assert_eq!(progress.standing(), "it answered with status 503 in 7 ms");
        let accepted =
            json!({"at": "2026-11-22T08:15:30.630Z", "took_ms": 2, "outcome": "accepted", "status": 200});
        let at = Some("2026-11-22T08:15:30.632Z");
        let last = progress.see(&incident(target("accepted", at), json!([refused(), accepted])));
        let lines = "called drill target after 510 ms: it answered with status 200 in 2 ms\n\
                     accepted by drill target after 512 ms\n";
        assert_eq!(last, Seen { lines: lines.into(), verdict: Some(Verdict::Passed) });
    }

    #[test]
    fn says_where_the_way_ends() {
        let fails = |incident: Value, why: &str| match Progress::new("drill 1").see(&incident).verdict {
            Some(Verdict::Failed(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?}"),
        };
        fails(incident(json!({"status": "no_target"}), json!([])), "--drill-url");
        fails(incident(json!({"status": "test"}), json!([])), "too old");
        let mut refused = refused();
        refused["status"] = 410.into();
        fails(
            incident(target("dead_letter", None), json!([refused])),
            "for good: it answered with status 410",
        );
        let mut real = incident(target("accepted", None), json!([]));
        real["test"] = false.into();
        fails(real, "real call for help");
        let mut joined = incident(target("accepted", None), json!([]));
        joined["vehicle_incident"] = "drill 0".into();
        fails(joined, "earlier drill");
    }

    #[test]
    fn copes_with_answers_of_an_unknown_shape() {
        let mut progress = Progress::new("drill 1");
        assert_eq!(progress.standing(), "nothing is known of it");
        for strange in [json!(null), json!([]), json!({"call": 7, "ledger": {}, "test": "yes"})] {
            assert!(matches!(progress.see(&strange).verdict, Some(Verdict::Failed(_))));
        }
        let odd =
            incident(json!({"targets": [{}, 7]}), json!([{}, null, {"at": "noon", "reason": "no route"}]));
        let seen = progress.see(&odd);
        assert_eq!(seen.verdict, None);
        assert!(seen.lines.ends_with("called drill target: it gave no answer: no route\n"), "{}", seen.lines);
    }
}
