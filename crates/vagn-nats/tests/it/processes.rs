//! Three brokers as processes, run by `scripts/brokers`. They end with the test process, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Processes {
    script: Mutex<Script>,
    pub(crate) addresses: Vec<String>,
    folder: TempDir,
}

struct Script {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Script {
    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.hear.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "scripts/brokers ended: it says why above");
        serde_json::from_str(&line).unwrap()
    }
}

impl Processes {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut child = Command::new(root.join("scripts/brokers"))
            .arg("run")
            .arg(folder.path())
            .args(arguments)
            .current_dir(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, hear) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut script = Script { child, say, hear };
        let about = script.answer();
        let addresses = about["brokers"].as_array().unwrap().iter();
        let addresses = addresses.map(|broker| broker["address"].as_str().unwrap().to_owned()).collect();
        Self { script: Mutex::new(script), addresses, folder }
    }

    /// Has a command carried out, such as `kill 1`, and returns what is said of it.
    pub(crate) fn order(&self, command: &str) -> Value {
        let mut script = self.script.lock().unwrap();
        writeln!(script.say, "{command}").unwrap();
        script.answer()
    }

    /// Log of a broker.
    pub(crate) fn log(&self, broker: usize) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("n{broker}/log"))).unwrap()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // A failed order leaves the lock poisoned.
        let script = self.script.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It ends its brokers when it is asked to end.
        drop(Command::new("kill").arg(script.child.id().to_string()).status());
        drop(script.child.wait());
    }
}
