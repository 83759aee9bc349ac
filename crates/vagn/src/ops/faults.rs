//! `POST /actors/{name}/fault?kind=panic|hang` makes a process fail, to test its restart. Only where the setting
//! `ops.fault_injection` allows it.

use axum::extract::State;
use axum::http::StatusCode;
use tracing::warn;
use vagn_otp::{Fault, Processes};

use super::Ops;
use vagn_http::params::{InPath, Params};
use vagn_http::problem::{Kind, Problem};

/// Makes a process fail at its next message, job or turn. The process is named by its name, or by its path with `%2F` for `/`,
/// with or without the root, as in `/actors` or in the metrics.
pub(super) async fn inject(
    State(ops): State<Ops>,
    InPath(name): InPath,
    params: Params,
) -> Result<StatusCode, Problem> {
    if !ops.fault_injection {
        return Err(Problem::new(
            Kind::Forbidden,
            "faults are injected only where ops.fault_injection = true",
        ));
    }
    let fault = fault(&params)?;
    let processes = ops.running()?;
    if !processes.inject(&name, fault) && !inject_below_root(processes, &name, fault) {
        return Err(Problem::new(
            Kind::NotFound,
            format!("no process {name:?} that could fail; see /actors"),
        ));
    }
    warn!(process = name, ?fault, "a fault was injected");
    Ok(StatusCode::ACCEPTED)
}

fn inject_below_root(processes: &Processes, name: &str, fault: Fault) -> bool {
    let list = processes.list();
    list.first().is_some_and(|root| processes.inject(&format!("{}/{name}", root.name), fault))
}

fn fault(params: &Params) -> Result<Fault, Problem> {
    params.only(&["kind"])?;
    match params.one("kind")? {
        Some("panic") => Ok(Fault::Panic),
        Some("hang") => Ok(Fault::Hang),
        _ => Err(Problem::parameter("kind", "`kind` must be panic or hang")),
    }
}
