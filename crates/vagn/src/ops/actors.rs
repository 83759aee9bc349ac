//! `/actors`: the process tree as JSON, with the part that each worker has in the work of its pool; in a cluster with the other nodes, as this one sees them.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use vagn_otp::{Kind, ProcessInfo};

use super::Ops;
use vagn_http::answer;
use vagn_http::problem::Problem;

/// The whole tree.
#[derive(Debug, Serialize)]
struct Tree {
    #[serde(flatten)]
    root: Node,
    /// Members, shards, brokers and calls for help; null while the node does not run. Not there on one machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Value>,
}

/// One process and the processes below it.
#[derive(Debug, Serialize)]
struct Node {
    name: String,
    path: String,
    kind: &'static str,
    state: &'static str,
    since_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mailbox: Option<Mailbox>,
    handled: u64,
    wakeups: u64,
    busy_s: f64,
    /// Part of this worker in all that the workers of its pool have handled, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    restarts: u64,
    abandoned: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_exit: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Node>,
}

#[derive(Debug, Serialize)]
struct Mailbox {
    depth: usize,
    capacity: usize,
    sent: u64,
    full: u64,
    down: u64,
    lost: u64,
    /// Age of the oldest waiting message.
    oldest_s: f64,
    /// Time since the last message was taken while others waited. It grows when the process is stuck, not when it is busy.
    stalled_s: f64,
}

/// Answers with the whole tree.
pub(super) async fn tree(State(ops): State<Ops>) -> Result<Response, Problem> {
    let list = ops.running()?.list();
    let root = children(None, &list).into_iter().next();
    let cluster = ops.cluster.as_ref().map(|show| show().unwrap_or(Value::Null));
    Ok(answer::json("application/json", &root.map(|root| Tree { root, cluster })))
}

fn children(parent: Option<&str>, list: &[ProcessInfo]) -> Vec<Node> {
    let siblings: Vec<&ProcessInfo> = list.iter().filter(|info| info.parent.as_deref() == parent).collect();
    let workers = siblings.iter().filter(|info| info.kind == Kind::Worker);
    let handled_by_all: u64 = workers.map(|info| info.handled).sum();
    siblings.iter().map(|info| node(info, handled_by_all, list)).collect()
}

fn node(info: &ProcessInfo, handled_by_all: u64, list: &[ProcessInfo]) -> Node {
    let is_worker = info.kind == Kind::Worker && handled_by_all > 0;
    Node {
        name: info.name.clone(),
        path: info.path.clone(),
        kind: info.kind.as_str(),
        state: info.state.as_str(),
        since_s: info.since.as_secs_f64(),
        mailbox: (info.mailbox_capacity > 0).then(|| mailbox(info)),
        handled: info.handled,
        wakeups: info.wakeups,
        busy_s: info.busy.as_secs_f64(),
        share: is_worker.then(|| info.handled as f64 / handled_by_all as f64),
        restarts: info.restarts,
        abandoned: info.abandoned,
        last_exit: info.last_exit.as_ref().map(ToString::to_string),
        children: children(Some(&info.path), list),
    }
}

fn mailbox(info: &ProcessInfo) -> Mailbox {
    Mailbox {
        depth: info.mailbox_depth,
        capacity: info.mailbox_capacity,
        sent: info.sent,
        full: info.full,
        down: info.down,
        lost: info.lost,
        oldest_s: info.mailbox_oldest.as_secs_f64(),
        stalled_s: info.mailbox_stalled.as_secs_f64(),
    }
}
