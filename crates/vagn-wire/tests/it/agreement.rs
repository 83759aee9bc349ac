//! A million inputs, read by three decoders that must agree: the fast path, the general one, and `rmp-serde` with the
//! rules on top.

use std::collections::BTreeMap;
use std::fmt::Write;

use vagn_fuzz::{rounds, seeded};
use vagn_wire::{MAX_OBJECT, Reject, Report};

use crate::inputs::input;
use crate::{bodies, model};

const INPUTS: usize = 1_000_000;

/// How often each kind of answer must have come up, lest the inputs miss what is to be compared.
const EACH_AT_LEAST: usize = 50;

#[test]
fn a_million_inputs_mean_the_same_to_every_decoder() {
    let mut chance = seeded();
    let mut answers = BTreeMap::new();
    for _ in 0..rounds(INPUTS) {
        let bytes = input(&mut chance);
        *answers.entry(check(&bytes)).or_insert(0) += 1;
    }
    assert_came_up(&answers);
}

/// Compares all readings of one input and says what kind of answer it got.
fn check(bytes: &[u8]) -> &'static str {
    let decoded = vagn_wire::decode(bytes);
    let modelled = model::decode(bytes);
    assert!(same(&decoded, &modelled), "{decoded:?}\nmodel: {modelled:?}\n{}", hex(bytes));
    bodies::decode(bytes);
    check_len(bytes);
    match decoded {
        Ok(Report { position: Ok(_), emergency: false, .. }) => "report",
        Ok(Report { position: Ok(_), emergency: true, .. }) => "emergency",
        Ok(Report { position: Err(_), .. }) => "emergency without position",
        Err(reject) => reject.reason(),
    }
}

/// Equal to the bit: by `==` alone a coordinate of -0 would be one of 0.
pub(crate) fn same(decoded: &Result<Report<'_>, Reject>, modelled: &Result<Report<'_>, Reject>) -> bool {
    let bits = |answer: &Result<Report<'_>, Reject>| {
        let report = (*answer).ok();
        let extras =
            report.map(|report| [report.speed_mps, report.heading_deg].map(|it| it.map(f32::to_bits)));
        let position = answer.and_then(|report| report.position);
        (position.map(|position| (position.lat().to_bits(), position.lon().to_bits())), extras)
    };
    decoded == modelled && bits(decoded) == bits(modelled)
}

fn check_len(bytes: &[u8]) {
    let len = vagn_wire::object_len(bytes).ok().flatten();
    let modelled = model::object_len(bytes).and_then(|len| usize::try_from(len).ok());
    assert_eq!(len, modelled.filter(|len| *len <= MAX_OBJECT), "{}", hex(bytes));
}

fn assert_came_up(answers: &BTreeMap<&str, usize>) {
    eprintln!("{answers:?}");
    let found_here =
        Reject::ALL.into_iter().filter(|reject| !matches!(reject, Reject::NoFix | Reject::NoTime));
    let wanted = ["report", "emergency", "emergency without position"];
    for answer in wanted.into_iter().chain(found_here.map(Reject::reason)) {
        let count = answers.get(answer).copied().unwrap_or(0);
        assert!(count >= EACH_AT_LEAST, "{answer} came up {count} times only");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}
