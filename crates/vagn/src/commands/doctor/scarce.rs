//! What is scarce: descriptors, the memory of answers, bodies and output, places for incidents and streams, slots of targets. Of a running
//! service this tells how much is in use and left; without one, how a service would divide it here.

use vagn_load::exposition::samples;
use vagn_load::ops::Ops;

use super::finding::Finding;
use crate::app::places::{Division, PortPart};
use crate::config::Settings;
use crate::visible::quoted;

/// Percentage of a port's places in use from which it is warned of: as the alert does.
const PORT_PERCENT: u64 = 80;

/// Percentage of the memory of answers from which large ones are refused.
const ANSWERS_PERCENT: u64 = 70;

/// Percentage of the memory of bodies from which only small ones are taken.
const BODIES_PERCENT: u64 = 87;

/// Percentage of the places for incidents in use from which it is warned of: as the service does.
const PLACES_PERCENT: u64 = 80;

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    // Targets that make no sense have a finding of their own.
    let Ok(division) = Division::of(settings) else { return Vec::new() };
    let page = settings.ops.listen.parse::<Ops>().ok().and_then(|ops| ops.get("/metrics").ok());
    match page.filter(|page| page.status == 200) {
        Some(page) => in_use(&division, &page.body),
        None => {
            vec![
                planned(&division),
                planned_answers(settings.http.max_answer_bytes.into()),
                planned_places(settings),
            ]
        }
    }
}

/// Tells by its metrics what a running service uses. What it does not tell, such as one of another version, is left out.
fn in_use(division: &Division, metrics: &str) -> Vec<Finding> {
    let ports: Vec<PortUse> =
        division.ports.iter().filter_map(|part| PortUse::read(part.port, metrics)).collect();
    let descriptors = (!ports.is_empty()).then(|| descriptors_in_use(&ports, division.kept));
    let places = [incidents_in_use(metrics), streams_in_use(metrics), slots_in_use(metrics)];
    let memory = [answers_in_use(metrics), bodies_in_use(metrics), output_in_use(metrics)];
    descriptors.into_iter().chain(memory.into_iter().flatten()).chain(places.into_iter().flatten()).collect()
}

/// Returns the value of a metric without labels.
fn value(metrics: &str, name: &str) -> Option<u64> {
    samples(metrics).find(|sample| sample.name == name).map(|sample| sample.count())
}

/// Places of one port.
struct PortUse {
    port: &'static str,
    open: u64,
    most: u64,
}

impl PortUse {
    fn read(port: &'static str, metrics: &str) -> Option<Self> {
        let of = |name| {
            let mut all = samples(metrics).filter(|sample| sample.name == name);
            all.find(|sample| sample.label("port") == Some(port)).map(|sample| sample.count())
        };
        // A port that never had a connection shows none.
        Some(Self {
            port,
            open: of("vagn_port_connections").unwrap_or(0),
            most: of("vagn_port_connections_max")?,
        })
    }

    fn text(&self) -> String {
        let Self { port, open, most } = self;
        format!("{port} {open} of {most} places, {} left", most.saturating_sub(*open))
    }
}

fn descriptors_in_use(ports: &[PortUse], kept: u64) -> Finding {
    let texts: Vec<String> = ports.iter().map(PortUse::text).collect();
    let what =
        format!("descriptors: in use {}; {kept} set apart for log, stores and calls", texts.join("; "));
    if ports.iter().all(|port| port.open * 100 <= port.most * PORT_PERCENT) {
        return Finding::ok(what);
    }
    Finding::warn(
        what,
        "find out who holds the connections with ss -tnp; see VagnPortFull in docs/operating.md",
    )
}

fn answers_in_use(metrics: &str) -> Option<Finding> {
    let (held, limit, text) = bytes_in_use(metrics, "vagn_http_answer_bytes")?;
    let what = format!("answers: {text}");
    if held * 100 < limit * ANSWERS_PERCENT {
        return Some(Finding::ok(what));
    }
    let remedy = "large answers are refused: find the clients that do not take theirs, or raise `http.max_answer_bytes`";
    Some(Finding::warn(what, remedy))
}

fn bodies_in_use(metrics: &str) -> Option<Finding> {
    let (held, limit, text) = bytes_in_use(metrics, "vagn_http_body_bytes")?;
    let what = format!("bodies: {text}");
    if held * 100 < limit * BODIES_PERCENT {
        return Some(Finding::ok(what));
    }
    Some(Finding::warn(
        what,
        "all but small bodies are refused: find the clients that send theirs slowly; see VagnBodiesRefused in docs/operating.md",
    ))
}

