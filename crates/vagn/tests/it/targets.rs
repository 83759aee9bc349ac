//! Emergency services in this process, most of which misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A notice as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) key: String,
    pub(crate) body: Value,
}

impl Heard {
    pub(crate) fn vehicle(&self) -> &str {
        self.body["vehicle_id"].as_str().unwrap()
    }

    pub(crate) fn is_of_type(&self, name: &str) -> bool {
        self.body["type"] == name
    }
}

/// Reaction to a notice. The connection is closed afterwards.
pub(crate) type Reaction = dyn Fn(&Heard, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// An emergency service that runs until the test ends.
pub(crate) struct BadTarget {
    pub(crate) url: String,
    answered: Arc<Mutex<Vec<Heard>>>,
}

impl BadTarget {
    /// Starts one that accepts all.
    pub(crate) fn accepting() -> Self {
        Self::start(|_, stream| answer(stream, 200))
    }

    pub(crate) fn start(
        reaction: impl Fn(&Heard, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1", reaction)
    }

    /// Starts one at this address, on a free port.
    pub(crate) fn start_at(
        host: &str,
        reaction: impl Fn(&Heard, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let url = format!("http://{}/calls", listener.local_addr().unwrap());
        let (reaction, answered): (Arc<Reaction>, _) = (Arc::new(reaction), Arc::new(Mutex::new(Vec::new())));
        let log = answered.clone();
        thread(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (reaction, log) = (reaction.clone(), log.clone());
                thread(move || converse(stream, &*reaction, &log));
            }
        });
        Self { url, answered }
    }

    /// Notices that it has answered, in this order.
    pub(crate) fn answered(&self) -> Vec<Heard> {
        self.answered.lock().unwrap().clone()
    }

    /// Idempotency keys of the first notices, by vehicle. Later notices have keys of their own.
    pub(crate) fn openings(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut keys = BTreeMap::<_, BTreeSet<_>>::new();
        for notice in self.answered.lock().unwrap().iter().filter(|heard| heard.is_of_type("incident.opened"))
        {
            keys.entry(notice.vehicle().to_owned()).or_default().insert(notice.key.clone());
        }
        keys
    }
}

fn thread(work: impl FnOnce() + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
    std::thread::spawn(work);
}

fn converse(mut stream: TcpStream, reaction: &Reaction, log: &Mutex<Vec<Heard>>) {
    let Some(heard) = hear(&mut stream) else { return };
    // Fails when Vagn hangs up, which is right with such a service.
    reaction(&heard, &mut stream).ok();
    log.lock().unwrap().push(heard);
}

/// Reads one notice; `None` if it is not a notice in plain HTTP.
fn hear(stream: &mut TcpStream) -> Option<Heard> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let len = stream.read(&mut chunk).ok().filter(|len| *len > 0)?;
        bytes.extend_from_slice(&chunk[..len]);
        let text = std::str::from_utf8(&bytes).ok()?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find_map(|(each, value)| each.eq_ignore_ascii_case(name).then_some(value))
        };
        if body.len() >= header("content-length")?.parse().ok()? {
            let body = serde_json::from_str(body).ok()?;
            return Some(Heard { key: header("idempotency-key")?.to_owned(), body });
        }
    }
}

/// Answers with `status` and nothing else.
pub(crate) fn answer(stream: &mut TcpStream, status: u16) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

/// Stops a process with SIGSTOP, and returns when none of its threads runs any more.
pub(crate) fn halt(pid: u64) {
    assert!(Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap().success());
    while !threads(pid).all(|state| state == "T") {
        std::thread::yield_now();
    }
}

/// Returns the state of each thread of a process as a letter (proc(5), under `/proc/pid/stat`).
fn threads(pid: u64) -> impl Iterator<Item = String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map_while(Result::ok).filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').next().map(str::to_owned)
    })
}
