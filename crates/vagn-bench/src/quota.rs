//! Makes a service slow on purpose: limits it to a share of one core, by a control group (v1 or v2).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Processor time per period, in microseconds: the least that the kernel accepts. The shorter the period, the less the wait
/// for its end adds to every latency.
const QUOTA_US: u32 = 1_000;

/// Folders of the controllers, in both versions.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"];

/// A control group, removed when dropped.
#[derive(Debug)]
pub struct Quota {
    dir: PathBuf,
}

impl Quota {
    /// Limits a process, with all its threads, to 1 ms of processor time in each `period_us`.
    ///
    /// # Errors
    /// When this user may not, or there is no controller for processor time.
    pub fn process(pid: u32, period_us: u32) -> anyhow::Result<Self> {
        let quota = Self::new(pid, period_us)?;
        quota.write("cgroup.procs", &pid.to_string())?;
        Ok(quota)
    }

    /// Limits those threads of a process whose names begin with one of `names`, all of them together.
    ///
    /// # Errors
    /// As above; and with control groups of version 2, which take no single threads here.
    pub fn threads(pid: u32, names: &[&str], period_us: u32) -> anyhow::Result<Self> {
        let quota = Self::new(pid, period_us)?;
        for thread in fs::read_dir(format!("/proc/{pid}/task")).context("list threads")?.flatten() {
            let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            if names.iter().any(|wanted| name.starts_with(wanted)) {
                quota.write("tasks", &thread.file_name().to_string_lossy())?;
            }
        }
        Ok(quota)
    }

    fn new(pid: u32, period_us: u32) -> anyhow::Result<Self> {
        let name = format!("vagn-bench-{pid}");
        let [first, second] = ROOTS.map(Path::new);
        let (dir, settings) = if first.join("cpu.cfs_quota_us").exists() {
            let settings = vec![
                ("cpu.cfs_period_us", period_us.to_string()),
                ("cpu.cfs_quota_us", QUOTA_US.to_string()),
            ];
            (first.join(name), settings)
        } else if second.join("cgroup.controllers").exists() {
            (second.join(name), vec![("cpu.max", format!("{QUOTA_US} {period_us}"))])
        } else {
            bail!("there is no control group for processor time")
        };
        fs::create_dir(&dir).with_context(|| format!("create control group {}", dir.display()))?;
        let quota = Self { dir };
        for (file, value) in settings {
            quota.write(file, &value)?;
        }
        Ok(quota)
    }

    fn write(&self, file: &str, value: &str) -> anyhow::Result<()> {
        fs::write(self.dir.join(file), value).with_context(|| format!("set {file} to {value}"))
    }
}

impl Drop for Quota {
    /// Moves its members back to the parent group. A group that cannot be removed is left behind, and does no harm.
    fn drop(&mut self) {
        let Some(parent) = self.dir.parent() else { return };
        for list in ["tasks", "cgroup.procs"] {
            let members = fs::read_to_string(self.dir.join(list)).unwrap_or_default();
            for member in members.lines() {
                let _moved = fs::write(parent.join(list), member);
            }
        }
        let _removed = fs::remove_dir(&self.dir);
    }
}
