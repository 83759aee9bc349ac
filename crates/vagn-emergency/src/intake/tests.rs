//! The inbox as the filter fills it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use vagn_flow::allowance::Source;
use vagn_flow::batch::BatchBuilder;
use vagn_flow::clock::{Clock, ManualClock};
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::proof::SealMark;
use vagn_flow::receipt::{Answer, Receipt};
use vagn_flow::stamp::Stamp;
use vagn_flow::testing::reply_to;
use vagn_flow::testing::{SHEDDING, WAITING};
use vagn_otp::{Offer, Subscriber};
use vagn_seal::{Epoch, KeyId};
use vagn_wire::{Fate, Report};

use super::ack::{ACK_REQUESTS_PER_ALARM_MAX, PENDING_ACKS_MAX};
use super::alarm::Alarm;
use super::filter::AlarmFilter;
use super::inbox::{
    ACK_REQUESTS_MAX, ALARMS_MAX, Inbox, STRANGER_ACKS_MAX, STRANGERS_AT_ONCE, STRANGERS_MAX, TAKES_MAX,
};
use super::known::{KnownVehicle, KnownVehicles};
use super::no_room::NoRoom;
use crate::fix::Fix;
use crate::id::IncidentId;
use crate::record::standing::Standing;
use crate::tests::setup::{drill, encoded, fleet, help, nowhere};

static METRICS: LazyLock<Arc<ReportMetrics>> = LazyLock::new(|| ReportMetrics::new(&MetricRegistry::new()));

