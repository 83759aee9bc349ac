//! Three brokers as processes on both cores, run by `scripts/brokers`, which fetches a pinned version of them.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::machine::BOTH_CORES;
use crate::process::{Process, on_cores};

/// Script that runs them, from the root of the source.
const SCRIPT: &str = "scripts/brokers";

/// Number of brokers.
pub const BROKERS: usize = 3;

/// The brokers. The kernel ends them with the script, which is killed when this is dropped.
pub struct Brokers {
    process: Process,
    input: ChildStdin,
    /// Version of all.
    pub version: String,
    addresses: Vec<String>,
}

impl Brokers {
    /// Starts them with their stores below `dir`, and waits until they have a leader. `sync` is `always`, or the time from one sync to
    /// the next.
    ///
    /// # Errors
    /// When they cannot be fetched or do not run.
    pub fn start(dir: &Path, sync: &str) -> anyhow::Result<Self> {
        ensure!(Path::new(SCRIPT).exists(), "{SCRIPT} is missing; run the bench from the root of the source");
        let mut command = on_cores(BOTH_CORES, SCRIPT);
        command.arg("run").arg(dir).args(["--room", "24G", "--sync", sync]).stdin(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let input = process.take_input().context("speak with the script of the brokers")?;
        let mut brokers = Self { process, input, version: String::new(), addresses: Vec::new() };
        let about = brokers.answer()?;
        brokers.version = about["version"].as_str().unwrap_or("unknown").to_owned();
        let each = about["brokers"].as_array().into_iter().flatten();
        brokers.addresses = each.filter_map(|one| one["address"].as_str().map(str::to_owned)).collect();
        ensure!(brokers.addresses.len() == BROKERS, "there are {} brokers", brokers.addresses.len());
        Ok(brokers)
    }

    /// Returns their addresses, as `--nats` takes them.
    pub fn list(&self) -> String {
        self.addresses.join(",")
    }

    /// Has a command carried out, such as `kill 1`.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn order(&mut self, command: &str) -> anyhow::Result<()> {
        self.ask(command).map(|_| ())
    }

    /// Returns the processor time that those that run have used, all together, in seconds. In steps of 10 ms for each.
    ///
    /// # Errors
    /// When the script does not answer.
    pub fn cpu_s(&mut self) -> anyhow::Result<f64> {
        let said = self.ask("usage")?;
        let each = said["usage"].as_array().into_iter().flatten();
        Ok(each.filter_map(|one| one["cpu_ns"].as_f64()).sum::<f64>() / 1e9)
    }

    fn ask(&mut self, command: &str) -> anyhow::Result<Value> {
        writeln!(self.input, "{command}").context("order the brokers")?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<Value> {
        let line = self.process.line().context("run the brokers")?;
        serde_json::from_str(&line).with_context(|| format!("understand {line:?}"))
    }
}
