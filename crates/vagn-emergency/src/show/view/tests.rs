//! JSON of the views, byte for byte: clients rely on it.

use std::time::Duration;

use super::*;
use crate::Targets;
use crate::desk::{Desk, Moment};
use crate::record::attempt::{Attempt, Message, Outcome};
use crate::record::incident::PRIMARY;
use crate::rules::Rules;
use crate::tests::setup::turn;

const OPENED_MS: i64 = 1_700_000_000_000;

fn id() -> IncidentId {
    IncidentId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)
}

fn attempt() -> Attempt {
    Attempt {
        number: 1,
        target: PRIMARY.into(),
        message: Message::Opened,
        at_ms: OPENED_MS + 1_000,
        took_ms: 3,
        outcome: Outcome::Accepted { status: 200 },
        next_ms: None,
    }
}

/// Returns the view of an incident that its only target has accepted.
fn accepted() -> IncidentView {
    let mut incident = Incident::example(id(), "bus 7");
    let told = incident.to_tell();
    let delivery = incident.notices.delivery(PRIMARY, OPENED_MS);
    delivery.accepted(Message::Opened, told, OPENED_MS + 1_003);
    incident.attempted(attempt());
    let rules = Rules { chain: vec![turn(PRIMARY, 60)], ..Rules::new(20, &Targets::default()) };
    let now = Moment { ms: OPENED_MS, at: Duration::ZERO, is_sure: true, since_ms: i64::MIN };
    IncidentView::new(&incident, &Desk::new(rules.clone(), 1), &rules, now)
}

#[test]
fn an_incident_has_the_fields_of_the_api_in_their_order() {
    assert_eq!(
        serde_json::to_string(&accepted()).unwrap(),
        concat!(
            r#"{"id":"01900000-0000-7000-8000-000000000001","vehicle_id":"bus 7","state":"notified","quiet":false,"#,
            r#""test":false,"kind":null,"vehicle_incident":null,"raised_at":"2023-11-14T22:13:20.000Z","#,
            r#""opened_at":"2023-11-14T22:13:20.000Z","updated_at":"2023-11-14T22:13:20.000Z","#,
            r#""accepted_at":"2023-11-14T22:13:21.003Z","acknowledged":null,"resolved":null,"reports":1,"#,
            r#""position":{"lat":59.33,"lon":18.06,"time":"2023-11-14T22:13:20.000Z","trusted":true},"#,
            r#""recent_positions":[{"lat":59.33,"lon":18.06,"time":"2023-11-14T22:13:20.000Z"}],"recorded":true,"#,
            r#""call":{"status":"accepted","attempts":1,"unrecorded":false,"latest":[{"number":1,"target":"primary","#,
            r#""at":"2023-11-14T22:13:21.000Z","took_ms":3,"outcome":"accepted","status":200}],"#,
            r#""targets":[{"name":"primary","status":"accepted","accepted_at":"2023-11-14T22:13:21.003Z","#,
            r#""next_at":null}],"escalation":{"level":0,"next_at":null}}}"#
        )
    );
}

#[test]
fn the_ledger_has_the_fields_of_the_api_in_their_order() {
    assert_eq!(
        serde_json::to_string(&LedgerView::from(&attempt())).unwrap(),
        concat!(
            r#"{"number":1,"target":"primary","kind":"opened","at":"2023-11-14T22:13:21.000Z","took_ms":3,"#,
            r#""outcome":"accepted","status":200}"#
        )
    );
}

#[test]
fn statuses_have_the_words_of_the_api() {
    let words = [
        (NoticeStatus::NoTarget, "no_target"),
        (NoticeStatus::Pending, "pending"),
        (NoticeStatus::UnderWay, "calling"),
        (NoticeStatus::Accepted, "accepted"),
        (NoticeStatus::DeadLetter, "dead_letter"),
    ];
    for (status, word) in words {
        assert_eq!(serde_json::to_value(status).unwrap(), word);
    }
}
