use proptest::prelude::*;
use vagn_store::{Index, Plan, Updates, Writer};

use super::*;

fn coordinate(most: f64) -> impl Strategy<Value = f64> {
    prop_oneof![-most..=most, prop::sample::select(vec![-most, most, 0.0, -0.0])]
}

fn any_position() -> impl Strategy<Value = Position> {
    (coordinate(90.0), coordinate(180.0)).prop_map(|(lat, lon)| Position::new(lat, lon).unwrap())
}

fn any_id() -> impl Strategy<Value = VehicleIdBuf> {
    let uuid = any::<[u8; 16]>().prop_map(|uuid| VehicleIdBuf::from(Key::Uuid(uuid)));
    let text = prop::collection::vec("[a-zåè車]", 1..16).prop_map(|letters| letters.concat());
    let upper = Just("4E091396-62AE-4F3B-8715-7B4FC9C64D14".to_owned());
    let text = prop_oneof![4 => text, 1 => upper, 1 => Just("x".repeat(64))];
    prop_oneof![uuid, text.prop_map(|text| VehicleId::new(&text).unwrap().into())]
}

fn any_vehicle() -> impl Strategy<Value = Vehicle> {
    let amount = || prop::option::of(0.0_f32..360.0);
    let flags = any::<(bool, bool, bool)>();
    let numbers = (any::<i64>(), any::<i64>(), any::<u64>(), any::<Option<u64>>());
    (any_id(), any_position(), numbers, amount(), amount(), flags).prop_map(
        |(id, position, numbers, speed_mps, heading_deg, (emergency, own_time, unsure))| {
            let (event_time_ms, receive_time_ms, receive_seq, seq) = numbers;
            let sighting = Sighting {
                position,
                event_time_ms,
                receive_time_ms,
                receive_seq,
                seq,
                speed_mps,
                heading_deg,
                emergency,
                own_time,
                unsure,
            };
            Vehicle { id, sighting }
        },
    )
}

fn any_sight() -> impl Strategy<Value = Sight> {
    prop::sample::select(vec![Sight::Exact, Sight::Coarse])
}

fn any_question() -> impl Strategy<Value = Question> {
    let max_m = prop_oneof![Just(f64::INFINITY), 0.0..3e7];
    let nearby = (any_position(), 0..=ASKED_MAX, max_m, any::<Option<i64>>())
        .prop_map(|(center, k, max_m, newer_than_ms)| Nearby { center, k, max_m, newer_than_ms });
    let bbox = (any_position(), any_position())
        .prop_map(|(a, b)| BBox::new(a.lon(), a.lat().min(b.lat()), b.lon(), a.lat().max(b.lat())).unwrap());
    prop_oneof![
        (any_sight(), nearby).prop_map(|(sight, nearby)| Question::Nearest { sight, nearby }),
        (any_sight(), bbox, 0..=ASKED_MAX).prop_map(|(sight, bbox, limit)| Question::Inside {
            sight,
            bbox,
            limit
        }),
        (any_sight(), any_id()).prop_map(|(sight, id)| Question::One { sight, id }),
        Just(Question::Count),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let hit = (any_vehicle(), 0.0..3e7).prop_map(|(vehicle, distance_m)| Hit { vehicle, distance_m });
    prop_oneof![
        prop::collection::vec(hit, 0..20).prop_map(Answer::Nearest),
        prop::collection::vec(any_vehicle(), 0..20).prop_map(Answer::Inside),
        prop::option::of(any_vehicle()).prop_map(Answer::One),
        any::<u64>().prop_map(Answer::Count),
    ]
}

/// A way to damage bytes.
#[derive(Debug, Clone)]
enum Damage {
    Cut(prop::sample::Index),
    Add(u8),
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
}

fn any_damage() -> impl Strategy<Value = Vec<Damage>> {
    let at = any::<prop::sample::Index>;
    let damage = prop_oneof![
        at().prop_map(Damage::Cut),
        any::<u8>().prop_map(Damage::Add),
        (at(), prop_oneof![Just(0xff), any::<u8>()]).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
    ];
    prop::collection::vec(damage, 1..4)
}

fn damaged(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        match damage {
            Damage::Add(byte) => bytes.push(*byte),
            _ if bytes.is_empty() => {}
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
        }
    }
    bytes
}

