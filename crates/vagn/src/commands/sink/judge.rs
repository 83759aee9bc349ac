//! What an emergency service would say to a call, and what to print about it. No I/O.

use std::collections::{HashMap, VecDeque};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::call::Call;
use vagn_emergency::notify::signature::Secret;

/// How old or new a signature may be, in seconds, as Standard Webhooks advise.
const SIGNATURE_AGE_MAX_S: u64 = 300;

/// Most keys that are remembered; beyond, the oldest is forgotten.
const KEYS_MAX: usize = 100_000;

/// How the service behaves.
pub(super) struct Rules {
    pub(super) fail: f64,
    /// What failures answer with.
    pub(super) status: StatusCode,
    pub(super) secret: Option<Secret>,
    pub(super) lose_answer: bool,
}

/// What the service says to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    /// Accepted, but the caller does not learn of it.
    Lost,
    Failed(StatusCode),
    /// The call itself is wrong.
    Refused(Wrong),
}

/// What is wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Method,
    NotJson,
    NoKey,
    Unsigned,
    Signature,
    SignatureAge,
}

/// What is known of a key. An incident's first call has its id for a key; what is told of it later has `<id>-<n>`.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    calls: u64,
    accepted: bool,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    /// How many calls with this key there were, this one included.
    pub(super) calls: u64,
    /// Whether an earlier one was accepted.
    pub(super) accepted_before: bool,
}

/// The service's memory.
pub(super) struct Judge {
    rules: Rules,
    chance: fastrand::Rng,
    known: HashMap<String, Known>,
    order: VecDeque<String>,
}

impl Judge {
    pub(super) fn new(rules: Rules, chance: fastrand::Rng) -> Self {
        Self { rules, chance, known: HashMap::new(), order: VecDeque::new() }
    }

    /// Judges a call that arrived `now_s` seconds after 1970.
    pub(super) fn judge(&mut self, call: &Call, now_s: i64) -> Verdict {
        let key = match self.check(call, now_s) {
            Ok(key) => key,
            Err(wrong) => {
                return Verdict { outcome: Outcome::Refused(wrong), calls: 0, accepted_before: false };
            }
        };
        let fails = self.chance.f64() < self.rules.fail;
        let before = self.recall(&key);
        let outcome = match (fails, self.rules.lose_answer && !before.accepted) {
            (true, _) => Outcome::Failed(self.rules.status),
            (false, true) => Outcome::Lost,
            (false, false) => Outcome::Accepted,
        };
        let accepted = before.accepted || !fails;
        self.known.insert(key, Known { calls: before.calls + 1, accepted });
        Verdict { outcome, calls: before.calls + 1, accepted_before: before.accepted }
    }

    /// The call's idempotency key, if there is nothing wrong with the call.
    fn check(&self, call: &Call, now_s: i64) -> Result<String, Wrong> {
        if !call.is_post {
            return Err(Wrong::Method);
        }
        if let Some(secret) = &self.rules.secret {
            let signed = call.signed.as_ref().ok_or(Wrong::Unsigned)?;
            if signed.timestamp_s.abs_diff(now_s) > SIGNATURE_AGE_MAX_S {
                return Err(Wrong::SignatureAge);
            }
            if !secret.verify(&signed.id, signed.timestamp_s, &call.raw, &signed.signature) {
                return Err(Wrong::Signature);
            }
        }
        if call.body.is_none() {
            return Err(Wrong::NotJson);
        }
        call.key.clone().ok_or(Wrong::NoKey)
    }

    fn recall(&mut self, key: &str) -> Known {
        if let Some(known) = self.known.get(key) {
            return *known;
        }
        if self.order.len() >= KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(key.to_owned());
        Known::default()
    }
}

impl Outcome {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Accepted | Self::Lost => StatusCode::OK,
            Self::Failed(status) => status,
            Self::Refused(Wrong::Method) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Refused(Wrong::NotJson | Wrong::NoKey) => StatusCode::BAD_REQUEST,
            Self::Refused(_) => StatusCode::UNAUTHORIZED,
        }
    }

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
    fn words(self) -> &'static str {
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

