//! Notices of the desk: turns, retries, updates, drills, and what a new run goes on with.

use super::*;

#[test]
fn one_emergency_and_then_silence_for_a_day_is_still_open_and_still_escalating() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    record(&mut desk);
    let mut made = Vec::new();
    for second in 0..24 * 3600 {
        made.extend(send_due(&mut desk, second * 1000, 200).into_iter().map(|sent| (second, sent)));
        tidy(&mut desk, second * 1000);
    }
    let incident = desk.get(id).unwrap().clone();
    assert_eq!(
        (incident.progress.state, incident.progress.quiet_ms),
        (State::Notified, Some(NOW_MS + 301_000))
    );
    let first: Vec<_> = made.iter().take(4).cloned().collect();
    assert_eq!(
        first,
        [
            (0, to("city", Message::Opened, 0)),
            (60, to("county", Message::Opened, 0)),
            (90, to("city", Message::Escalated, 1)),
            (150, to("county", Message::Escalated, 2)),
        ]
    );
    assert_eq!(made.len(), 2 * 24 * 3600 / 90, "each target once in every round of 90 s");
    assert_eq!(desk.overview().unacknowledged, 1);
    assert!(desk.pending(id).0.len() < 30, "rounds without end do not bury the trail");
    desk.act(id, &request(RequestKind::Acknowledge), now(86_400_000)).unwrap();
    assert!(
        !send_due(&mut desk, 86_400_001, 200).iter().any(|(_, message, _)| *message == Message::Escalated)
    );
    assert_eq!((desk.wake_at(), desk.overview().unacknowledged), (None, 0));
}

#[test]
fn a_turn_ends_when_it_should_have_although_there_was_a_restart() {
    let check = |down_ms: i64, due_ms: i64| {
        let mut old = desk();
        let id = opened(&admit(&mut old, vec![alarm("bus 7", 0)]));
        accept(&mut old, id, 1);
        let left = vec![old.get(id).unwrap().clone()];
        let mut new = desk();
        new.restore(left, Moment { ms: NOW_MS + down_ms, at: ms(5), is_sure: true, since_ms: i64::MIN });
        let early = Moment {
            ms: 0,
            at: ms(5 + due_ms.unsigned_abs()) - Duration::from_nanos(1),
            is_sure: true,
            since_ms: i64::MIN,
        };
        assert!(due_ms == 0 || new.next_notice(early).is_none(), "{down_ms}");
        let due = new
            .next_notice(Moment {
                ms: NOW_MS,
                at: ms(5 + due_ms.unsigned_abs()),
                is_sure: true,
                since_ms: i64::MIN,
            })
            .unwrap();
        assert_eq!(&*due.target, "county", "{down_ms}");
    };
    check(20_000, 40_000);
    check(60_000, 0);
    check(86_400_000, 0);
    check(-86_400_000, 60_000);
}

#[test]
fn an_hour_without_the_target_and_then_all_arrive_oldest_first_once_per_key() {
    let chain = vec![turn("city", 100_000)];
    let mut desk = Desk::new(Rules { chain, open_max: 1_000, ..rules() }, 1);
    let names: Vec<_> = (0..200).map(|number| format!("bus {number}")).collect();
    for (at_ms, name) in names.iter().enumerate() {
        admit(&mut desk, vec![alarm(name, at_ms as i64)]);
    }
    record(&mut desk);
    let mut attempts = 0;
    for second in 0..3600 {
        attempts += send_due(&mut desk, second * 1000, 503).len();
    }
    assert!(
        attempts < 1000,
        "{attempts} attempts for 200 incidents: the target is only probed while it is down"
    );
    let mut heard = Vec::new();
    for second in 3600..3660 {
        while let Some(notice) = desk.next_notice(now(second * 1000)) {
            heard.push((notice.incident.vehicle_id.to_string(), notice.key.to_string()));
            answer(&mut desk, &notice, 200, second * 1000);
        }
    }
    assert_eq!(
        heard.iter().map(|(vehicle, _)| vehicle).collect::<Vec<_>>(),
        names.iter().collect::<Vec<_>>()
    );
    let keys: BTreeSet<_> = heard.iter().map(|(_, key)| key).collect();
    assert_eq!(keys.len(), 200);
}

#[test]
fn a_refusal_for_good_passes_the_turn_on_at_once_but_for_the_last() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    record(&mut desk);
    let opening = |target| to(target, Message::Opened, 0);
    assert_eq!(send_due(&mut desk, 0, 404), [opening("city"), opening("county")]);
    assert_eq!((desk.overview().dead_letters, send_due(&mut desk, 29_999, 404).len()), (1, 0));
    assert_eq!(
        send_due(&mut desk, 30_000, 404),
        [opening("city"), opening("county")],
        "the chain starts again"
    );
    desk.act(id, &request(RequestKind::Replay), now(31_000)).unwrap();
    assert_eq!(send_due(&mut desk, 31_000, 200).len(), 2);
    assert_eq!(desk.overview().dead_letters, 0);
}

