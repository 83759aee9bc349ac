//! The answer of an emergency service to a notice. No I/O.

use std::collections::{HashMap, VecDeque};

use hyper::StatusCode;

use super::notice::Notice;
use vagn_emergency::notify::signature::Secret;

/// Largest difference between a signature's time and now, in seconds, as Standard Webhooks advise.
const SIGNATURE_AGE_MAX_S: u64 = 300;

/// Most keys that are remembered; after that the oldest is forgotten.
const KEYS_MAX: usize = 100_000;

/// Behaviour of the service.
pub(super) struct Rules {
    /// Share of notices that fail, 0 to 1.
    pub(super) fail: f64,
    /// Status that a failure answers with.
    pub(super) status: StatusCode,
    /// Secret that notices must be signed with, if they must be signed.
    pub(super) secret: Option<Secret>,
    /// Hangs up instead of answering the first notice with each key.
    pub(super) lose_answer: bool,
}

/// Answer of the service to a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    /// Accepted, but the sender gets no answer.
    Lost,
    Failed(StatusCode),
    /// The notice itself is wrong.
    Refused(Wrong),
}

/// Fault in a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Method,
    NotJson,
    NoKey,
    Unsigned,
    Signature,
    SignatureAge,
}

/// History of a key. The first notice of an incident has the incident's id as its key; later ones have `<id>-<n>`.
#[derive(Debug, Clone, Copy, Default)]
struct KeyHistory {
    attempts: u64,
    accepted: bool,
}

/// Outcome of a notice, with the history of its key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    pub(super) outcome: Outcome,
    /// Number of notices with this key so far, this one included.
    pub(super) attempts: u64,
    /// True if an earlier one was accepted.
    pub(super) accepted_before: bool,
}

/// Decides on each notice, and remembers the keys.
pub(super) struct Judge {
    rules: Rules,
    chance: fastrand::Rng,
    keys: HashMap<String, KeyHistory>,
    /// Keys in the order of their first notice.
    order: VecDeque<String>,
}

impl Judge {
    pub(super) fn new(rules: Rules, chance: fastrand::Rng) -> Self {
        Self { rules, chance, keys: HashMap::new(), order: VecDeque::new() }
    }

    /// Judges a notice that arrived `now_s` seconds after 1970.
    pub(super) fn judge(&mut self, notice: &Notice, now_s: i64) -> Judgement {
        let key = match self.check(notice, now_s) {
            Ok(key) => key,
            Err(wrong) => {
                return Judgement { outcome: Outcome::Refused(wrong), attempts: 0, accepted_before: false };
            }
        };
        let fails = self.chance.f64() < self.rules.fail;
        let before = self.recall(&key);
        let outcome = match (fails, self.rules.lose_answer && !before.accepted) {
            (true, _) => Outcome::Failed(self.rules.status),
            (false, true) => Outcome::Lost,
            (false, false) => Outcome::Accepted,
        };
        // A lost answer is an acceptance too: the sender's repeat then shows as `accepted before`.
        let accepted = before.accepted || !fails;
        let attempts = before.attempts + 1;
        self.keys.insert(key, KeyHistory { attempts, accepted });
        Judgement { outcome, attempts, accepted_before: before.accepted }
    }

    /// Returns the idempotency key of the notice, or its fault.
    fn check(&self, notice: &Notice, now_s: i64) -> Result<String, Wrong> {
        if !notice.is_post {
            return Err(Wrong::Method);
        }
        if let Some(secret) = &self.rules.secret {
            let signed = notice.signed.as_ref().ok_or(Wrong::Unsigned)?;
            if signed.timestamp_s.abs_diff(now_s) > SIGNATURE_AGE_MAX_S {
                return Err(Wrong::SignatureAge);
            }
            if !secret.verify(&signed.id, signed.timestamp_s, &notice.raw, &signed.signature) {
                return Err(Wrong::Signature);
            }
        }
        if notice.body.is_none() {
            return Err(Wrong::NotJson);
        }
        notice.key.clone().ok_or(Wrong::NoKey)
    }

