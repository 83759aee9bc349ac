//! The time until a report that was sent shows in an answer.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use vagn_load::pace::Rate;
use vagn_wire::{Position, Report, VehicleId};

use crate::bench::Bench;
use crate::https::Https;
use crate::load;
use crate::section::Section;
use crate::service::Service;
use crate::stats::{percentile, short, time};

/// Time after which a report that does not show counts as lost.
const SEEN_WITHIN: Duration = Duration::from_millis(500);

/// Rates of reports sent beside the ones that are looked for.
const BESIDE: [f64; 3] = [0.0, 5e3, 100e3];

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "A report is sent over UDP and asked for over one HTTPS connection, again and again, until an answer shows it. The time \
         is from before the send until that answer has been read, so that it includes a whole question and half of another. The \
         service knows {} vehicles, some of which send meanwhile. *Nearby* asks for the one nearest vehicle at the place just \
         sent, *vehicle* for the vehicle by its id.",
        bench.fleet_size()
    ));
    section.heads(&["sent beside it/s", "asked", "p50", "p99", "most", "a single question p50", "lost"]);
    let (service, mut fleet) = load::warmed(bench.fresh(), bench.vehicles())?;
    for beside in BESIDE {
        for (what, path) in [("nearby", nearby as Path), ("vehicle", vehicle)] {
            bench.progress(format!("visible: {what} beside {}", short(beside)));
            let count = bench.pick(1500, 200);
            let seen = match beside {
                0.0 => probe(&service, count, path)?,
                rate => {
                    let udp = service.address("udp")?;
                    load::while_sending(&mut fleet, udp, Rate::PerSecond(rate), true, || {
                        probe(&service, count, path)
                    })?
                    .0
                }
            };
            let Seen { mut took_s, mut asked_s, lost } = seen;
            let most = percentile(&mut took_s, 1.0);
            let [p50, p99] = [0.5, 0.99].map(|share| percentile(&mut took_s, share));
            let asked = percentile(&mut asked_s, 0.5);
            section.row([
                json!(short(beside)),
                json!(what),
                json!(time(p50)),
                json!(time(p99)),
                json!(time(most)),
                json!(time(asked)),
                json!(lost),
            ]);
        }
    }
    Ok(())
}

type Path = fn(id: &str, lat: f64, lon: f64) -> String;

fn nearby(_: &str, lat: f64, lon: f64) -> String {
    format!("/?lat={lat}&lon={lon}&k=1")
}

fn vehicle(id: &str, _: f64, _: f64) -> String {
    format!("/api/v1/vehicles/{id}")
}

/// Times of the reports that were looked for, in seconds.
struct Seen {
    took_s: Vec<f64>,
    asked_s: Vec<f64>,
    lost: u32,
}

fn probe(service: &Service, count: u32, path: Path) -> anyhow::Result<Seen> {
    let id = "00000000-0000-4000-8000-0000000000ff";
    let socket = UdpSocket::bind("127.0.0.1:0").context("bind udp socket")?;
    let udp = service.address("udp")?;
    let mut https = Https::connect(service.address("http")?)?;
    let mut chance = fastrand::Rng::new();
    let mut seen = Seen { took_s: Vec::new(), asked_s: Vec::new(), lost: 0 };
    for _ in 0..count {
        // In the South Pacific, far from all others, and a little further each time.
        let lat = -48.0 + chance.f64();
        let lon = -123.0 + chance.f64();
        let position = Position::new(lat, lon).ok().context("a place on the globe")?;
        let mut bytes = Vec::new();
        vagn_wire::encode(&Report::new(VehicleId::new(id).ok().context("an id")?, position), &mut bytes);
        let path = path(id, lat, lon);
        let wanted = lat.to_string();
        std::thread::sleep(Duration::from_micros(chance.u64(0..2000)));
        let sent = Instant::now();
        socket.send_to(&bytes, udp).context("send a report")?;
        wait(&mut https, &path, &wanted, sent, &mut seen)?;
    }
    if seen.took_s.is_empty() {
        bail!("none of the reports that were sent was ever seen");
    }
    Ok(seen)
}

fn wait(https: &mut Https, path: &str, wanted: &str, sent: Instant, seen: &mut Seen) -> anyhow::Result<()> {
    while sent.elapsed() < SEEN_WITHIN {
        let asked = Instant::now();
        let (_, body) = https.get(path)?;
        let found = body.windows(wanted.len()).any(|part| part == wanted.as_bytes());
        seen.asked_s.push(asked.elapsed().as_secs_f64());
        if found {
            seen.took_s.push(sent.elapsed().as_secs_f64());
            return Ok(());
        }
    }
    seen.lost += 1;
    Ok(())
}
