//! What is scarce: descriptors, and the memory of answers and of output. Of a running service this tells how much is in use and left; without one, how
//! a service would divide it here.

use vagn_load::exposition::samples;
use vagn_load::ops::Ops;

use super::finding::Finding;
use crate::app::places::{Division, PortPart};
use crate::config::Settings;

/// Percentage of a port's places in use from which it is warned of: as the alert does.
const PORT_PERCENT: u64 = 80;

/// Percentage of the memory of answers from which large ones are refused.
const ANSWERS_PERCENT: u64 = 70;

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    // Targets that make no sense have a finding of their own.
    let Ok(division) = Division::of(settings) else { return Vec::new() };
    let page = settings.ops.listen.parse::<Ops>().ok().and_then(|ops| ops.get("/metrics").ok());
    match page.filter(|page| page.status == 200) {
        Some(page) => in_use(&division, &page.body),
        None => vec![planned(&division), planned_answers(settings.http.max_answer_bytes.into())],
    }
}

/// Tells by its metrics what a running service uses. What it does not tell, such as one of another version, is left out.
fn in_use(division: &Division, metrics: &str) -> Vec<Finding> {
    let ports: Vec<PortUse> =
        division.ports.iter().filter_map(|part| PortUse::read(part.port, metrics)).collect();
    let descriptors = (!ports.is_empty()).then(|| descriptors_in_use(&ports, division.kept));
    descriptors.into_iter().chain(answers_in_use(metrics)).chain(output_in_use(metrics)).collect()
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

/// Output that sockets do not take is no reason to warn: where it is full, nobody is refused.
fn output_in_use(metrics: &str) -> Option<Finding> {
    let (_, _, text) = bytes_in_use(metrics, "vagn_http_unsent_bytes")?;
    Some(Finding::ok(format!("output that clients do not take: {text}")))
}

/// Returns how much of an account is held, its limit, and both in words.
fn bytes_in_use(metrics: &str, name: &str) -> Option<(u64, u64, String)> {
    let of = |name: &str| samples(metrics).find(|sample| sample.name == name).map(|sample| sample.count());
    let held = of(name)?;
    let limit = of(&format!("{name}_limit"))?;
    let highest = of(&format!("{name}_highest")).unwrap_or(held);
    let text = format!(
        "in use {} of {}, {} left; at most {} since the start",
        mib(held),
        mib(limit),
        mib(limit.saturating_sub(held)),
        mib(highest)
    );
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

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    const METRICS: &str = "vagn_port_connections_max{port=\"http\"} 100\nvagn_port_connections_max{port=\"tcp\"} 10\n\
        vagn_port_connections{port=\"http\"} 80\nvagn_http_answer_bytes 1048576\nvagn_http_answer_bytes_highest 2621440\n\
        vagn_http_answer_bytes_limit 4194304\nvagn_http_unsent_bytes 1048576\nvagn_http_unsent_bytes_limit 1048576\n";

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
