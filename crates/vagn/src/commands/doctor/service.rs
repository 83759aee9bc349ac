//! The running service, if one answers on the ops port: what it misses and what it warns of. And an operator's word to it.

use std::process::ExitCode;

use serde_json::{Map, Value};
use vagn_load::ops::{Ops, Page};

use super::finding::Finding;
use crate::commands::exit::Coded;
use crate::commands::say;

/// Lists what `/readyz` of the service names. Empty if no service answers.
pub(super) fn check(ops: &str) -> Vec<Finding> {
    let page = ops.parse::<Ops>().ok().and_then(|ops| ops.get("/readyz").ok());
    page.map_or_else(Vec::new, |page| findings(&page))
}

fn findings(page: &Page) -> Vec<Finding> {
    let Ok(report) = serde_json::from_str::<Value>(&page.body) else {
        let remedy = "see which program listens there with ss -lntp";
        return vec![Finding::fail("service: what answers on the ops port is not Vagn", remedy)];
    };
    let missing = notes(&report, "missing", "see the log of the service", Finding::fail);
    let warnings = notes(&report, "warnings", "see docs/operating.md", Finding::warn);
    let findings: Vec<_> = missing.chain(warnings).collect();
    if findings.is_empty() { vec![Finding::ok("service: ready, without a warning")] } else { findings }
}

fn notes<'a>(
    report: &'a Value,
    list: &str,
    remedy: &'a str,
    level: fn(String, String) -> Finding,
) -> impl Iterator<Item = Finding> + 'a {
    let notes = report[list].as_object().into_iter().flat_map(Map::iter);
    notes.map(move |(name, why)| {
        level(format!("service: {name}: {}", why.as_str().unwrap_or_default()), remedy.into())
    })
}

/// Tells the service on the ops port that the wall clock is right.
///
/// # Errors
/// No service answers there, or it refuses.
pub(super) fn accept_clock(ops: &str) -> anyhow::Result<ExitCode> {
    let ops: Ops = ops.parse()?;
    let Page { status, body } = ops.post("/clock/accept")?;
    if status != 200 {
        return Err(Coded::software(format!("the service refused with {status}: {body}")).into());
    }
    let accepted: Value = serde_json::from_str(&body)?;
    let time = accepted["time"].as_str().unwrap_or_default();
    say(&match accepted["doubted"].as_bool() {
        Some(true) => format!("accepted: the service goes by its wall clock again, {time}\n"),
        _ => format!("nothing to accept: the service does not doubt its wall clock, {time}\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    fn levels(status: u16, body: &str) -> Vec<Level> {
        findings(&Page { status, body: body.into() }).iter().map(Finding::level).collect()
    }

    #[test]
    fn what_is_missing_fails_and_a_warning_warns() {
        let body = r#"{"ready":false,"missing":{"web":"stopped"},"warnings":{"clock":"wrong","x":"y"}}"#;
        assert_eq!(levels(503, body), [Level::Fail, Level::Warn, Level::Warn]);
        assert_eq!(levels(200, r#"{"ready":true,"missing":{},"warnings":{}}"#), [Level::Ok]);
        assert_eq!(levels(200, "hello"), [Level::Fail]);
    }
}