    /// Returns the history of the key, and makes room for it if it is new.
    fn recall(&mut self, key: &str) -> KeyHistory {
        if let Some(history) = self.keys.get(key) {
            return *history;
        }
        if self.order.len() >= KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.order.push_back(key.to_owned());
        KeyHistory::default()
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sink::notice::Signed;
    use serde_json::json;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NOW_S: i64 = 1_790_000_000;
    const FAILED: Outcome = Outcome::Failed(StatusCode::INTERNAL_SERVER_ERROR);

    fn notice(key: &str) -> Notice {
        let raw =
            format!(r#"{{"incident_id":"{key}","vehicle_id":"bus 7","lat":30.27,"lon":-97.74,"attempt":1}}"#);
        let body = serde_json::from_str(&raw).ok();
        Notice { is_post: true, key: Some(key.into()), signed: None, raw: raw.into_bytes(), body }
    }

    fn signed(key: &str, timestamp_s: i64) -> Notice {
        let notice = notice(key);
        let signature = SECRET.parse::<Secret>().unwrap().sign(key, timestamp_s, &notice.raw);
        Notice { signed: Some(Signed { id: key.into(), timestamp_s, signature }), ..notice }
    }

    fn judge(rules: Rules) -> Judge {
        Judge::new(rules, fastrand::Rng::with_seed(5))
    }

    fn rules() -> Rules {
        Rules { fail: 0.0, status: StatusCode::INTERNAL_SERVER_ERROR, secret: None, lose_answer: false }
    }

    #[test]
    fn marks_a_key_that_was_seen_before() {
        let mut judge = judge(rules());
        let judgements = [
            judge.judge(&notice("a"), NOW_S),
            judge.judge(&notice("b"), NOW_S),
            judge.judge(&notice("a"), NOW_S),
        ];
        let seen = judgements
            .each_ref()
            .map(|judgement| (judgement.outcome, judgement.attempts, judgement.accepted_before));
        let first = (Outcome::Accepted, 1, false);
        assert_eq!(seen, [first, first, (Outcome::Accepted, 2, true)]);
        assert!(judgements[2].text(&notice("a")).ends_with(", again, accepted before"));
        assert_eq!(judgements[2].json(&notice("a"))["call"]["vehicle_id"], "bus 7");
    }

    #[test]
    fn fails_as_often_as_asked() {
        let mut judge = judge(Rules { fail: 0.5, ..rules() });
        let failed =
            (0..1000).filter(|n| judge.judge(&notice(&n.to_string()), NOW_S).outcome == FAILED).count();
        assert!((400..600).contains(&failed), "{failed} of 1000");
    }

    #[test]
    fn a_failed_notice_was_not_accepted_before() {
        let mut judge = judge(Rules { fail: 1.0, ..rules() });
        judge.judge(&notice("a"), NOW_S);
        let second = judge.judge(&notice("a"), NOW_S);
        assert_eq!((second.outcome, second.attempts, second.accepted_before), (FAILED, 2, false));
    }

    #[test]
    fn fails_with_the_status_that_was_asked_for() {
        let mut judge = judge(Rules { fail: 1.0, status: StatusCode::GONE, ..rules() });
        let judgement = judge.judge(&notice("a"), NOW_S);
        assert_eq!(judgement.outcome.status(), StatusCode::GONE);
        assert_eq!(judgement.json(&notice("a"))["status"], 410);
    }

    #[test]
    fn prints_the_subject_of_a_notice_and_counts_each_key_by_itself() {
        let mut judge = judge(rules());
        let notice_about = |key: &str, kind: &str, test: bool| {
            let mut notice = notice(key);
            let body = notice.body.as_mut().unwrap();
            body["type"] = kind.into();
            body["target"] = "county".into();
            body["test"] = test.into();
            notice
        };
        let notices = [
            notice_about("a", "incident.opened", false),
            notice_about("a-1", "incident.updated", false),
            notice_about("a-1", "incident.updated", true),
        ];
        let judgements = notices.each_ref().map(|notice| judge.judge(notice, NOW_S));
        assert_eq!(judgements.each_ref().map(|judgement| judgement.attempts), [1, 1, 2]);
        let json = judgements[1].json(&notices[1]);
        let want = json!(["a-1", "incident.updated", "county", false, false]);
        assert_eq!(
            json!([json["idempotency_key"], json["type"], json["target"], json["test"], json["again"]]),
            want
        );
        let text = judgements[2].text(&notices[2]);
        assert!(
            text.starts_with("accepted a-1 TEST incident.updated to county vehicle \"bus 7\" at "),
            "{text}"
        );
        assert!(text.ends_with(", again, accepted before"), "{text}");
    }

    #[test]
    fn loses_the_first_answer_to_each_key() {
        let mut judge = judge(Rules { lose_answer: true, ..rules() });
        assert_eq!(judge.judge(&notice("a"), NOW_S).outcome, Outcome::Lost);
        let second = judge.judge(&notice("a"), NOW_S);
        assert_eq!((second.outcome, second.accepted_before), (Outcome::Accepted, true));
        assert_eq!(judge.judge(&notice("b"), NOW_S).outcome, Outcome::Lost);
    }

    #[test]
    fn refuses_a_notice_with_a_missing_wrong_or_old_signature() {
        let check = |notice: Notice, want| {
            let rules = Rules { secret: Some(SECRET.parse().unwrap()), ..rules() };
            assert_eq!(judge(rules).judge(&notice, NOW_S).outcome, want);
        };
        check(signed("a", NOW_S), Outcome::Accepted);
        check(signed("a", NOW_S - 300), Outcome::Accepted);
        check(signed("a", NOW_S - 301), Outcome::Refused(Wrong::SignatureAge));
        check(signed("a", i64::MIN), Outcome::Refused(Wrong::SignatureAge));
        check(notice("a"), Outcome::Refused(Wrong::Unsigned));
        let mut changed = signed("a", NOW_S);
        changed.raw.push(b' ');
        check(changed, Outcome::Refused(Wrong::Signature));
    }

    #[test]
    fn refuses_a_request_that_is_no_notice() {
        let check = |notice: Notice, want, status| {
            let judgement = judge(rules()).judge(&notice, NOW_S);
            assert_eq!(
                (judgement.outcome, judgement.outcome.status().as_u16()),
                (Outcome::Refused(want), status)
            );
        };
        check(Notice { is_post: false, ..notice("a") }, Wrong::Method, 405);
        check(Notice { body: None, ..notice("a") }, Wrong::NotJson, 400);
        check(Notice { key: None, ..notice("a") }, Wrong::NoKey, 400);
    }

    #[test]
    fn forgets_the_oldest_before_it_grows_without_bound() {
        let mut judge = judge(rules());
        for number in 0..=KEYS_MAX {
            judge.judge(&notice(&number.to_string()), NOW_S);
        }
        assert_eq!((judge.keys.len(), judge.order.len()), (KEYS_MAX, KEYS_MAX));
        assert_eq!(judge.judge(&notice("0"), NOW_S).attempts, 1);
    }
}
