//! PostGIS, as its packages provide it: its own cluster on the service's core, used with `psql` and `pgbench`.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::machine::SERVER_CORE;
use crate::process::{Process, on_cores};
use crate::stats::percentile;

const START_WITHIN: Duration = Duration::from_secs(30);

/// Settings that differ from a fresh cluster: memory for a million vehicles, and no checkpoint in the middle of a measurement.
const SETTINGS: [&str; 4] =
    ["shared_buffers=2GB", "max_wal_size=8GB", "checkpoint_timeout=30min", "listen_addresses="];

/// A running cluster. Killed and removed when dropped.
pub struct Postgis {
    process: Process,
    programs: PathBuf,
    dir: TempDir,
}

impl Postgis {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// When PostgreSQL or PostGIS is missing.
    pub fn start() -> anyhow::Result<Self> {
        let programs = programs()?;
        // In /var/tmp: the user postgres must reach it, and it must be on a disk.
        let dir = tempfile::Builder::new()
            .prefix("vagn-bench-")
            .tempdir_in("/var/tmp")
            .context("create a folder")?;
        let user = user();
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).context("give the folder to postgres")?;
        }
        let data = dir.path().join("data");
        let mut init = Command::new(programs.join("initdb"));
        init.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data);
        let output = as_user(&mut init, user).current_dir("/").output().context("run initdb")?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let mut command = on_cores(&SERVER_CORE.to_string(), programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(dir.path());
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        command.current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(as_user(&mut command, user))?;
        let postgis = Self { process, programs, dir };
        postgis.wait()?;
        postgis.run("CREATE EXTENSION postgis")?;
        Ok(postgis)
    }

    fn wait(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.run("SELECT 1").is_err() {
            ensure!(started.elapsed() < START_WITHIN, "postgres does not start");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn psql(&self) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.arg("-h").arg(self.dir.path()).args(["-U", "postgres", "-X", "-q", "-v", "ON_ERROR_STOP=1"]);
        command
    }

    /// Runs SQL statements.
    ///
    /// # Errors
    /// When `psql` fails.
    pub fn run(&self, sql: &str) -> anyhow::Result<()> {
        let output = self.psql().arg("-c").arg(sql).stdin(Stdio::null()).output().context("run psql")?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs the statements that `feed` writes, one after another on a new connection.
    ///
    /// # Errors
    /// When `psql` or `feed` fails.
    pub fn pipe<T>(&self, feed: impl FnOnce(&mut ChildStdin) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut command = self.psql();
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().context("run psql")?;
        let mut input = child.stdin.take().context("speak with psql")?;
        let fed = feed(&mut input);
        drop(input);
        let status = child.wait().context("wait for psql")?;
        let fed = fed?;
        ensure!(status.success(), "psql ended with {status}");
        Ok(fed)
    }

    /// Asks the script's question on so many connections; gives answers per second, and p50 and p99 in seconds.
    ///
    /// # Errors
    /// When `pgbench` fails.
    pub fn ask(&self, script: &str, connections: u32, seconds: u32) -> anyhow::Result<(f64, [f64; 2])> {
        let logs = tempfile::tempdir().context("create a folder")?;
        let file = logs.path().join("question.sql");
        fs::write(&file, script).context("write a question")?;
        let mut command = Command::new(self.programs.join("pgbench"));
        command
            .arg("-h")
            .arg(self.dir.path())
            .args(["-U", "postgres", "-n", "-M", "prepared", "-j", "1", "-l"]);
        command.args(["-c", &connections.to_string(), "-T", &seconds.to_string(), "-f"]).arg(&file);
        command.arg("--log-prefix").arg(logs.path().join("log")).arg("postgres");
        let output = command.output().context("run pgbench")?;
        ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
        let mut times = Vec::new();
        for entry in fs::read_dir(logs.path()).context("read the log of pgbench")?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("log") {
                let text = fs::read_to_string(entry.path()).context("read the log of pgbench")?;
                times.extend(text.lines().filter_map(took_s));
            }
        }
        let quantiles = [0.5, 0.99].map(|share| percentile(&mut times, share));
        Ok((times.len() as f64 / f64::from(seconds), quantiles))
    }

    /// Writes text to a pipe of `psql`.
    ///
    /// # Errors
    /// When it has ended.
    pub fn write(input: &mut ChildStdin, text: &str) -> anyhow::Result<()> {
        input.write_all(text.as_bytes()).context("write to psql")
    }
}

impl Drop for Postgis {
    fn drop(&mut self) {
        // The server's child processes end with it only when it is asked to stop: here at once, without a checkpoint.
        self.process.signal(libc::SIGQUIT);
        thread::sleep(Duration::from_millis(500));
    }
}

/// Reads a line of its log: client, number, time in microseconds, …
fn took_s(line: &str) -> Option<f64> {
    Some(line.split(' ').nth(2)?.parse::<f64>().ok()? / 1e6)
}

/// Finds the newest version that has PostGIS.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("postgresql is not installed")?;
    let mut versions: Vec<_> = versions.flatten().map(|entry| entry.file_name()).collect();
    versions.sort();
    let version =
        versions.iter().rev().find(|version| has_postgis(version)).context("postgis is not installed")?;
    Ok(Path::new("/usr/lib/postgresql").join(version).join("bin"))
}

fn has_postgis(version: &OsStr) -> bool {
    Path::new("/usr/share/postgresql").join(version).join("extension/postgis.control").exists()
}

/// Ids of the user postgres: PostgreSQL does not run as root. `None` when this process does not run as root either.
fn user() -> Option<(u32, u32)> {
    // SAFETY: a plain system call.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    Some((id("-u")?, id("-g")?))
}

fn id(flag: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, "postgres"]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

fn as_user(command: &mut Command, user: Option<(u32, u32)>) -> &mut Command {
    match user {
        Some((uid, gid)) => command.uid(uid).gid(gid),
        None => command,
    }
}