fn offer(inbox: &Arc<Inbox>, reports: &[Report<'_>], time_ms: i64) -> (Offer, Answer) {
    let mut batch = BatchBuilder::new(WAITING);
    for report in reports {
        batch.push(&encoded(report));
    }
    let (receipt, answer) = Receipt::new(reports.len());
    let batch = batch.seal(Stamp { time_ms, first_seq: 0 }, Some(&receipt), &METRICS);
    (AlarmFilter(inbox.clone()).offer(&batch), answer)
}

/// Leaves reports in the inbox whose sender waits for no answer.
fn leave(inbox: &Arc<Inbox>, reports: &[Report<'_>]) {
    offer(inbox, reports, 0);
}

/// Incidents that strangers from one source may have, and alarms that they may send at once.
const PER_SOURCE: usize = 2 * STRANGERS_MAX;

/// Takes out all that waits of known vehicles, and then some of the others.
fn take(inbox: &Inbox) -> Vec<Alarm> {
    [inbox.take_known(), inbox.take_others()].into_iter().flatten().collect()
}

/// Takes out all that waits.
fn take_all(inbox: &Inbox) -> Vec<Alarm> {
    (0..TAKES_MAX).flat_map(|_| take(inbox)).collect()
}

/// Takes out all that waits but known vehicles.
fn take_all_others(inbox: &Inbox) {
    (0..TAKES_MAX).for_each(|_| drop(inbox.take_others()));
}

/// An inbox that knows every vehicle whose id does not begin with "vehicle".
fn inbox() -> Arc<Inbox> {
    counting_inbox().0
}

/// The same, with the count of the datagrams that get no ack.
fn counting_inbox() -> (Arc<Inbox>, Counter) {
    let fix = Fix::at(1.0, 2.0, 0, false);
    let known = fleet(move |vehicle_id| {
        if vehicle_id.starts_with("vehicle") { KnownVehicle::STRANGER } else { KnownVehicle::known(fix) }
    });
    let inbox = Inbox::new(Arc::new(ManualClock::at(1_000)), known, PER_SOURCE, 1);
    let refused = Counter::default();
    (Arc::new(inbox.with_acks_refused(refused.clone())), refused)
}

#[test]
fn each_alarm_has_a_higher_id_than_the_one_before_and_repeats_keep_the_first() {
    let inbox = inbox();
    let mut ids = Vec::new();
    for time_ms in [5, 5, 9, 7] {
        offer(&inbox, &[help("bus 7"), help("bus 8"), help("bus 7")], time_ms);
        ids.extend(take(&inbox).iter().map(|alarm| alarm.id));
    }
    assert!(ids.len() == 8 && ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}

#[test]
fn keeps_one_entry_per_vehicle_sort_and_name() {
    let inbox = inbox();
    let named = Report { incident: Some("a"), ..help("bus 7") };
    let quiet = Report { emergency: false, ..help("bus 9") };
    let sent = [help("bus 7"), help("bus 7"), drill("bus 7"), named, help("bus 8"), quiet, named];
    assert_eq!(offer(&inbox, &sent, 1_000).0, Offer::Taken);
    let taken = take(&inbox);
    let seen: Vec<_> =
        taken.iter().map(|alarm| (&*alarm.vehicle_id, alarm.is_drill(), alarm.reports)).collect();
    assert_eq!(seen, [("bus 7", false, 2), ("bus 7", true, 1), ("bus 7", false, 2), ("bus 8", false, 1)]);
    assert!(take(&inbox).is_empty() && inbox.known_since().is_none());
}

#[test]
fn passes_over_reports_without_the_flag() {
    let quiet = Report { emergency: false, ..help("bus 9") };
    assert_eq!(offer(&inbox(), &[quiet], 0).0, Offer::Skipped);
}

#[test]
fn rings_once_per_alarm_and_not_per_repeat() {
    let inbox = inbox();
    let rung = Arc::new(AtomicU64::new(0));
    let count = rung.clone();
    inbox.attach(Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    leave(&inbox, &[help("bus 7"), help("bus 7"), help("bus 8")]);
    assert_eq!(rung.load(Ordering::Relaxed), 2);
}

#[test]
fn a_flood_of_invented_vehicles_finds_an_end() {
    let inbox = inbox();
    let names: Vec<_> = (0..STRANGERS_MAX + 10).map(|number| format!("vehicle {number}")).collect();
    for name in &names {
        leave(&inbox, &[help(name)]);
    }
    let (_, mut refused) = offer(&inbox, &[help("vehicle too many")], 0);
    assert_eq!(refused.try_recv().unwrap()[0].fate, Fate::Failed);
    leave(&inbox, &[help("vehicle 3")]);
    assert_eq!(inbox.take_refused().reasons().collect::<Vec<_>>(), [(NoRoom::Inbox, 11)]);
    for number in 0..ALARMS_MAX {
        leave(&inbox, &[help(&format!("bus {number}"))]);
    }
    assert_eq!(inbox.take_refused().total(), 0, "known vehicles have a lane of their own");
    let taken = take(&inbox);
    assert_eq!(taken.len(), ALARMS_MAX + STRANGERS_AT_ONCE);
    assert!(taken[..ALARMS_MAX].iter().all(|alarm| alarm.standing == Standing::Known), "they go first");
    assert_eq!(taken[ALARMS_MAX + 3].reports, 2);
    let rest = take_all(&inbox);
    assert_eq!((rest.len(), inbox.has_some()), (STRANGERS_MAX - STRANGERS_AT_ONCE, false));
    assert!(rest.is_sorted_by_key(|alarm| alarm.id));
}

#[test]
fn a_repeat_finds_its_alarm_behind_others_that_were_taken_out() {
    let inbox = inbox();
    let names: Vec<_> = (0..STRANGERS_AT_ONCE + 2).map(|number| format!("vehicle {number}")).collect();
    names.iter().for_each(|name| leave(&inbox, &[help(name)]));
    take(&inbox);
    leave(&inbox, &[help(&names[0]), help(&names[STRANGERS_AT_ONCE + 1])]);
    let left: Vec<_> = take(&inbox).into_iter().map(|alarm| (alarm.vehicle_id, alarm.reports)).collect();
    let expected = [(STRANGERS_AT_ONCE, 1), (STRANGERS_AT_ONCE + 1, 2), (0, 1)];
    assert_eq!(left, expected.map(|(number, reports)| (names[number].as_str().into(), reports)));
}

fn source(last: u8) -> Source {
    Source::from(std::net::IpAddr::from([192, 0, 2, last]))
}

/// Offers an alarm from a source.
fn offer_from(inbox: &Arc<Inbox>, vehicle_id: &str, last: u8) {
    let mut batch = BatchBuilder::new(SHEDDING).by(Some(source(last)));
    batch.push(&encoded(&help(vehicle_id)));
    let batch = batch.seal(Stamp { time_ms: 0, first_seq: 0 }, None, &METRICS);
    AlarmFilter(inbox.clone()).offer(&batch);
}

/// Offers alarms from one source, and counts those that were let in.
fn let_in(inbox: &Arc<Inbox>, vehicles: &[String], last: u8) -> usize {
    vehicles.iter().for_each(|id| offer_from(inbox, id, last));
    let source = source(last);
    take_all(inbox).iter().filter(|alarm| alarm.source == Some(source)).count()
}

#[test]
fn a_source_of_invented_vehicles_may_call_so_often_and_known_vehicles_and_others_are_not_counted() {
    let clock = Arc::new(ManualClock::at(1_000));
    let known = fleet(|vehicle_id| {
        let standing = if vehicle_id.starts_with("bus") { Standing::Known } else { Standing::Stranger };
        KnownVehicle { standing, last_fix: None }
    });
    let inbox = Arc::new(Inbox::new(clock.clone(), known, 50, 1));
    let names = |name: &str| (0..80).map(|number| format!("{name} {number}")).collect::<Vec<_>>();
    let (invented, buses) = (names("invented"), names("bus"));
    assert_eq!(let_in(&inbox, &invented, 1), 50);
    assert_eq!((let_in(&inbox, &buses, 1), let_in(&inbox, &invented, 2)), (80, 50));
    let refused = inbox.take_refused();
    assert_eq!(refused.reasons().collect::<Vec<_>>(), [(NoRoom::Rate, 60)]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(let_in(&inbox, &invented, 1), 10, "so many in five seconds");
}

/// A fleet that cannot look up the vehicle "bus", and has no other.
fn fleet_without_an_answer() -> Arc<dyn KnownVehicles> {
    fleet(|vehicle_id| if vehicle_id == "bus" { KnownVehicle::UNDECIDED } else { KnownVehicle::STRANGER })
}

/// An inbox with that fleet, after strangers from source 1 have sent all that they may.
fn inbox_in_a_flood() -> Arc<Inbox> {
    let inbox = Arc::new(Inbox::new(Arc::new(ManualClock::at(1_000)), fleet_without_an_answer(), 3, 1));
    let flood: Vec<_> = (0..100).map(|number| format!("invented {number}")).collect();
    assert_eq!(let_in(&inbox, &flood, 1), 3);
    assert_eq!(inbox.take_refused().reasons().collect::<Vec<_>>(), [(NoRoom::Rate, 97)]);
    inbox
}

#[test]
fn a_vehicle_that_cannot_be_looked_up_is_not_counted_with_the_flood_from_its_address() {
    let inbox = inbox_in_a_flood();
    assert_eq!(let_in(&inbox, &["bus".into()], 1), 1);
    assert_eq!(inbox.take_refused().total(), 0);
}

/// A fleet of one known vehicle, "bus", whose writer is off the processor for so long.
struct SlowFleet(Duration);

impl KnownVehicles for SlowFleet {
    fn look_up(&self, vehicle_id: &str, within: Duration) -> KnownVehicle {
        match vehicle_id {
            "bus" if within >= self.0 => KnownVehicle::known(Fix::at(1.0, 2.0, 0, false)),
            "bus" => KnownVehicle::UNDECIDED,
            _ => KnownVehicle::STRANGER,
        }
    }
}

#[test]
fn a_known_vehicle_behind_the_address_of_a_flood_is_waited_for_while_other_threads_have_their_turns() {
    let slow = Arc::new(SlowFleet(Duration::from_millis(60)));
    let inbox = Arc::new(Inbox::new(Arc::new(ManualClock::at(1_000)), slow, 1, 1));
    let flood: Vec<_> = (0..100).map(|number| format!("invented {number}")).collect();
    assert_eq!(let_in(&inbox, &flood, 1), 1);
    inbox.take_refused();
    assert_eq!(let_in(&inbox, &vec!["bus".to_owned(); 50], 1), 1);
    assert_eq!(inbox.take_refused().total(), 0);
    offer_from(&inbox, "bus", 1);
    assert_eq!(inbox.take_known().len(), 1, "it is known, and not undecided");
}

#[test]
fn vehicles_that_cannot_be_looked_up_have_an_allowance_and_a_reason_of_their_own() {
    let inbox = inbox_in_a_flood();
    assert_eq!(let_in(&inbox, &vec!["bus".to_owned(); 10], 1), 1, "repeats are one");
    assert_eq!(inbox.take_refused().reasons().collect::<Vec<_>>(), [(NoRoom::Undecided, 7)]);
    assert_eq!(let_in(&inbox, &["bus".into()], 2), 1, "another source has its own");
}

#[test]
fn vehicles_that_cannot_be_looked_up_wait_apart_from_strangers_and_go_before_them() {
    let clock = Arc::new(ManualClock::at(1_000));
    let inbox = Arc::new(Inbox::new(clock, fleet_without_an_answer(), PER_SOURCE, 1));
    let flood: Vec<_> = (0..=STRANGERS_MAX).map(|number| format!("invented {number}")).collect();
    flood.iter().for_each(|name| leave(&inbox, &[help(name)]));
    assert_eq!(inbox.take_refused().total(), 1, "the lane of strangers is full");
    leave(&inbox, &[help("bus")]);
    let taken = take(&inbox);
    assert_eq!((&*taken[0].vehicle_id, taken.len()), ("bus", 1 + STRANGERS_AT_ONCE));
}

#[test]
fn strangers_wait_in_turn_and_known_vehicles_from_their_arrival() {
    let clock = Arc::new(ManualClock::at(1_000));
    let known = fleet(|vehicle_id| match vehicle_id {
        "bus" => KnownVehicle::known(Fix::at(1.0, 2.0, 0, false)),
        _ => KnownVehicle::STRANGER,
    });
    let inbox = Arc::new(Inbox::new(clock.clone(), known, PER_SOURCE, 1));
    let names: Vec<_> = (0..=STRANGERS_AT_ONCE).map(|number| format!("invented {number}")).collect();
    let arrived = clock.monotonic();
    names.iter().for_each(|name| leave(&inbox, &[help(name)]));
    assert_eq!((inbox.known_since(), inbox.others_since()), (None, Some(arrived)));
    clock.advance(Duration::from_millis(300));
    inbox.begin_turn();
    take(&inbox);
    assert_eq!(inbox.others_since(), Some(clock.monotonic()), "one is left, and its turn comes");
    leave(&inbox, &[help("bus")]);
    let called = clock.monotonic();
    clock.advance(Duration::from_millis(300));
    inbox.begin_turn();
    take_all_others(&inbox);
    assert_eq!((inbox.known_since(), inbox.others_since()), (Some(called), None));
}

#[test]
fn the_sender_of_an_alarm_beyond_the_rate_hears_that_it_failed() {
    let vehicles = fleet(|_| KnownVehicle::STRANGER);
    let inbox = Arc::new(Inbox::new(Arc::new(ManualClock::at(1_000)), vehicles, 1, 1));
    let (offered, mut answer) = offer(&inbox, &[help("one"), help("two")], 0);
    assert_eq!(offered, Offer::Full);
    drop(take(&inbox));
    let fates: Vec<_> = answer.try_recv().unwrap().iter().map(|outcome| outcome.fate).collect();
    assert_eq!(fates, [Fate::Failed, Fate::Failed], "the first was dropped with the test's desk");
    assert_eq!(inbox.take_refused().total(), 1);
}

#[test]
fn strangers_leave_seats_to_known_vehicles() {
    let (inbox, refused) = counting_inbox();
    let invented: Vec<_> = (0..2 * ACK_REQUESTS_MAX).map(|number| format!("vehicle {number}")).collect();
    let sent: Vec<_> = invented.iter().map(|vehicle_id| ask(&inbox, vehicle_id)).collect();
    let known = ask(&inbox, "bus 7");
    for ack in take_all(&inbox).into_iter().flat_map(|alarm| alarm.acks) {
        ack.grant(IncidentId::from_u128(1));
    }
    assert_eq!(sent.iter().filter(|heard| heard.try_recv().is_ok()).count(), STRANGER_ACKS_MAX);
    assert!(known.try_recv().is_ok());
    assert_eq!(refused.get(), (2 * ACK_REQUESTS_MAX - STRANGER_ACKS_MAX) as u64, "the others are counted");
}

#[test]
fn a_batch_with_an_alarm_that_found_no_room_counts_as_dropped() {
    let inbox = inbox();
    let names: Vec<_> = (0..STRANGERS_MAX).map(|number| format!("vehicle {number}")).collect();
    assert!(names.iter().all(|name| offer(&inbox, &[help(name)], 0).0 == Offer::Taken));
    let (no_room, repeat, known) = (help("vehicle too many"), help("vehicle 3"), help("bus 7"));
    assert_eq!(offer(&inbox, &[repeat, known], 0).0, Offer::Taken);
    for sent in [&[no_room][..], &[no_room, known], &[known, no_room], &[repeat, no_room, known]] {
        assert_eq!(offer(&inbox, sent, 0).0, Offer::Full);
    }
}

#[test]
fn senders_of_one_alarm_are_kept_up_to_a_limit() {
    let inbox = inbox();
    let reports = [help("bus 7"); 3];
    let mut answers: Vec<_> = (0..=PENDING_ACKS_MAX).map(|_| offer(&inbox, &reports, 0).1).collect();
    assert_eq!(take(&inbox)[0].acks.len(), PENDING_ACKS_MAX, "a batch is of one sender");
    let last = answers.pop().unwrap().blocking_recv().unwrap();
    assert!(last.iter().all(|outcome| outcome.fate == Fate::Failed));
}

/// Offers calls out of one envelope, from source 1.
fn envelope_from(inbox: &Arc<Inbox>, sequence: u64, calls: &[Report<'_>]) -> Offer {
    let mut batch = BatchBuilder::new(SHEDDING).by(Some(source(1)));
    for call in calls {
        batch.push(&encoded(call));
        batch.seal_last(SealMark {
            key_id: KeyId([7; 8]),
            epoch: Epoch::FIRST,
            sequence,
            more: false,
            call_number: sequence,
            needs_time: false,
        });
    }
    let batch = batch.seal(Stamp { time_ms: 0, first_seq: 0 }, None, &METRICS);
    AlarmFilter(inbox.clone()).offer(&batch)
}

#[test]
fn an_envelope_full_of_calls_takes_the_allowance_of_one_alarm() {
    let known = fleet(|_| KnownVehicle::STRANGER);
    let inbox = Arc::new(Inbox::new(Arc::new(ManualClock::at(1_000)), known, 2, 1));
    let calls = [help("vehicle"); 40];
    let offers = [5, 6, 7].map(|sequence| envelope_from(&inbox, sequence, &calls));
    assert_eq!(offers, [Offer::Taken, Offer::Taken, Offer::Full]);
    let reports: Vec<_> = take(&inbox).iter().map(|alarm| alarm.reports).collect();
    assert_eq!(reports, [40, 40]);
    assert_eq!(inbox.take_refused().reasons().map(|(reason, _)| reason).collect::<Vec<_>>(), [NoRoom::Rate]);
}

#[test]
fn each_source_of_a_batch_takes_its_own_allowance_for_an_alarm_and_takes_it_once() {
    let inbox = inbox_in_a_flood();
    let offer_by = |sources: &[u8]| {
        let mut batch = BatchBuilder::new(SHEDDING);
        for last in sources {
            batch.push(&encoded(&help("vehicle")));
            batch.last_by(source(*last));
        }
        let batch = batch.seal(Stamp { time_ms: 0, first_seq: 0 }, None, &METRICS);
        let offered = AlarmFilter(inbox.clone()).offer(&batch);
        let reports: Vec<_> = take(&inbox).iter().map(|alarm| (alarm.source, alarm.reports)).collect();
        (offered, reports, inbox.take_refused().total())
    };
    // Source 1 has sent all that it may.
    assert_eq!(offer_by(&[2, 1, 2]), (Offer::Full, vec![(Some(source(2)), 2)], 1));
    assert_eq!(offer_by(&[3, 2, 3, 2]), (Offer::Taken, vec![(Some(source(3)), 4)], 0));
    assert_eq!(offer_by(&[2; 9]), (Offer::Taken, vec![(Some(source(2)), 9)], 0), "the third of source 2");
    assert_eq!(offer_by(&[2, 3]), (Offer::Full, vec![(Some(source(3)), 1)], 1));
}

/// Offers an alarm that asks for an ack, and returns what its sender hears.
fn ask(inbox: &Arc<Inbox>, vehicle_id: &str) -> Receiver<Vec<u8>> {
    let (reply_to, heard) = reply_to();
    let mut batch = BatchBuilder::new(SHEDDING);
    batch.push(&encoded(&Report { seq: Some(7), ..help(vehicle_id) }));
    batch.reply_last_to(reply_to);
    let batch = batch.seal(Stamp { time_ms: 0, first_seq: 0 }, None, &METRICS);
    AlarmFilter(inbox.clone()).offer(&batch);
    heard
}

/// Offers an alarm of each of these vehicles that asks for an ack, and counts the acks.
fn answered(inbox: &Arc<Inbox>, vehicles: &[String]) -> usize {
    let sent: Vec<_> = vehicles.iter().map(|vehicle_id| ask(inbox, vehicle_id)).collect();
    let acks = take(inbox).into_iter().flat_map(|alarm| alarm.acks);
    for ack in acks {
        ack.grant(IncidentId::from_u128(1));
    }
    sent.iter().filter(|heard| heard.try_recv().is_ok()).count()
}

#[test]
fn senders_of_datagrams_wait_up_to_a_limit_and_make_room_again() {
    let inbox = inbox();
    let fleet: Vec<_> = (0..ACK_REQUESTS_MAX + 10).map(|number| format!("bus {number}")).collect();
    for _ in 0..2 {
        assert_eq!(answered(&inbox, &fleet), ACK_REQUESTS_MAX);
    }
}

#[test]
fn a_vehicle_that_repeats_itself_all_the_time_takes_no_ack_from_others() {
    let (inbox, refused) = counting_inbox();
    let mut alarms = vec!["chatterer".to_owned(); 2 * ACK_REQUESTS_MAX];
    assert_eq!(answered(&inbox, &alarms), ACK_REQUESTS_PER_ALARM_MAX);
    assert_eq!(refused.get(), (2 * ACK_REQUESTS_MAX - ACK_REQUESTS_PER_ALARM_MAX) as u64);
    alarms.push("bus 7".to_owned());
    assert_eq!(answered(&inbox, &alarms), ACK_REQUESTS_PER_ALARM_MAX + 1);
}

#[test]
fn a_call_without_a_place_has_the_one_that_came_before_it_in_the_batch() {
    let inbox = inbox();
    let position = |lat, lon| vagn_wire::Position::new(lat, lon);
    let before = Report { emergency: false, position: position(10.0, 20.0), ..help("bus 7") };
    let zero = Report { position: position(0.0, 0.0), ..help("bus 7") };
    let place = |sent: &[Report<'_>]| {
        leave(&inbox, sent);
        let taken = take(&inbox);
        assert_eq!(taken.len(), 1);
        taken[0].before.map(|fix| (fix.position.lat(), fix.time_ms, fix.trusted))
    };
    assert_eq!(place(&[before, zero]), Some((10.0, 0, false)));
    assert_eq!(place(&[before, nowhere("bus 7")]), Some((10.0, 0, false)));
    assert_eq!(place(&[zero, before, zero]), Some((10.0, 0, false)), "a repeat may know more");
    assert_eq!(place(&[before, help("bus 7")]), None, "it has one of its own");
    assert_eq!(place(&[before, nowhere("bus 8")]), None);
    assert_eq!(place(&[zero, before]), None);
}
