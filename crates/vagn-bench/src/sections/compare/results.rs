//! The figures of all stores, and how they are shown beside each other.

use serde_json::{Value, json};

use super::RADIUS_M;
use crate::section::{Bound, Section};
use crate::stats::{Spread, percent, ratio, short, time};

/// Names as the table shows them; aims are measured against the rows of that name.
pub(super) const VAGN: &str = "Vagn";
pub(super) const REDIS: &str = "Redis GEO";
pub(super) const POSTGIS: &str = "PostGIS";

/// One repetition of writing.
pub(super) struct Repetition {
    pub(super) per_s: f64,
    pub(super) cpu: f64,
}

/// A row of writes.
struct Writes {
    store: &'static str,
    way: String,
    durability: &'static str,
    per_s: Spread,
    cpu: f64,
}

/// A row of questions.
pub(super) struct Answers {
    pub(super) store: &'static str,
    pub(super) question: String,
    pub(super) connections: u32,
    pub(super) per_s: f64,
    /// 50th and 99th percentile, in seconds.
    pub(super) quantiles_s: [f64; 2],
}

/// Results of all stores.
#[derive(Default)]
pub(super) struct Results {
    writes: Vec<Writes>,
    answers: Vec<Answers>,
}

impl Results {
    pub(super) fn written(
        &mut self,
        store: &'static str,
        way: String,
        durability: &'static str,
        runs: &[Repetition],
    ) {
        let per_s = Spread::of(runs.iter().map(|run| run.per_s));
        let cpu = Spread::of(runs.iter().map(|run| run.cpu)).median;
        self.writes.push(Writes { store, way, durability, per_s, cpu });
    }

    pub(super) fn answered(&mut self, answers: Answers) {
        self.answers.push(answers);
    }

    /// Writes rows, aims and the table of questions into the section.
    pub(super) fn show(&self, section: &mut Section) {
        let redis = self.best(REDIS, "1 s", "GEOADD;");
        let redis_many = self.best(REDIS, "1 s", "GEOADD of");
        let postgis = self.best(POSTGIS, "0.6 s", "");
        for write in &self.writes {
            section.row([
                json!(write.store),
                json!(write.way),
                json!(write.durability),
                json!(write.per_s.show(short)),
                json!(percent(write.cpu)),
                json!(ratio(write.per_s.median / redis)),
                json!(ratio(write.per_s.median / postgis)),
            ]);
        }
        for (way, name) in [("UDP,", "over UDP"), ("UDP with", "over UDP (`udp.gro`, full segments)")] {
            let udp = self.best(VAGN, "1 s, nothing", way);
            for (other, at_least, per_s) in [
                ("Redis GEO, pipelined", 8.0, redis),
                ("Redis GEO, 256 vehicles in each command", 8.0, redis_many),
                ("PostGIS", 25.0, postgis),
            ] {
                let aim = format!("Stored/s {name} against {other}");
                section.aim(&aim, Bound::AtLeast(at_least), udp / per_s, ratio);
            }
        }
        section.say(self.questions());
    }

    /// Vehicles per second of the best row of that store whose durability and way begin so; NaN when there is none.
    fn best(&self, store: &str, durability: &str, way: &str) -> f64 {
        self.writes
            .iter()
            .filter(|write| write.store == store)
            .filter(|write| write.durability.starts_with(durability) && write.way.starts_with(way))
            .map(|write| write.per_s.median)
            .fold(f64::NAN, f64::max)
    }

    /// A second table, in Markdown: a section has one of its own.
    fn questions(&self) -> String {
        let mut text = format!(
            "The ten nearest, asked of the same stores when nothing comes in. Vagn answers over HTTPS (`wrk`), the others in their \
             own protocols without encryption (PostGIS by `pgbench`, prepared). Redis has no k nearest: it is given a radius of \
             {RADIUS_M} m.\n\n| store | question | connections | answers/s | p50 | p99 |\n|---|---|---:|---:|---:|---:|\n"
        );
        for row in self.answers.iter().map(Answers::row) {
            let cells = row.map(|cell| cell.as_str().map_or(cell.to_string(), str::to_owned));
            text += &format!("| {} |\n", cells.join(" | "));
        }
        text + "\nAnd what they store:"
    }
}

impl Answers {
    fn row(&self) -> [Value; 6] {
        let [p50, p99] = self.quantiles_s.map(time);
        [
            json!(self.store),
            json!(self.question),
            json!(self.connections),
            json!(short(self.per_s)),
            json!(p50),
            json!(p99),
        ]
    }
}
