//! A real `vagn serve` on free ports, on its core, over its own data directory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use vagn_load::balance::Counts;
use vagn_load::exposition::samples;
use vagn_load::ops::Ops;

use crate::machine::SERVER_CORE;
use crate::process::{Process, on_cores};

/// Plan for the start of a service.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Program to start.
    pub vagn: PathBuf,
    /// Data directory of the service.
    pub data_dir: PathBuf,
    /// Cores of the service, as `taskset` takes them.
    pub cores: String,
    /// Settings as environment: `("FSYNC", "always")`.
    pub settings: Vec<(&'static str, String)>,
}

impl Plan {
    /// Plans a service on its core, over a fresh data directory with this name in `dir`.
    pub fn fresh(vagn: &Path, dir: &Path, name: &str) -> Self {
        let data_dir = dir.join(name);
        // An earlier run may have left one behind; most often there is none.
        let _removed = fs::remove_dir_all(&data_dir);
        Self { vagn: vagn.into(), data_dir, cores: SERVER_CORE.to_string(), settings: Vec::new() }
    }

    /// Adds a setting.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.settings.push((name, value.to_string()));
        self
    }

    fn command(&self) -> Command {
        let mut command = on_cores(&self.cores, &self.vagn);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VAGN_")) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (format!("VAGN_{name}"), value)));
        command.arg("serve").arg("--data-dir").arg(&self.data_dir).args(["--log-level", "error"]);
        for door in ["--udp", "--tcp", "--http", "--ops"] {
            command.args([door, "127.0.0.1:0"]);
        }
        command.stdin(Stdio::null());
        command
    }
}

/// A running service. Killed when dropped; its data directory stays.
pub struct Service {
    process: Process,
    plan: Plan,
    listeners: Vec<(String, SocketAddr)>,
    ops: Ops,
    /// Time from the start of the process until it said `ready`.
    pub ready_after: Duration,
}

impl Service {
    /// Starts a service, and waits until it says `ready`.
    ///
    /// # Errors
    /// When it does not say so.
    pub fn start(plan: Plan) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut process = Process::start(&mut plan.command())?;
        let mut listeners: Vec<(String, SocketAddr)> = Vec::new();
        loop {
            let line = process.line().context("start the service")?;
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["listening", name, address] => {
                    listeners.push((name.to_owned(), address.parse().context("read an address")?));
                }
                ["ready"] => break,
                _ => bail!("the service said {line:?}"),
            }
        }
        let ready_after = started.elapsed();
        let (_, ops) =
            listeners.iter().find(|(name, _)| name == "ops").context("there is no ops listener")?;
        let ops: Ops = ops.to_string().parse().context("read the ops address")?;
        Ok(Self { process, plan, listeners, ops, ready_after })
    }

    /// Address of a listener: udp, tcp or http.
    ///
    /// # Errors
    /// When there is none.
    pub fn address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let found = self.listeners.iter().find(|(each, _)| each == name);
        Ok(found.with_context(|| format!("there is no {name} listener"))?.1)
    }

    /// Address of its ops pages.
    pub fn ops(&self) -> &Ops {
        &self.ops
    }

    /// Returns true when it may receive several datagrams in one piece.
    pub fn merges(&self) -> bool {
        self.plan.settings.iter().any(|(name, value)| *name == "UDP_GRO" && value == "true")
    }

    /// Folder of its data.
    pub fn data_dir(&self) -> &Path {
        &self.plan.data_dir
    }

    /// Process of the service.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Reads its counters of reports.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn counts(&self) -> anyhow::Result<Counts> {
        Ok(Counts::scrape(&self.ops)?)
    }

    /// Reads its page of metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> anyhow::Result<String> {
        let page = self.ops.get("/metrics")?;
        ensure!(page.status == 200, "/metrics answered with status {}", page.status);
        Ok(page.body)
    }

    /// Reads the number of vehicles that it knows.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn vehicles(&self) -> anyhow::Result<u64> {
        Ok(samples(&self.metrics()?)
            .filter(|sample| sample.name == "vagn_vehicles")
            .map(|sample| sample.count())
            .sum())
    }

    /// Asks it to stop, and waits until it has; gives the plan to start it again over the same data.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(self) -> anyhow::Result<Plan> {
        self.process.stop()?;
        Ok(self.plan)
    }

    /// Ends it at once with SIGKILL; gives the plan to start it again over the same data.
    pub fn kill(self) -> Plan {
        let Self { plan, .. } = self;
        plan
    }
}
