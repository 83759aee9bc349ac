//! Three brokers as processes, run by `scripts/brokers`. They end with the test process, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::source::workspace;

pub(crate) struct Brokers {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
    addresses: Vec<String>,
    monitors: Vec<String>,
    folder: TempDir,
}

impl Brokers {
    /// Starts them, and waits until they have a leader.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts them with further arguments of the script.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut child = Command::new(workspace().join("scripts/brokers"))
            .arg("run")
            .arg(folder.path())
            .args(args)
            .current_dir(workspace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, hear) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut brokers = Self { child, say, hear, addresses: Vec::new(), monitors: Vec::new(), folder };
        let about = brokers.answer();
        let each = about["brokers"].as_array().unwrap();
        let address = |broker: &Value| broker["address"].as_str().unwrap().to_owned();
        let monitor = |broker: &Value| format!("http://127.0.0.1:{}", broker["monitor"]);
        (brokers.addresses, brokers.monitors) =
            (each.iter().map(address).collect(), each.iter().map(monitor).collect());
        brokers
    }

    /// Returns their addresses as `--nats` takes them.
    pub(crate) fn list(&self) -> String {
        self.addresses.join(",")
    }

    /// Returns the address of each.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Returns the address of each one's monitor.
    pub(crate) fn monitors(&self) -> &[String] {
        &self.monitors
    }

    /// Returns what the broker with this number, from 1 on, has logged.
    pub(crate) fn log(&self, number: u8) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("n{number}/log"))).unwrap()
    }

    /// Returns where the broker with this number stores streams.
    pub(crate) fn store(&self, number: u8) -> PathBuf {
        self.folder.path().join(format!("n{number}/store"))
    }

    /// Has a command carried out, such as `kill 1`.
    pub(crate) fn order(&mut self, command: &str) -> Value {
        writeln!(self.say, "{command}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.hear.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "scripts/brokers ended: it says why above");
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        // It ends its brokers when it is asked to end.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}
