//! The figures of all cases: rows, aims and the plot.

use serde_json::{Value, json};

use super::limit::Limit;
use super::measure::{Case, CaseResult};
use crate::section::{Axis, Bound, Plot, Section, Series};
use crate::stats::{percent, percentile, short, time};

impl CaseResult {
    /// Age at the first attempt that `share` of the notices do not exceed, in seconds.
    fn wait_s(&self, share: f64) -> f64 {
        percentile(&mut self.waits_s.clone(), share)
    }

    pub(super) fn row(&self, vehicles: usize) -> [Value; 11] {
        let Case { limit, times, steered } = self.case;
        let lost = percent(self.first_lost as f64 / vehicles as f64);
        let [offered, sent, stored, of_most] = match times {
            0.0 => ["idle", "0", "–", "–"].map(str::to_owned),
            _ => [
                format!("{times}× ({:.1}×)", self.sent_per_s / self.most),
                short(self.sent_per_s),
                short(self.stored_per_s),
                percent(self.stored_per_s / self.most),
            ],
        };
        [
            json!(limit.word()),
            json!(offered),
            json!(sent),
            json!(stored),
            json!(of_most),
            json!(if steered { "flag last" } else { "flag first" }),
            json!(format!("{} of {vehicles}", self.noticed)),
            json!(format!("{} ({lost})", self.first_lost)),
            json!(age(self.wait_s(0.5))),
            json!(age(self.wait_s(0.99))),
            json!(self.bounds_s.map(|bound| format!("≤ {}", time(bound))).join(", ")),
        ]
    }
}

/// Shows an age, which is known in whole milliseconds.
fn age(seconds: f64) -> String {
    if seconds < 0.001 { "< 1 ms".to_owned() } else { time(seconds) }
}

pub(super) fn aims(section: &mut Section, results: &[CaseResult], vehicles: usize) {
    let loaded: Vec<_> = results.iter().filter(|result| result.case.times > 0.0).collect();
    let least = loaded.iter().map(|result| result.stored_per_s / result.most).fold(f64::NAN, f64::min);
    section.aim("Overload: stored/s at worst, of the maximum", Bound::AtLeast(0.9), least, percent);
    for (steered, layout) in [(true, "flag last, as docs/wire.md asks for"), (false, "flag first")] {
        let of = results.iter().filter(|result| result.case.steered == steered);
        let missed: usize = of.map(|result| vehicles - result.noticed.min(vehicles)).sum();
        let what = format!("Emergencies not called, in all cases together ({layout})");
        section.aim(what, Bound::AtMost(0.0), missed as f64, short);
    }
    for (limit, how) in [(Limit::Store, "slow store"), (Limit::Service, "slow service")] {
        let of = loaded.iter().filter(|result| result.case.steered && result.case.limit == limit);
        let worst = of.map(|result| result.wait_s(0.99)).fold(f64::NAN, f64::max);
        let what = format!("Receive → first attempt under overload ({how}), p99");
        section.aim(what, Bound::AtMost(0.05), worst, age);
    }
    let idle = results.iter().filter(|result| result.case.limit == Limit::None);
    let worst = idle.map(|result| result.wait_s(0.99)).fold(f64::NAN, f64::max);
    section.aim("Receive → first attempt idle, p99", Bound::AtMost(0.005), worst, age);
}

pub(super) fn plot(results: &[CaseResult]) -> Plot {
    Plot {
        title: "Calls for help under overload".to_owned(),
        x: Axis { label: "times the maximum of the limited service".to_owned(), log: false },
        y: Axis { label: "receive → first attempt, ms".to_owned(), log: false },
        series: vec![
            series(results, "slow service, p50", Limit::Service, 0.5),
            series(results, "slow service, p99", Limit::Service, 0.99),
            series(results, "slow store, p50", Limit::Store, 0.5),
            series(results, "slow store, p99", Limit::Store, 0.99),
        ],
    }
}

fn series(results: &[CaseResult], name: &str, limit: Limit, share: f64) -> Series {
    let of = results.iter().filter(|result| result.case.limit == limit && result.case.steered);
    Series {
        name: name.to_owned(),
        points: of.map(|result| [result.case.times, 1e3 * result.wait_s(share)]).collect(),
    }
}
