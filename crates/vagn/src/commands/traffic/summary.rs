//! The outcome of a run, as text for people and as JSON for scripts.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vagn_load::balance::Balance;
use vagn_load::sealed::Keyless;
use vagn_load::source::Tally;
use vagn_load::tcp::Outcome;
use vagn_load::trace::Unusable;
use vagn_load::udp::Sent;

/// The balance, or the reason why there is none.
pub(super) type Drawn = Result<Balance, String>;

/// Outcome of a run.
pub(crate) struct Summary {
    to: String,
    sent: Sent,
    answers: Option<Answers>,
    unusable: Unusable,
    keyless: Keyless,
    balance: Option<Drawn>,
}

/// Answers that came back over TCP.
pub(super) struct Answers {
    fates: BTreeMap<&'static str, u64>,
    unanswered: u64,
    broken: Option<String>,
}

impl Summary {
    pub(super) fn new(to: String, sent: Sent, answers: Option<Answers>, balance: Option<Drawn>) -> Self {
        Self { to, sent, answers, unusable: Unusable::default(), keyless: Keyless::default(), balance }
    }

    /// Adds the rows of a trace that could not be sent.
    pub(crate) fn with_unusable(mut self, unusable: &Unusable) -> Self {
        self.unusable = unusable.clone();
        self
    }

    /// Adds the reports that no key could seal.
    pub(super) fn with_keyless(mut self, keyless: &Keyless) -> Self {
        self.keyless = keyless.clone();
        self
    }

    /// Returns true when nothing was sent.
    pub(super) fn is_nothing(&self) -> bool {
        self.sent.tally.reports == 0
    }

    /// Returns true when every report is accounted for.
    pub(super) fn is_whole(&self) -> bool {
        let answered = self.answers.as_ref().is_none_or(|it| it.unanswered == 0 && it.broken.is_none());
        answered && self.balance.as_ref().is_none_or(|drawn| drawn.as_ref().is_ok_and(Balance::adds_up))
    }

    pub(super) fn text(&self) -> String {
        let Tally { reports, emergencies, .. } = self.sent.tally;
        let took_s = self.sent.took.as_secs_f64();
        let rate = self.sent.rate();
        let alarms =
            if emergencies > 0 { format!(", {emergencies} of them emergencies,") } else { String::new() };
        let mut text =
            format!("sent: {reports} reports{alarms} in {took_s:.1} s to {}: {rate:.0}/s\n", self.to);
        if let Some((line, wrong)) = self.unusable.first {
            let rows = self.unusable.rows;
            text += &format!("not sent: {rows} rows that are no report; the first at line {line}: {wrong}\n");
        }
        if let Some(first) = &self.keyless.first {
            let reports = self.keyless.reports;
            text += &format!("not sent: {reports} reports of vehicles without a key; the first of {first}\n");
        }
        if let Some(answers) = &self.answers {
            text += &answers.text();
        }
        match &self.balance {
            Some(Ok(balance)) => text += &format!("balance: {balance}\n"),
            Some(Err(why)) => text += &format!("balance: none: {why}\n"),
            None => {}
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let Tally { reports, emergencies, bytes } = self.sent.tally;
        json!({
            "to": self.to,
            "sent": reports,
            "emergencies": emergencies,
            "bytes": bytes,
            "seconds": self.sent.took.as_secs_f64(),
            "rate_per_s": self.sent.rate(),
            "unusable_rows": self.unusable.rows,
            "keyless_reports": self.keyless.reports,
            "answers": self.answers.as_ref().map(|it| json!({
                "fates": it.fates, "unanswered": it.unanswered, "broken": it.broken,
            })),
            "balance": self.balance.as_ref().map(balance_json),
        })
    }
}

fn balance_json(drawn: &Drawn) -> Value {
    match drawn {
        Err(why) => json!({ "adds_up": false, "error": why }),
        Ok(balance) => json!({
            "received": balance.counts.received,
            "fates": balance.counts.fates,
            "kernel_drops": balance.counts.kernel_drops,
            "missing": balance.missing() as i64,
            "adds_up": balance.adds_up(),
        }),
    }
}

impl Answers {
    pub(super) fn of(outcome: &Outcome) -> Self {
        Self {
            fates: outcome.fates.clone(),
            unanswered: outcome.unanswered,
            broken: outcome.broken.as_ref().map(|err| with_causes(err)),
        }
    }

