//! Memory of a service per vehicle that it knows.

use serde_json::json;

use crate::bench::Bench;
use crate::load;
use crate::section::{Bound, Section};
use crate::service::Service;
use crate::stats::grouped;

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(
        "Resident memory of the whole process (`VmRSS`) after each vehicle has reported, with ids, index, queues and code in \
         it, and the same less what it takes with no vehicle at all. Then again after each has reported three more times.",
    );
    section.heads(&[
        "vehicles",
        "resident, MB",
        "bytes per vehicle",
        "beyond the empty service",
        "after three more rounds",
    ]);
    for vehicles in bench.pick([100_000, 1_000_000, 10_000_000].as_slice(), &[100_000]) {
        bench.progress(format!("memory: {vehicles}"));
        let service = Service::start(bench.fresh())?;
        let empty = service.process().rss();
        let mut fleet = load::fleet(*vehicles);
        load::warm(&service, &mut fleet, *vehicles)?;
        let rss = service.process().rss();
        let count = f64::from(*vehicles);
        let later = if *vehicles > 1_000_000 {
            None
        } else {
            (0..3).try_for_each(|_| load::warm(&service, &mut fleet, *vehicles))?;
            Some(service.process().rss())
        };
        section.row([
            json!(vehicles),
            json!(grouped(rss / 1e6)),
            json!(grouped(rss / count)),
            json!(grouped((rss - empty) / count)),
            json!(later.map_or("–".to_owned(), |rss| grouped(rss / count))),
        ]);
        if *vehicles >= 1_000_000 {
            let what = format!("Bytes of memory per vehicle at {} M", vehicles / 1_000_000);
            section.aim(what, Bound::AtMost(130.0), rss.max(later.unwrap_or(0.0)) / count, grouped);
        }
    }
    Ok(())
}