#[test]
fn updates_go_to_targets_that_accepted_and_not_more_often_than_every_ten_seconds() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    record(&mut desk);
    let mut made = send_due(&mut desk, 0, 200);
    for second in 1..=55 {
        let moved = Fix::at(second as f64, 0.0, NOW_MS + second * 1000, true);
        admit(&mut desk, vec![Alarm { fix: Some(moved), ..alarm("bus 7", second * 1000) }]);
        made.extend(send_due(&mut desk, second * 1000, 200));
    }
    let updates: Vec<_> = made.iter().skip(1).map(|(_, message, number)| (*message, *number)).collect();
    assert_eq!(updates, (1..=5).map(|number| (Message::Updated, number)).collect::<Vec<_>>());
    desk.act(id, &request(RequestKind::Acknowledge), now(70_000)).unwrap();
    let last = desk.next_notice(now(70_000)).unwrap();
    assert!(
        last.told.acknowledged && last.incident.progress.state == State::Acknowledged,
        "a target that was notified hears of it"
    );
}

#[test]
fn a_turn_that_comes_while_an_update_is_under_way_is_not_forgotten() {
    let mut desk = Desk::new(Rules { chain: vec![turn("city", 60)], ..rules() }, 1);
    admit(&mut desk, vec![alarm("bus 7", 0)]);
    record(&mut desk);
    send_due(&mut desk, 0, 200);
    let moved = Fix::at(1.0, 0.0, NOW_MS + 50_000, true);
    admit(&mut desk, vec![Alarm { fix: Some(moved), ..alarm("bus 7", 50_000) }]);
    let news = desk.next_notice(now(59_999)).unwrap();
    assert_eq!(news.message, Message::Updated);
    assert!(desk.next_notice(now(60_000)).is_none(), "one notice at a time");
    answer(&mut desk, &news, 200, 60_001);
    assert_eq!(send_due(&mut desk, 60_001, 200), [to("city", Message::Escalated, 2)]);
}

#[test]
fn a_repeat_from_the_same_position_is_no_news() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    accept(&mut desk, id, 1);
    for second in 1..=30 {
        let fix = alarm("bus 7", 0).fix.map(|fix| Fix { time_ms: NOW_MS + second * 1000, ..fix });
        admit(&mut desk, vec![Alarm { fix, ..alarm("bus 7", second * 1000) }]);
        assert_eq!(send_due(&mut desk, second * 1000, 200), []);
    }
}

#[test]
fn drills_go_to_their_own_target_alone_and_end_by_themselves() {
    let mut desk = Desk::new(Rules { drill: Some(turn("drill", 60)), ..rules() }, 1);
    let drill_at = |at_ms| Alarm { kind: Some(Kind::Test), ..alarm("bus 7", at_ms) };
    let drill = opened(&admit(&mut desk, vec![drill_at(0)]));
    let real = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    record(&mut desk);
    let mut made = Vec::new();
    for second in 0..400 {
        while let Some(notice) = desk.next_notice(now(second * 1000)) {
            assert_eq!(&*notice.target == "drill", notice.incident.id == drill);
            made.push(notice.incident.id);
            answer(&mut desk, &notice, 200, second * 1000);
        }
        tidy(&mut desk, second * 1000);
    }
    assert_eq!(made.iter().filter(|id| **id == drill).count(), 1);
    record(&mut desk);
    assert!(desk.get(drill).is_none() && desk.get(real).is_some());
    let mut none = self::desk();
    admit(&mut none, vec![drill_at(0)]);
    record(&mut none);
    assert!(none.next_notice(now(0)).is_none(), "without a target for drills no notice goes out");
}

#[test]
fn an_incident_that_has_lost_its_place_in_the_queues_is_queued_again() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    record(&mut desk);
    desk.queues.done_everywhere(id); // As after a crash in between.
    assert_eq!(send_due(&mut desk, 1, 200), []);
    tidy(&mut desk, 2);
    assert_eq!(send_due(&mut desk, 3, 200), [to("city", Message::Opened, 0)]);
}

#[test]
fn a_new_run_uses_no_key_that_an_unrecorded_message_may_have_had() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    accept(&mut desk, id, 1);
    let left = vec![desk.get(id).unwrap().clone()];
    let mut used = Vec::new();
    for second in 1..=300 {
        let moved = Fix::at(second as f64 / 10.0, 0.0, NOW_MS + second * 1000, true);
        admit(&mut desk, vec![Alarm { fix: Some(moved), ..alarm("bus 7", second * 1000) }]);
        used.extend(send_due(&mut desk, second * 1000, 200).into_iter().map(|(_, _, number)| number));
    }
    let mut new = self::desk();
    new.restore(left, now(300_000));
    let next = send_due(&mut new, 300_000, 200).into_iter().map(|(_, _, number)| number);
    assert!(next.filter(|number| *number > 0).all(|number| !used.contains(&number)), "{used:?}");
}

