//! Body of a notice. Its fields are a contract, written down in `docs/emergencies.md`.

use serde::Serialize;

use crate::fix::Fix;
use crate::id::IncidentId;
use crate::notify::notice::Notice;
use crate::record::progress::State;
use crate::trail::Head;
use vagn_flow::rfc3339::rfc3339;

/// Age above which an alarm is labelled as stale, in seconds. It is sent all the same: late help is better than none.
const STALE_AFTER_S: f64 = 300.0;

/// Body of a notice.
#[derive(Debug, Serialize)]
pub(crate) struct Payload<'a> {
    r#type: &'static str,
    incident_id: IncidentId,
    vehicle_id: &'a str,
    test: bool,
    state: State,
    lat: Option<f64>,
    lon: Option<f64>,
    position_time: Option<String>,
    position_trusted: bool,
    recent_positions: Vec<RecentPosition>,
    received_at: String,
    kind: Option<&'static str>,
    reports: u64,
    quiet: bool,
    target: &'a str,
    attempt: u32,
    escalation: u32,
    age_s: f64,
    stale: bool,
    trail_head: Option<String>,
}

/// A position on the vehicle's track.
#[derive(Debug, Serialize)]
struct RecentPosition {
    lat: f64,
    lon: f64,
    time: String,
}

impl From<&Fix> for RecentPosition {
    fn from(fix: &Fix) -> Self {
        Self { lat: fix.position.lat(), lon: fix.position.lon(), time: rfc3339(fix.time_ms) }
    }
}

impl<'a> Payload<'a> {
    /// Returns the body of `notice`, sent at `now_ms` since 1970, with `head` as the head of the trail.
    pub(crate) fn new(notice: &'a Notice, now_ms: i64, head: Option<Head>) -> Self {
        let incident = &notice.incident;
        let fix = incident.alarm.fix;
        // A vehicle's clock may be ahead of ours.
        let age_s = now_ms.saturating_sub(incident.alarm.raised_ms).max(0) as f64 / 1000.0;
        Self {
            r#type: notice.message.event_type(),
            incident_id: incident.id,
            vehicle_id: &incident.vehicle_id,
            test: incident.drill,
            state: incident.progress.state,
            lat: fix.map(|fix| fix.position.lat()),
            lon: fix.map(|fix| fix.position.lon()),
            position_time: fix.map(|fix| rfc3339(fix.time_ms)),
            position_trusted: fix.is_some_and(|fix| fix.trusted),
            recent_positions: incident.alarm.track.iter().map(Into::into).collect(),
            received_at: rfc3339(incident.alarm.opened_ms),
            kind: incident.alarm.kind.map(vagn_wire::Kind::as_str),
            reports: incident.alarm.reports,
            quiet: incident.progress.quiet_ms.is_some(),
            target: &notice.target,
            attempt: notice.number,
            escalation: incident.escalation.level,
            age_s,
            stale: age_s > STALE_AFTER_S,
            trail_head: head.map(|head| head.to_string()),
        }
    }

    /// Returns the body as JSON.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts can always be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::target::TargetIndex;
    use crate::record::attempt::{Message, MessageKey};
    use crate::record::incident::Incident;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn notice() -> Notice {
        let id = IncidentId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let incident = Incident::example(id, "bus 7");
        Notice {
            told: incident.to_tell(),
            incident,
            target_index: TargetIndex(0),
            target: "primary".into(),
            message: Message::Opened,
            key: MessageKey { incident: id, number: 0 },
            number: 3,
            arrived: None,
        }
    }

    #[test]
    fn holds_what_a_responder_needs() {
        let body = Payload::new(&notice(), NOW_MS + 1_500, None).to_json();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            concat!(
                r#"{"type":"incident.opened","incident_id":"01900000-0000-7000-8000-000000000001","vehicle_id":"bus 7","#,
                r#""test":false,"state":"open","lat":59.33,"lon":18.06,"position_time":"2023-11-14T22:13:20.000Z","#,
                r#""position_trusted":true,"recent_positions":[{"lat":59.33,"lon":18.06,"time":"2023-11-14T22:13:20.000Z"}],"#,
                r#""received_at":"2023-11-14T22:13:20.000Z","kind":null,"reports":1,"quiet":false,"target":"primary","#,
                r#""attempt":3,"escalation":0,"age_s":1.5,"stale":false,"trail_head":null}"#
            )
        );
    }

    #[test]
    fn has_nulls_when_no_position_is_known() {
        let mut notice = notice();
        notice.incident.alarm.fix = None;
        let said: serde_json::Value =
            serde_json::from_slice(&Payload::new(&notice, NOW_MS, None).to_json()).unwrap();
        assert!(said["lat"].is_null() && said["lon"].is_null() && said["position_time"].is_null());
        assert_eq!(said["position_trusted"], false);
    }

    #[test]
    fn tells_the_age_of_the_alarm() {
        let said = |now_ms| -> serde_json::Value {
            serde_json::from_slice(&Payload::new(&notice(), now_ms, None).to_json()).unwrap()
        };
        assert_eq!(said(NOW_MS + 300_000)["stale"], false);
        assert_eq!(
            (&said(NOW_MS + 300_001)["stale"], &said(NOW_MS - 5)["age_s"]),
            (&true.into(), &0.0.into())
        );
    }
}
