//! The machine, the commit and the day, as they are shown beside every figure; and the use of the cores.

use std::fs;
use std::io;
use std::mem;
use std::process::Command;

use anyhow::Context;

use crate::section::Measured;

/// Core of the service.
pub const SERVER_CORE: usize = 0;

/// Core of everything that sends and asks.
pub const CLIENT_CORE: usize = 1;

/// Both of them, as `taskset` takes them.
pub const BOTH_CORES: &str = "0,1";

/// Makes the stamp of figures that are measured now.
pub fn stamp(quick: bool) -> Measured {
    Measured { commit: commit(), date: date(), machine: machine(), quick }
}

fn commit() -> String {
    let head = said("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    // Files that the bench itself writes do not change the program that is measured.
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs"]);
    if changed.is_some_and(|changed| !changed.is_empty()) { head + " with changes" } else { head }
}

fn date() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

fn machine() -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from).max(online());
    let kib: f64 = field("/proc/meminfo", "MemTotal")
        .and_then(|total| total.split(' ').next()?.parse().ok())
        .unwrap_or(0.0);
    let kernel = said("uname", &["-sr"]).unwrap_or_default();
    let rust = said("rustc", &["--version"]).unwrap_or_default();
    let rust = rust.split(' ').take(2).collect::<Vec<_>>().join(" ");
    format!("{cpu}, {cores} cores, {:.0} GiB, {kernel}, {rust}", kib / 1024.0 / 1024.0)
}

/// Number of cores of the machine, also of those that this process may not use.
fn online() -> usize {
    fs::read_to_string("/proc/cpuinfo").map_or(1, |text| text.matches("processor\t").count())
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Keeps this process, and by default the processes that it starts, on one core.
///
/// # Errors
/// When there is no such core.
pub fn pin(core: usize) -> anyhow::Result<()> {
    // SAFETY: a set of cores is plain data for which all zeros is the empty set; `CPU_SET` checks its bounds.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        set
    };
    // SAFETY: `set` lives for the call, and its size is the one given.
    let done = unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error()).with_context(|| format!("move to core {core}"))
    }
}