fn question_bytes(question: &Question) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_question(question, &mut bytes);
    bytes
}

fn answer_bytes(answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_answer(answer, &mut bytes);
    bytes
}

/// Number of vehicles for which a list took memory.
fn room(answer: &Answer) -> usize {
    match answer {
        Answer::Nearest(hits) => hits.capacity(),
        Answer::Inside(vehicles) => vehicles.capacity(),
        Answer::One(_) | Answer::Count(_) => 0,
    }
}

fn cases() -> ProptestConfig {
    let cases = if std::env::var_os("VAGN_LONG").is_some() { 100_000 } else { 1_000 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn questions_are_read_as_they_were_written(question in any_question(), damages in any_damage()) {
        let bytes = question_bytes(&question);
        prop_assert_eq!(read_question(&bytes), Ok(question));
        for cut in 0..bytes.len() {
            prop_assert_eq!(read_question(&bytes[..cut]), Err(Damaged));
        }
        let other = damaged(&bytes, &damages);
        if let Ok(question) = read_question(&other) {
            prop_assert_eq!(question_bytes(&question), other, "a form is the only one of its value");
        }
    }

    #[test]
    fn answers_are_read_as_they_were_written(answer in any_answer(), damages in any_damage()) {
        let bytes = answer_bytes(&answer);
        prop_assert_eq!(read_answer(&bytes), Ok(answer));
        for cut in 0..bytes.len() {
            prop_assert_eq!(read_answer(&bytes[..cut]), Err(Damaged));
        }
        let other = damaged(&bytes, &damages);
        if let Ok(answer) = read_answer(&other) {
            prop_assert!(room(&answer) * VEHICLE_MIN <= 2 * other.len() + 4 * VEHICLE_MIN);
            prop_assert_eq!(answer_bytes(&answer), other, "a form is the only one of its value");
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..6_u8) {
        for bytes in [bytes.clone(), [&[VERSION, kind], &bytes[..]].concat()] {
            if let Ok(question) = read_question(&bytes) {
                prop_assert_eq!(question_bytes(&question), bytes.clone());
            }
            if let Ok(answer) = read_answer(&bytes) {
                prop_assert_eq!(answer_bytes(&answer), bytes);
            }
        }
    }
}

#[test]
fn a_number_without_its_vehicles_takes_no_memory() {
    for kind in [NEAREST, INSIDE] {
        let mut bytes = vec![VERSION, kind];
        bytes.put_u32(ASKED_MAX as u32);
        bytes.extend([0; 64]);
        assert_eq!(read_answer(&bytes), Err(Damaged));
    }
}

#[test]
fn what_asks_for_too_much_is_not_read() {
    let bbox = BBox::new(-180.0, -90.0, 180.0, 90.0).unwrap();
    for (limit, is_read) in [(ASKED_MAX, true), (ASKED_MAX + 1, false), (usize::MAX, false)] {
        let question = Question::Inside { sight: Sight::Exact, bbox, limit };
        assert_eq!(read_question(&question_bytes(&question)).is_ok(), is_read, "{limit}");
    }
}

fn sighting() -> Sighting {
    Sighting {
        position: Position::new(1.0, 2.0).unwrap(),
        event_time_ms: 5,
        receive_time_ms: 6,
        receive_seq: 7,
        seq: None,
        speed_mps: Some(12.5),
        heading_deg: None,
        emergency: false,
        own_time: true,
        unsure: false,
    }
}

/// Bytes of a question of each kind, for the corpus.
pub(crate) fn of_each_question() -> [(&'static str, Vec<u8>); 4] {
    let (sight, center) = (Sight::Exact, Position::new(59.33, -18.06).unwrap());
    let nearby = Nearby { center, k: 10, max_m: 500.0, newer_than_ms: Some(1_800_000_000_000) };
    let bbox = BBox::new(-18.0, 59.0, -17.0, 60.0).unwrap();
    let questions = [
        ("nearest", Question::Nearest { sight, nearby }),
        ("inside", Question::Inside { sight: Sight::Coarse, bbox, limit: 100 }),
        ("one", Question::One { sight, id: Key::Text("bus 7").into() }),
        ("count", Question::Count),
    ];
    questions.map(|(name, question)| (name, question_bytes(&question)))
}

/// Bytes of an answer of each kind, for the corpus.
pub(crate) fn of_each_answer() -> [(&'static str, Vec<u8>); 5] {
    let of = |id: Key<'_>| Vehicle { id: id.into(), sighting: sighting() };
    let full = Sighting { seq: Some(9), heading_deg: Some(359.5), emergency: true, ..sighting() };
    let answers = [
        ("nearest", Answer::Nearest(vec![Hit { vehicle: of(Key::Text("bus 7")), distance_m: 3.5 }])),
        (
            "inside",
            Answer::Inside(vec![of(Key::Uuid([7; 16])), Vehicle { sighting: full, ..of(Key::Text("b")) }]),
        ),
        ("one", Answer::One(Some(of(Key::Text("bus 7"))))),
        ("none", Answer::One(None)),
        ("count", Answer::Count(70)),
    ];
    answers.map(|(name, answer)| (name, answer_bytes(&answer)))
}

#[test]
fn what_no_vehicle_has_is_refused() {
    let vehicle = Vehicle { id: Key::Text("bus 7").into(), sighting: sighting() };
    let bytes = answer_bytes(&Answer::Nearest(vec![Hit { vehicle, distance_m: 3.5 }]));
    assert!(read_answer(&bytes).is_ok());
    let id = 6;
    let (lat, flags) = (id + 6, id + 6 + 5 * 8);
    let (speed, distance) = (flags + 1, flags + 5);
    assert_eq!((bytes[id], bytes[flags], bytes.len()), (5, OWN_TIME | HAS_SPEED, distance + 8));
    let refused = |at: usize, other: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + other.len()].copy_from_slice(other);
        assert_eq!(read_answer(&bytes), Err(Damaged), "{other:?} at {at}");
    };
    refused(id + 1, b"\n");
    refused(lat, &90.1_f64.to_le_bytes());
    refused(lat + 8, &f64::NAN.to_le_bytes());
    refused(flags, &[bytes[flags] | 64]);
    refused(flags, &[bytes[flags] | 128]);
    refused(speed, &f32::INFINITY.to_le_bytes());
    refused(distance, &(-1.0_f64).to_le_bytes());
    refused(distance, &f64::NAN.to_le_bytes());
}

#[test]
fn a_uuid_is_sent_in_sixteen_bytes_and_not_as_a_text() {
    let text = "4e091396-62ae-4f3b-8715-7b4fc9c64d14";
    let one = Question::One { sight: Sight::Exact, id: VehicleId::new(text).unwrap().into() };
    let bytes = question_bytes(&one);
    assert_eq!((bytes.len(), read_question(&bytes)), (3 + 1 + 16, Ok(one)));
    let as_text = [&bytes[..3], &[text.len() as u8], text.as_bytes()].concat();
    assert_eq!(read_question(&as_text), Err(Damaged));
    let upper = [&bytes[..3], &[text.len() as u8], text.to_uppercase().as_bytes()].concat();
    assert!(read_question(&upper).is_ok());
}

#[test]
fn another_version_is_refused_and_not_answered() {
    let (mut updates, mut writer) = (Updates::new(), Writer::new(Index::new(10)));
    let key = Key::Text("bus 7");
    let sighting = sighting();
    updates.push(key, key.hash(), sighting);
    writer.write(&updates, &mut Plan::default());
    let answered = |question: &[u8]| {
        let mut out = Vec::new();
        answer(question, &writer.reader(), &mut out);
        out
    };
    let mut question = question_bytes(&Question::One { sight: Sight::Exact, id: key.into() });
    let vehicle = Vehicle { id: key.into(), sighting };
    assert_eq!(read_answer(&answered(&question)), Ok(Answer::One(Some(vehicle))));
    question[0] += 1;
    assert!(answered(&question).is_empty());
    assert_eq!(read_answer(&[]), Err(Damaged));
    let mut other = answer_bytes(&Answer::Count(1));
    other[0] += 1;
    assert_eq!(read_answer(&other), Err(Damaged));
}
