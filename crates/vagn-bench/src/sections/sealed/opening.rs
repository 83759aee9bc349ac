//! Opening in this process: many keys, a datagram of each, in an order by chance.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use vagn_load::pace::Rate;
use vagn_load::source::{Next, Source};
use vagn_seal::{Epoch, KeyId, KeyInForce, KeyTable, Lane, OVERHEAD, Secret, Secrets, SenderKey, Speaker};
use vagn_wire::VehicleId;

use crate::load;
use crate::stats::Spread;

/// Datagrams that a door gets from the kernel at once.
const RECEIVED: usize = 64;

/// Costs of a datagram in seconds, and the memory of a key.
pub(super) struct Costs {
    pub(super) bytes_per_key: f64,
    pub(super) accepted: Spread,
    pub(super) forged: Spread,
    pub(super) unknown: Spread,
}

/// Datagrams of the same length, one behind another.
struct Datagrams {
    bytes: Vec<u8>,
    each: usize,
}

/// Secrets are not measured: the service has them in its registry.
struct Elsewhere;

impl Secrets for Elsewhere {
    fn secret(&self, _: KeyId, _: Epoch) -> Option<Secret> {
        None
    }
}

/// Puts so many keys in force, and opens a datagram of each, in so many rounds.
pub(super) fn measure(keys: u32, rounds: u32) -> anyhow::Result<Costs> {
    let table = KeyTable::with_secrets(Arc::new(Elsewhere));
    let mut chance = fastrand::Rng::with_seed(u64::from(keys));
    let mut datagrams = fill(&table, keys, &mut chance)?;
    datagrams.shuffle(&mut chance);
    let bytes_per_key = table.bytes() as f64 / f64::from(keys);
    let accepted = datagrams.open(&table, rounds, true)?;
    datagrams.change(|datagram| {
        let tag = datagram.len() - 2;
        datagram[tag] ^= 1;
    });
    let forged = datagrams.open(&table, rounds, false)?;
    // Every key id is a random one, so that the complement of one is none of them.
    datagrams.change(|datagram| datagram[2..10].iter_mut().for_each(|byte| *byte = !*byte));
    let unknown = datagrams.open(&table, rounds, false)?;
    Ok(Costs { bytes_per_key, accepted, forged, unknown })
}

/// Puts a key in force for each vehicle of a fleet, and seals a report of it.
fn fill(table: &KeyTable, keys: u32, chance: &mut fastrand::Rng) -> anyhow::Result<Datagrams> {
    let mut fleet = load::timed_fleet(keys, load::now_ms());
    fleet.go_on(Rate::Max, None, None);
    let mut datagrams = Datagrams { bytes: Vec::new(), each: 0 };
    let mut report = Vec::new();
    for _ in 0..keys {
        report.clear();
        ensure!(matches!(fleet.next(Duration::ZERO, &mut report)?, Next::Report { .. }), "the fleet ended");
        let key_id = KeyId(chance.u64(..).to_be_bytes());
        let secret = Secret(std::array::from_fn(|_| chance.u8(..)));
        let vehicle_id = vagn_wire::decode(&report).map(|report| report.vehicle_id.as_str().to_owned())?;
        let speaker = Speaker::Vehicle(VehicleId::new(&vehicle_id)?);
        let sender = SenderKey::new(key_id, Epoch::FIRST, &secret);
        table.put(&KeyInForce { key_id, speaker, epochs: &[(Epoch::FIRST, secret)] });
        sender.seal(1, &report, Lane::Ordinary, &mut datagrams.bytes);
    }
    datagrams.each = report.len() + OVERHEAD;
    ensure!(datagrams.bytes.len() == datagrams.each * keys as usize, "the reports differ in length");
    Ok(datagrams)
}

impl Datagrams {
    fn len(&self) -> usize {
        self.bytes.len() / self.each
    }

    fn shuffle(&mut self, chance: &mut fastrand::Rng) {
        for at in (1..self.len()).rev() {
            let other = chance.usize(..at);
            let (before, after) = self.bytes.split_at_mut(at * self.each);
            before[other * self.each..(other + 1) * self.each].swap_with_slice(&mut after[..self.each]);
        }
    }

    fn change(&mut self, change: impl Fn(&mut [u8])) {
        self.bytes.chunks_exact_mut(self.each).for_each(change);
    }

    /// Opens all, once to warm and then in each round, and checks that each is opened or that none is. At few keys a round is
    /// repeated until it is long enough for the clock.
    fn open(&self, table: &KeyTable, rounds: u32, opens: bool) -> anyhow::Result<Spread> {
        let times = (1_000_000 / self.len()).max(1);
        let want = if opens { self.len() } else { 0 };
        ensure!(self.open_once(table) == want, "{want} of {} datagrams should be opened", self.len());
        Ok(Spread::of((0..rounds).map(|_| {
            let started = Instant::now();
            for _ in 0..times {
                black_box(self.open_once(table));
            }
            started.elapsed().as_secs_f64() / (times * self.len()) as f64
        })))
    }

    /// As a door does it: what it gets from the kernel at once is loaded first.
    fn open_once(&self, table: &KeyTable) -> usize {
        let mut buffer = Vec::with_capacity(self.each);
        let mut count = 0;
        for received in self.bytes.chunks(RECEIVED * self.each) {
            let datagrams = received.chunks_exact(self.each);
            table.load(datagrams.clone());
            count +=
                datagrams.filter(|datagram| table.open(black_box(datagram), &mut buffer).is_ok()).count();
        }
        count
    }
}