impl Verdict {
    fn why(&self) -> Option<&'static str> {
        if let Outcome::Refused(wrong) = self.outcome { Some(wrong.words()) } else { None }
    }

    /// One line for people.
    pub(super) fn text(&self, call: &Call) -> String {
        if let Some(why) = self.why() {
            return format!("{:8} {}: {why}", self.outcome.word(), call.key.as_deref().unwrap_or("-"));
        }
        let field = |name| call.field(name);
        let mut line = format!(
            "{:8} {} {}{}{} vehicle {} at {},{} {} attempt {} age {} s",
            self.outcome.word(),
            call.key.as_deref().unwrap_or("-"),
            if call.is_test() { "TEST " } else { "" },
            field("type"),
            call.text("target").map(|target| format!(" to {target}")).unwrap_or_default(),
            field("vehicle_id"),
            field("lat"),
            field("lon"),
            field("kind"),
            field("attempt"),
            field("age_s"),
        );
        if self.calls > 1 {
            line += if self.accepted_before { ", again, accepted before" } else { ", again" };
        }
        line
    }

    /// One object for scripts.
    pub(super) fn json(&self, call: &Call) -> Value {
        json!({
            "outcome": self.outcome.word(),
            "status": self.outcome.status().as_u16(),
            "why": self.why(),
            "idempotency_key": call.key,
            "type": call.text("type"),
            "target": call.text("target"),
            "test": call.is_test(),
            "signed": call.signed.is_some(),
            "calls": self.calls,
            "again": self.calls > 1,
            "accepted_before": self.accepted_before,
            "call": call.body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sink::call::Signed;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NOW_S: i64 = 1_790_000_000;
    const FAILED: Outcome = Outcome::Failed(StatusCode::INTERNAL_SERVER_ERROR);

    fn call(key: &str) -> Call {
        let raw =
            format!(r#"{{"incident_id":"{key}","vehicle_id":"bus 7","lat":30.27,"lon":-97.74,"attempt":1}}"#);
        let body = serde_json::from_str(&raw).ok();
        Call { is_post: true, key: Some(key.into()), signed: None, raw: raw.into_bytes(), body }
    }

    fn signed(key: &str, timestamp_s: i64) -> Call {
        let call = call(key);
        let signature = SECRET.parse::<Secret>().unwrap().sign(key, timestamp_s, &call.raw);
        Call { signed: Some(Signed { id: key.into(), timestamp_s, signature }), ..call }
    }

    fn judge(rules: Rules) -> Judge {
        Judge::new(rules, fastrand::Rng::with_seed(5))
    }

    fn rules() -> Rules {
        Rules { fail: 0.0, status: StatusCode::INTERNAL_SERVER_ERROR, secret: None, lose_answer: false }
    }

    #[test]
    fn tells_a_key_that_was_heard_before() {
        let mut judge = judge(rules());
        let verdicts =
            [judge.judge(&call("a"), NOW_S), judge.judge(&call("b"), NOW_S), judge.judge(&call("a"), NOW_S)];
        let seen =
            verdicts.each_ref().map(|verdict| (verdict.outcome, verdict.calls, verdict.accepted_before));
        let first = (Outcome::Accepted, 1, false);
        assert_eq!(seen, [first, first, (Outcome::Accepted, 2, true)]);
        assert!(verdicts[2].text(&call("a")).ends_with(", again, accepted before"));
        assert_eq!(verdicts[2].json(&call("a"))["call"]["vehicle_id"], "bus 7");
    }

    #[test]
    fn fails_as_often_as_told() {
        let mut judge = judge(Rules { fail: 0.5, ..rules() });
        let failed =
            (0..1000).filter(|n| judge.judge(&call(&n.to_string()), NOW_S).outcome == FAILED).count();
        assert!((400..600).contains(&failed), "{failed} of 1000");
    }

    #[test]
    fn a_failed_call_was_not_accepted_before() {
        let mut judge = judge(Rules { fail: 1.0, ..rules() });
        judge.judge(&call("a"), NOW_S);
        let second = judge.judge(&call("a"), NOW_S);
        assert_eq!((second.outcome, second.calls, second.accepted_before), (FAILED, 2, false));
    }

    #[test]
    fn fails_with_the_status_it_was_told() {
        let mut judge = judge(Rules { fail: 1.0, status: StatusCode::GONE, ..rules() });
        let verdict = judge.judge(&call("a"), NOW_S);
        assert_eq!(verdict.outcome.status(), StatusCode::GONE);
        assert_eq!(verdict.json(&call("a"))["status"], 410);
    }

    #[test]
    fn tells_what_a_call_is_about_and_counts_each_key_by_itself() {
        let mut judge = judge(rules());
        let told = |key: &str, kind: &str, test: bool| {
            let mut call = call(key);
            let body = call.body.as_mut().unwrap();
            body["type"] = kind.into();
            body["target"] = "county".into();
            body["test"] = test.into();
            call
        };
        let calls = [
            told("a", "incident.opened", false),
            told("a-1", "incident.updated", false),
            told("a-1", "incident.updated", true),
        ];
        let verdicts = calls.each_ref().map(|call| judge.judge(call, NOW_S));
        assert_eq!(verdicts.each_ref().map(|verdict| verdict.calls), [1, 1, 2]);
        let json = verdicts[1].json(&calls[1]);
        let want = json!(["a-1", "incident.updated", "county", false, false]);
        assert_eq!(
            json!([json["idempotency_key"], json["type"], json["target"], json["test"], json["again"]]),
            want
        );
        let text = verdicts[2].text(&calls[2]);
        assert!(text.starts_with("accepted a-1 TEST incident.updated to county vehicle bus 7 at "), "{text}");
        assert!(text.ends_with(", again, accepted before"), "{text}");
    }

    #[test]
    fn loses_the_first_answer_to_each_key() {
        let mut judge = judge(Rules { lose_answer: true, ..rules() });
        assert_eq!(judge.judge(&call("a"), NOW_S).outcome, Outcome::Lost);
        let second = judge.judge(&call("a"), NOW_S);
        assert_eq!((second.outcome, second.accepted_before), (Outcome::Accepted, true));
        assert_eq!(judge.judge(&call("b"), NOW_S).outcome, Outcome::Lost);
    }

    #[test]
    fn refuses_what_is_not_signed_well() {
        let check = |call: Call, want| {
            let rules = Rules { secret: Some(SECRET.parse().unwrap()), ..rules() };
            assert_eq!(judge(rules).judge(&call, NOW_S).outcome, want);
        };
        check(signed("a", NOW_S), Outcome::Accepted);
        check(signed("a", NOW_S - 300), Outcome::Accepted);
        check(signed("a", NOW_S - 301), Outcome::Refused(Wrong::SignatureAge));
        check(signed("a", i64::MIN), Outcome::Refused(Wrong::SignatureAge));
        check(call("a"), Outcome::Refused(Wrong::Unsigned));
        let mut changed = signed("a", NOW_S);
        changed.raw.push(b' ');
        check(changed, Outcome::Refused(Wrong::Signature));
    }

    #[test]
    fn refuses_what_is_no_call() {
        let check = |call: Call, want, status| {
            let verdict = judge(rules()).judge(&call, NOW_S);
            assert_eq!(
                (verdict.outcome, verdict.outcome.status().as_u16()),
                (Outcome::Refused(want), status)
            );
        };
        check(Call { is_post: false, ..call("a") }, Wrong::Method, 405);
        check(Call { body: None, ..call("a") }, Wrong::NotJson, 400);
        check(Call { key: None, ..call("a") }, Wrong::NoKey, 400);
    }

    #[test]
    fn forgets_the_oldest_before_it_grows_without_bound() {
        let mut judge = judge(rules());
        for number in 0..=KEYS_MAX {
            judge.judge(&call(&number.to_string()), NOW_S);
        }
        assert_eq!((judge.known.len(), judge.order.len()), (KEYS_MAX, KEYS_MAX));
        assert_eq!(judge.judge(&call("0"), NOW_S).calls, 1);
    }
}