    fn text(&self) -> String {
        let mut parts: Vec<String> =
            self.fates.iter().map(|(fate, count)| format!("{count} {fate}")).collect();
        if self.unanswered > 0 {
            parts.push(format!("{} unanswered", self.unanswered));
        }
        let broken = self.broken.as_ref().map(|why| format!("ended early: {why}\n")).unwrap_or_default();
        format!("answers: {}\n{broken}", parts.join(" + "))
    }
}

/// Returns the error and all its causes in one line.
fn with_causes(err: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(err), |err| err.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vagn_load::balance::Counts;

    use super::*;

    fn summary(answers: Option<Answers>, settled: Option<u64>) -> Summary {
        let counts = |settled| Counts {
            received: settled,
            fates: [("stored".to_owned(), settled)].into(),
            kernel_drops: 0,
        };
        Summary {
            to: "udp localhost:9092".into(),
            sent: Sent {
                tally: Tally { reports: 100, emergencies: 2, bytes: 7900 },
                took: Duration::from_secs(4),
            },
            answers,
            unusable: Unusable { rows: 3, first: Some((7, "lat is not a number")) },
            keyless: Keyless::default(),
            balance: settled.map(|settled| Ok(Balance { sent: 100, counts: counts(settled) })),
        }
    }

    fn answers(stored: u64, unanswered: u64, broken: Option<&str>) -> Option<Answers> {
        Some(Answers { fates: [("stored", stored)].into(), unanswered, broken: broken.map(str::to_owned) })
    }

    #[test]
    fn says_how_much_was_sent_and_the_fates_of_it() {
        let text = summary(answers(98, 2, Some("it stopped")), Some(98)).text();
        let want = "sent: 100 reports, 2 of them emergencies, in 4.0 s to udp localhost:9092: 25/s
not sent: 3 rows that are no report; the first at line 7: lat is not a number
answers: 98 stored + 2 unanswered
ended early: it stopped
balance: 100 sent = 98 stored; 2 unaccounted for
";
        assert_eq!(text, want);
    }

    #[test]
    fn says_which_vehicles_have_no_key() {
        let keyless = Keyless { reports: 5, first: Some("tram".into()) };
        let summary = summary(None, None).with_keyless(&keyless);
        assert!(
            summary.text().contains("not sent: 5 reports of vehicles without a key; the first of tram\n")
        );
        assert_eq!(summary.json()["keyless_reports"], 5);
    }

    #[test]
    fn says_the_same_to_scripts() {
        let json = summary(answers(98, 2, None), Some(98)).json();
        assert_eq!(
            (&json["sent"], &json["rate_per_s"], &json["seconds"]),
            (&json!(100), &json!(25.0), &json!(4.0))
        );
        assert_eq!(json["answers"]["fates"], json!({"stored": 98}));
        assert_eq!((&json["balance"]["missing"], &json["balance"]["adds_up"]), (&json!(2), &json!(false)));
        assert_eq!(summary(None, None).json()["balance"], Value::Null);
    }

    #[test]
    fn a_balance_that_cannot_be_drawn_does_not_hide_how_much_was_sent() {
        let summary =
            Summary { balance: Some(Err("the server was restarted".into())), ..summary(None, None) };
        assert!(summary.text().starts_with("sent: 100 reports"));
        assert!(summary.text().ends_with("balance: none: the server was restarted\n"));
        assert_eq!(summary.json()["balance"]["adds_up"], false);
        assert!(!summary.is_whole());
    }

    #[test]
    fn is_whole_only_when_every_report_is_accounted_for() {
        let check = |answers, settled, whole| assert_eq!(summary(answers, settled).is_whole(), whole);
        check(None, None, true);
        check(None, Some(100), true);
        check(None, Some(99), false);
        check(answers(100, 0, None), None, true);
        check(answers(99, 1, None), None, false);
        check(answers(100, 0, Some("lost")), None, false);
    }
}