fn incidents_in_use(metrics: &str) -> Option<Finding> {
    let all = value(metrics, "vagn_emergency_places")?;
    let left = value(metrics, "vagn_emergency_places_left")?;
    let strangers = value(metrics, "vagn_emergency_stranger_places_left")?;
    let open = all.saturating_sub(left);
    let what = format!(
        "places for incidents: in use {open} of {all}, {left} left, {strangers} of them for strangers"
    );
    if left * 100 >= all * (100 - PLACES_PERCENT) {
        return Some(Finding::ok(what));
    }
    Some(Finding::warn(
        what,
        "end what is over, such as with `vagn resolve --standing stranger`, or raise `max_open_incidents`",
    ))
}

fn streams_in_use(metrics: &str) -> Option<Finding> {
    let kinds = [
        ("incidents", "vagn_incident_streams"),
        ("positions", "vagn_position_streams"),
        ("shares", "vagn_share_streams"),
    ];
    let uses = kinds.iter().filter_map(|(kind, name)| {
        Some((*kind, value(metrics, name)?, value(metrics, &format!("{name}_max"))?))
    });
    in_use_of_each(
        "streams",
        "places",
        uses,
        "find out who follows; see VagnStreamsRefused in docs/operating.md",
    )
}

fn slots_in_use(metrics: &str) -> Option<Finding> {
    let slots = samples(metrics).filter(|sample| sample.name == "vagn_emergency_slots");
    let uses = slots.filter_map(|most| {
        let target = most.label("target")?;
        let mut all = samples(metrics).filter(|sample| sample.name == "vagn_emergency_slots_in_use");
        let in_use = all.find(|sample| sample.label("target") == Some(target))?;
        Some((target, in_use.count(), most.count()))
    });
    in_use_of_each(
        "attempts under way",
        "slots",
        uses,
        "the target answers slowly or not at all: ask who runs it, or raise `concurrency`",
    )
}

/// Tells of several accounts of one sort how much is in use; warns when one of them is used up.
fn in_use_of_each<'a>(
    what: &str,
    of: &str,
    uses: impl Iterator<Item = (&'a str, u64, u64)>,
    remedy: &str,
) -> Option<Finding> {
    let uses: Vec<_> = uses.collect();
    let texts: Vec<String> = uses
        .iter()
        .map(|(name, open, most)| {
            format!("{} {open} of {most} {of}, {} left", quoted(name), most.saturating_sub(*open))
        })
        .collect();
    let what = format!("{what}: in use {}", texts.join("; "));
    let is_used_up = uses.iter().any(|(_, open, most)| open >= most);
    let finding = || if is_used_up { Finding::warn(what, remedy) } else { Finding::ok(what) };
    (!uses.is_empty()).then(finding)
}

/// Output that sockets do not take is no reason to warn: where it is full, nobody is refused.
fn output_in_use(metrics: &str) -> Option<Finding> {
    let (_, _, text) = bytes_in_use(metrics, "vagn_http_unsent_bytes")?;
    Some(Finding::ok(format!("output that clients do not take: {text}")))
}

/// Returns how much of an account is held, its limit, and both in words.
fn bytes_in_use(metrics: &str, name: &str) -> Option<(u64, u64, String)> {
    let held = value(metrics, name)?;
    let limit = value(metrics, &format!("{name}_limit"))?;
    let mut text =
        format!("in use {} of {}, {} left", mib(held), mib(limit), mib(limit.saturating_sub(held)));
    if let Some(highest) = value(metrics, &format!("{name}_highest")) {
        text += &format!("; at most {} since the start", mib(highest));
    }
    Some((held, limit, text))
}

/// Tells how a service would divide the descriptors that this process may have.
fn planned(division: &Division) -> Finding {
    let Division { limit, kept, ports } = division;
    let places: Vec<String> = ports.iter().map(|part| format!("{} for {}", part.places, part.port)).collect();
    let what = format!(
        "descriptors: {limit}; {kept} set apart for log, stores and calls, {}; {} left",
        places.join(", "),
        division.left()
    );
    let short: Vec<String> = ports.iter().filter(|part| part.places < part.wanted).map(lacking).collect();
    if short.is_empty() {
        return Finding::ok(what);
    }
    let remedy =
        format!("{}: raise the limit of open files (LimitNOFILE=, ulimit -n), or lower it", short.join(", "));
    Finding::warn(what, remedy)
}

fn lacking(PortPart { port, setting, wanted, .. }: &PortPart) -> String {
    match setting {
        Some(setting) => format!("`{setting}` is {wanted}"),
        None => format!("{port} wants {wanted}"),
    }
}

fn planned_answers(limit: u64) -> Finding {
    Finding::ok(format!("answers: up to {} at once", mib(limit)))
}