#[test]
fn a_notice_that_ends_after_its_incident_was_resolved_is_in_the_ledger() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    record(&mut desk);
    let notice = desk.next_notice(now(1)).unwrap();
    desk.act(id, &request(RequestKind::Resolve), now(2)).unwrap();
    record(&mut desk);
    answer(&mut desk, &notice, 200, 3);
    assert_eq!(desk.pending(id).1.len(), 1);
    record(&mut desk);
    assert!(desk.get(id).is_none());
}

#[test]
fn sends_when_recorded_or_after_a_tenth_of_a_second() {
    let mut desk = desk();
    let slow = opened(&admit(&mut desk, vec![alarm("slow", 0)]));
    assert!(desk.next_notice(now(99)).is_none());
    let unrecorded = desk.next_notice(now(100)).unwrap();
    assert!(unrecorded.incident.id == slow && unrecorded.incident.notices.unrecorded);
    assert_eq!(unrecorded.arrived, Some(ms(0)));
    let quick = opened(&admit(&mut desk, vec![alarm("quick", 200)]));
    record(&mut desk);
    let recorded = desk.next_notice(now(200)).unwrap();
    assert!(recorded.incident.id == quick && !recorded.incident.notices.unrecorded);
}

#[test]
fn what_waited_for_the_store_to_be_read_still_has_its_time_to_be_recorded() {
    let mut desk = desk();
    desk.restore(Vec::new(), now(3_000));
    admit(&mut desk, vec![alarm("bus 7", 0)]);
    assert!(desk.next_notice(now(3_099)).is_none());
    assert!(desk.next_notice(now(3_100)).is_some());
}

#[test]
fn retries_at_the_pace_of_the_schedule() {
    let mut desk = Desk::new(Rules { chain: vec![turn("city", 100_000)], ..rules() }, 1);
    admit(&mut desk, vec![alarm("bus 7", 0)]);
    record(&mut desk);
    let mut at_ms = 0;
    for number in 1..=30 {
        let notice = desk.next_notice(now(at_ms)).expect("due");
        assert_eq!((notice.number, notice.key.number, notice.arrived.is_some()), (number, 0, number == 1));
        answer(&mut desk, &notice, 503, at_ms);
        let due_ms = desk.wake_at().unwrap().as_millis() as i64;
        assert!(due_ms > at_ms && due_ms - at_ms <= 16_000, "{number}: {at_ms} {due_ms}");
        assert!(desk.next_notice(now(due_ms - 1)).is_none());
        at_ms = due_ms + 1;
    }
    assert_eq!(desk.overview().unaccepted, 1, "there is no end to it");
}

#[test]
fn a_new_run_sends_what_the_old_one_owed() {
    let mut old = desk();
    let owed = opened(&admit(&mut old, vec![alarm("owed", 0)]));
    let done = opened(&admit(&mut old, vec![alarm("done", 1)]));
    admit(&mut old, vec![Alarm { kind: Some(Kind::Test), ..alarm("drill", 2) }]);
    record(&mut old);
    while let Some(notice) = old.next_notice(now(0)) {
        let status = if notice.incident.id == done { 200 } else { 500 };
        answer(&mut old, &notice, status, 0);
    }
    let left: Vec<_> = old.drafts(10).into_iter().map(|draft| draft.incident).collect();
    let mut new = desk();
    new.restore(left, now(0));
    let notice = new.next_notice(now(0)).unwrap();
    assert_eq!((notice.incident.id, notice.number, notice.arrived), (owed, 2, None));
    assert!(new.next_notice(now(1)).is_none());
    let repeat = admit(&mut new, vec![Alarm::example("owed")]);
    assert_eq!((repeat.opened.len(), repeat.updated), (0, 1), "a repeat joins it");
}

#[test]
fn a_target_that_is_new_in_the_settings_hears_of_what_no_target_has_accepted() {
    let mut old = Desk::new(Rules::new(20, &Targets::default()), 1);
    let id = opened(&admit(&mut old, vec![alarm("bus 7", 0)]));
    let left = vec![old.get(id).unwrap().clone()];
    let mut new = desk();
    new.restore(left, now(0));
    assert_eq!(send_due(&mut new, 0, 200), [to("city", Message::Opened, 0)]);
    assert_eq!(send_due(&mut new, 60_000, 200), [to("county", Message::Opened, 0)]);
}

#[test]
fn what_is_announced_of_a_new_incident_names_the_target_that_is_told_first() {
    let mut desk = desk();
    opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    let announced = &desk.take_happened()[0];
    let told = announced.incident.notices.delivery_to("city");
    assert!(told.is_some());
}
