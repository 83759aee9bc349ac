//! Processes that are measured: started on their core, watched through `/proc`, and killed when dropped.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Longest wait for a process to end after it was asked to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A child process. Killed when dropped.
pub struct Process {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

/// Makes a command whose program is bound to these cores: `0`, or `0,1`.
pub fn on_cores(cores: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cores).arg(program);
    command
}

fn end_with_parent() -> io::Result<()> {
    // SAFETY: a plain system call without pointers.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Process {
    /// Starts the command, with its standard output to be read. The process ends with the calling thread, however that ends.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        command.stdout(Stdio::piped());
        // SAFETY: runs in the child between fork and exec, and makes a single system call.
        unsafe { command.pre_exec(end_with_parent) };
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let stdout = child.stdout.take().map(BufReader::new);
        Ok(Self { child, stdout })
    }

    /// Waits for the next line that it prints.
    ///
    /// # Errors
    /// When it has ended.
    pub fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().context("its output is read elsewhere")?;
        if stdout.read_line(&mut line).context("read what it says")? == 0 {
            bail!("it ended unexpectedly: {:?}", self.child.try_wait());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Takes its standard output, to be read elsewhere.
    pub fn take_output(&mut self) -> Option<BufReader<ChildStdout>> {
        self.stdout.take()
    }

    /// Takes its standard input, if the command asked for it.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time used, in seconds: the sum over its threads, in nanoseconds of the scheduler.
    pub fn cpu_s(&self) -> f64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
        stats.filter_map(|stat| stat.split(' ').next()?.trim().parse::<f64>().ok()).sum::<f64>() / 1e9
    }

    /// Processor time used in its own code, in seconds; the rest of [`Self::cpu_s`] is the kernel's on its behalf. In steps of
    /// 10 ms, and only as exact as the kernel's sampling.
    pub fn user_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // SAFETY: a plain call without pointers.
        let per_s = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        user_ticks(&stat).unwrap_or(f64::NAN) / per_s
    }

    /// Resident memory, in bytes.
    pub fn rss(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok()).unwrap_or(f64::NAN) * 1024.0
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain system call; the child has not been waited for, so that its id is still its own.
        unsafe { libc::kill(self.pid().cast_signed(), signal) };
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.signal(libc::SIGTERM);
        let asked = Instant::now();
        while self.child.try_wait().context("wait for it to end")?.is_none() {
            if asked.elapsed() > STOP_WITHIN {
                bail!("it does not stop when asked to");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Reads `utime` of proc(5), the 14th field; the second field is a name, which may contain anything.
fn user_ticks(stat: &str) -> Option<f64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(11)?.parse().ok()
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is no error here.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_time_in_its_own_code() {
        let stat = "14964 (a) b (c) S 14962 14962 7942 0 -1 4194560 1261 0 2 0 161 140 0 0 20 0 14 0 2323017";
        assert_eq!(user_ticks(stat), Some(161.0));
        assert_eq!(user_ticks(""), None);
    }
}
