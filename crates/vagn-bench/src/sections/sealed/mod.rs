//! Sealed reports: the cost of opening one, the memory of a key, and what a service stores beside reports in clear.

mod opening;
mod stored;

use crate::bench::Bench;
use crate::section::{Bound, Section};
use crate::stats::{grouped, ratio, time};

use self::opening::Costs;

/// Keys of the two measurements, and the most that an accepted datagram may cost at each, in seconds.
const KEYS: [(u32, f64); 2] = [(10_000, 0.24e-6), (1_000_000, 0.4e-6)];

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(
        "What a door pays to open an envelope, on one core and in one process: each datagram is of another key than the one before, \
         in an order by chance, so that at 1 M keys hardly any is in a cache. The reports are of 91 bytes (UUID, place, `Ts`). *Forged* \
         has a wrong tag, *unknown* a key id that is not in force. A key's bytes are those of the table, its indexes included; secrets \
         are not in it.",
    );
    section.heads(&["keys", "bytes per key", "accepted", "forged", "unknown"]);
    for (keys, limit) in KEYS {
        let keys = if bench.quick { keys.min(100_000) } else { keys };
        bench.progress(format!("sealed: {keys} keys"));
        let costs = opening::measure(keys, bench.pick(5, 2))?;
        row(section, keys, limit, &costs);
    }
    section.say(
        "Below: a service on its core that knows 10 000 vehicles with keys gets reports as fast as the other core sends, each in clear and then \
         each sealed. They were made, and sealed, before the clock started, so that the sender's work is the same.",
    );
    let share = stored::measure(bench, section)?;
    section.aim("Stored/s, sealed against clear", Bound::AtLeast(0.8), share, ratio);
    section.command("vagn device add bus-7 --data-dir /var/tmp/vagn-bench --json > bus-7.key");
    section
        .command("vagn simulate --key-file bus-7.key --rate max --duration 10s --ops http://localhost:9093");
    Ok(())
}

fn row(section: &mut Section, keys: u32, limit: f64, costs: &Costs) {
    let count = grouped(f64::from(keys));
    section.row([
        count.clone(),
        grouped(costs.bytes_per_key),
        costs.accepted.show(time),
        costs.forged.show(time),
        costs.unknown.show(time),
    ]);
    section.aim(
        format!("An accepted datagram at {count} keys"),
        Bound::AtMost(limit),
        costs.accepted.median,
        time,
    );
    section.aim(format!("A forged one at {count} keys"), Bound::AtMost(limit), costs.forged.median, time);
    // At few keys the parts of the table that are begun weigh more than the keys.
    if keys >= 1_000_000 {
        section.aim(
            format!("Bytes per key at {count} keys"),
            Bound::AtMost(80.0),
            costs.bytes_per_key,
            grouped,
        );
    }
}
