//! The live map: what a tile takes, and what those who look at the map cost those who report.

mod floor;
mod tiles;
mod viewers;

use serde_json::json;
use vagn_load::Fleet;
use vagn_load::pace::Rate;

use crate::bench::Bench;
use crate::load::{self, Load, Outcome};
use crate::section::{Bound, Section};
use crate::service::Service;
use crate::stats::{Spread, percent, ratio, short, time};
use viewers::{Answers, Audience, Viewers};

/// Rate of reports beside the tiles: a fleet of 1 M that reports every ten seconds.
const MOVING: f64 = 100e3;

/// Rate of reports beside the viewers of one area.
const QUIET: f64 = 5e3;

/// Audience whose cost in stored reports is measured.
const CROWD: Audience = Audience { maps: 200, streams: 1_000 };

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "Of {} vehicles, {} report each second. A *tile* is asked for over one HTTPS connection at the begin of a second, when it \
         has to be made anew, and once more right after, when it is there; both times are those of the whole question. A *map* \
         asks for six tiles each second, a *stream* follows a box of half a degree, each on an HTTP/2 connection of its own, as a \
         browser has. Maps and streams share their core with the sender of reports. A *bare sender* has the service's core, too: it \
         knows nothing but its connections, and writes to each of them once a second as many bytes as a viewer of the service gets.",
        bench.fleet_size(),
        short(MOVING)
    ));
    section.heads(&["measured", "figure", "beside"]);
    let (service, mut fleet) = load::warmed(bench.fresh(), bench.vehicles())?;
    let place = load::places(&mut fleet, 1)?[0];
    let mut watched = Watched { bench, service, fleet, place };
    watched.show_tiles(section)?;
    watched.show_one_area(section)?;
    watched.show_crowd(section)
}

/// A fleet that reports, and a place in it that is looked at.
struct Watched<'a> {
    bench: &'a Bench,
    service: Service,
    fleet: Fleet,
    place: (f64, f64),
}

/// Cost of an audience.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Share of a core that the service uses.
    cpu: f64,
    /// Bytes that each viewer gets.
    bytes_per_s: f64,
}

impl Watched<'_> {
    fn show_tiles(&mut self, section: &mut Section) -> anyhow::Result<()> {
        let Self { bench, service, fleet, place } = self;
        bench.progress("map: tiles");
        let rate = Rate::PerSecond(MOVING);
        let work = || tiles::measure(service, *place, bench.pick(30, 5));
        let (tiles, _) = load::while_sending(fleet, service.address("udp")?, rate, true, work)?;
        for tile in &tiles {
            let figure = format!(
                "{} anew, {} once more; {}B",
                time(tile.anew_s),
                time(tile.again_s),
                short(tile.bytes as f64)
            );
            section.row([json!(format!("tile {}", tile.name)), json!(figure), json!(short(MOVING))]);
        }
        section.aim("tile z 0, made anew, p50", Bound::AtMost(1e-3), tiles[0].anew_s, time);
        Ok(())
    }

    /// CPU of the service for one viewer and for many of the same area.
    fn show_one_area(&mut self, section: &mut Section) -> anyhow::Result<()> {
        let one_and_many = |of: fn(u32) -> Audience| [of(1), of(1_000)];
        let stream = one_and_many(|streams| Audience { maps: 0, streams });
        let map = one_and_many(|maps| Audience { maps, streams: 0 });
        for (what, audiences, rate) in [("stream", stream, QUIET), ("map", map, QUIET), ("map", map, MOVING)]
        {
            let [one, many] = audiences.map(|audience| self.show_audience(section, what, audience, rate));
            let (one, many) = (one?, many?);
            section.aim(
                format!("CPU of 1 000 {what}s over that of one, beside {} reports/s", short(rate)),
                Bound::AtMost(2.0),
                many.cpu / one.cpu,
                ratio,
            );
            if rate == QUIET {
                self.show_floor(section, what, audiences[1], many)?;
            }
        }
        Ok(())
    }

    /// Shows what a sender uses that does nothing but send as much to as many.
    fn show_floor(
        &mut self,
        section: &mut Section,
        what: &str,
        audience: Audience,
        many: Cost,
    ) -> anyhow::Result<()> {
        let Self { bench, service, .. } = self;
        bench.progress(format!("map: a bare sender beside {} {what}s", audience.len()));
        let cpu = floor::measure(service, audience.len(), many.bytes_per_s, bench.pick(10.0, 3.0))?;
        let name = format!("bare sender of as much as {} {what}s get", audience.len());
        let figure = format!("{} of a core; {}B/s each, in one write", percent(cpu), short(many.bytes_per_s));
        section.row([json!(name), json!(figure), json!("")]);
        Ok(())
    }

    /// Returns what the service uses for an audience beside a rate of reports.
    fn show_audience(
        &mut self,
        section: &mut Section,
        what: &str,
        audience: Audience,
        rate: f64,
    ) -> anyhow::Result<Cost> {
        let Self { bench, service, fleet, place } = self;
        bench.progress(format!("map: {} {what}s of one area, {}/s", audience.len(), short(rate)));
        let viewers = Viewers::open(service, *place, audience)?;
        let load =
            Load { rate: Rate::PerSecond(rate), seconds: bench.pick(10.0, 3.0), segments: rate > QUIET };
        let outcome = load::measure(service, fleet, load)?;
        let Answers { bytes, refused } = viewers.close()?;
        let bytes_per_s = bytes / load.seconds / f64::from(audience.len());
        let name = format!("{} {what}s of one area", audience.len());
        let cpu = percent(outcome.cpu);
        let figure = format!("{cpu} of a core; {}B/s each; {refused} tiles refused", short(bytes_per_s));
        section.row([json!(name), json!(figure), json!(short(rate))]);
        Ok(Cost { cpu: outcome.cpu, bytes_per_s })
    }

    /// Reports stored per second at full load, unwatched and with a crowd, in turn.
    fn show_crowd(&mut self, section: &mut Section) -> anyhow::Result<()> {
        let Self { bench, service, fleet, place } = self;
        let load = Load { rate: Rate::Max, seconds: bench.pick(6.0, 2.0), segments: true };
        let (mut alone, mut watched) = (Vec::new(), Vec::new());
        for _ in 0..bench.repetitions() {
            bench.progress("map: full load, alone and watched");
            alone.push(load::measure(service, fleet, load)?);
            let viewers = Viewers::open(service, *place, CROWD)?;
            watched.push(load::measure(service, fleet, load)?);
            viewers.close()?;
        }
        let spread = |of: fn(&Outcome) -> f64| {
            [&alone, &watched].map(|runs| Spread::of(runs.iter().map(of).collect::<Vec<_>>()))
        };
        let [sent_alone, sent_watched] = spread(|run| run.sent_per_s);
        let [alone, watched] = spread(|run| run.stored_per_s);
        let name = format!("stored/s beside {} maps and {} streams", CROWD.maps, CROWD.streams);
        for (name, stored, sent) in
            [("stored/s, unwatched".to_owned(), &alone, sent_alone), (name, &watched, sent_watched)]
        {
            let beside = format!("{} sent/s", short(sent.median));
            section.row([json!(name), json!(stored.show(short)), json!(beside)]);
        }
        section.aim(
            "stored/s with that crowd over alone",
            Bound::AtLeast(0.95),
            watched.median / alone.median,
            ratio,
        );
        Ok(())
    }
}