fn planned_places(settings: &Settings) -> Finding {
    Finding::ok(format!("places for incidents: {}", settings.max_open_incidents))
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    const METRICS: &str = "vagn_port_connections_max{port=\"http\"} 100\nvagn_port_connections_max{port=\"tcp\"} 10\n\
        vagn_port_connections{port=\"http\"} 80\nvagn_http_answer_bytes 1048576\nvagn_http_answer_bytes_highest 2621440\n\
        vagn_http_answer_bytes_limit 4194304\nvagn_http_unsent_bytes 1048576\n\
        vagn_http_unsent_bytes_highest 1048576\nvagn_http_unsent_bytes_limit 1048576\n";

    /// Places, and memory of bodies.
    const PLACES: &str = "vagn_http_body_bytes 1048576\nvagn_http_body_bytes_limit 83886080\n\
        vagn_emergency_places 1000\nvagn_emergency_places_left 201\nvagn_emergency_stranger_places_left 7\n\
        vagn_incident_streams 3\nvagn_incident_streams_max 256\nvagn_position_streams 1999\nvagn_position_streams_max 2000\n\
        vagn_emergency_slots{target=\"primary\"} 64\nvagn_emergency_slots{target=\"a b\"} 8\n\
        vagn_emergency_slots_in_use{target=\"a b\"} 7\nvagn_emergency_slots_in_use{target=\"primary\"} 0\n";

    #[test]
    fn places_of_incidents_streams_and_targets_are_told_and_warned_of() {
        let found = |metrics: &str| in_use(&division(4_096), metrics);
        let said: Vec<_> = found(PLACES).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "ok    bodies: in use 1.0 MiB of 80.0 MiB, 79.0 MiB left\n",
                "ok    places for incidents: in use 799 of 1000, 201 left, 7 of them for strangers\n",
                "ok    streams: in use incidents 3 of 256 places, 253 left; positions 1999 of 2000 places, 1 left\n",
                "ok    attempts under way: in use primary 0 of 64 slots, 64 left; \"a b\" 7 of 8 slots, 1 left\n",
            ]
        );
        for (at, (from, to)) in [
            ("body_bytes 1048576", "body_bytes 73400320"),
            ("places_left 201", "places_left 199"),
            ("position_streams 1999", "position_streams 2000"),
            ("\"a b\"} 7", "\"a b\"} 8"),
        ]
        .iter()
        .enumerate()
        {
            let found = found(&PLACES.replacen(from, to, 1));
            let warned: Vec<_> = found.iter().map(|finding| finding.level() == Level::Warn).collect();
            assert_eq!(warned, (0..4).map(|number| number == at).collect::<Vec<_>>(), "{to}");
        }
    }

    fn division(limit: u64) -> Division {
        Division::within(limit, &Settings::default()).unwrap()
    }

    #[test]
    fn a_running_service_tells_what_is_in_use_and_left() {
        let said = |metrics: &str| -> Vec<String> {
            in_use(&division(4_096), metrics).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            said(METRICS),
            [
                "ok    descriptors: in use http 80 of 100 places, 20 left; tcp 0 of 10 places, 10 left; 128 set apart for log, stores and calls\n",
                "ok    answers: in use 1.0 MiB of 4.0 MiB, 3.0 MiB left; at most 2.5 MiB since the start\n",
                "ok    output that clients do not take: in use 1.0 MiB of 1.0 MiB, 0.0 MiB left; at most 1.0 MiB since the start\n",
            ]
        );
        assert_eq!(said("vagn_vehicles 7\n"), [""; 0], "another version tells nothing of it");
    }

    #[test]
    fn little_that_is_left_warns() {
        let levels = |metrics: &str| -> Vec<Level> {
            in_use(&division(4_096), metrics).iter().map(Finding::level).collect()
        };
        assert_eq!(levels(&METRICS.replace("\"} 80\n", "\"} 81\n")), [Level::Warn, Level::Ok, Level::Ok]);
        let much = METRICS.replace("answer_bytes 1048576", "answer_bytes 3145728");
        assert_eq!(levels(&much), [Level::Ok, Level::Warn, Level::Ok]);
    }

    #[test]
    fn without_a_service_it_tells_how_one_would_divide() {
        let plenty = planned(&division(1_048_576)).to_string();
        assert_eq!(
            plenty,
            "ok    descriptors: 1048576; 128 set apart for log, stores and calls, 64 for ops, 8192 for http, 8192 for tcp; 1031864 left\n"
        );
        let few = planned(&division(1_024));
        assert_eq!(few.level(), Level::Warn);
        assert!(
            few.to_string().contains("`http.max_connections` is 8192, `tcp.max_connections` is 8192: raise"),
            "{few}"
        );
    }
}
