//! Questions over HTTPS as fast as they are answered, by widely used tools: `wrk` (HTTP/1.1) and `h2load` (HTTP/2).

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::stats::percentile;

/// Script of `wrk`: asks for random paths of a list, and at the end prints the line that the bench reads.
const SCRIPT: &str = r#"
local paths = {}
for line in io.lines(os.getenv("PATHS")) do paths[#paths + 1] = line end
request = function() return wrk.format("GET", paths[math.random(#paths)]) end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// Answers to a run of questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// Rate of answers, per second.
    pub per_s: f64,
    /// Median time of an answer, in seconds.
    pub p50_s: f64,
    /// 99th percentile of the time of an answer, in seconds.
    pub p99_s: f64,
    /// Number of questions without a good answer.
    pub errors: f64,
}

/// Questions to one server, about the same places for every store.
#[derive(Debug)]
pub struct Questions {
    paths: PathBuf,
    urls: PathBuf,
    script: PathBuf,
    log: PathBuf,
    server: SocketAddr,
}

impl Questions {
    /// Writes the questions for the tools into `dir`: the `path` of each place, asked of `server`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(
        dir: &Path,
        server: SocketAddr,
        places: &[(f64, f64)],
        path: impl Fn(f64, f64) -> String,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).context("create a folder for questions")?;
        let questions = Self {
            paths: dir.join("paths"),
            urls: dir.join("urls"),
            script: dir.join("wrk.lua"),
            log: dir.join("h2load.log"),
            server,
        };
        let paths: Vec<_> = places.iter().map(|&(lat, lon)| path(lat, lon) + "\n").collect();
        let urls: Vec<_> = paths.iter().map(|path| format!("https://{server}{path}")).collect();
        for (file, text) in [
            (&questions.paths, paths.concat()),
            (&questions.urls, urls.concat()),
            (&questions.script, SCRIPT.to_owned()),
        ] {
            fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
        }
        Ok(questions)
    }

    /// Writes questions for the ten vehicles nearest to each place, asked of Vagn at `server`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn nearest(dir: &Path, server: SocketAddr, places: &[(f64, f64)]) -> anyhow::Result<Self> {
        Self::write(dir, server, places, |lat, lon| format!("/?lat={lat}&lon={lon}"))
    }

    /// Asks over HTTP/1.1, on connections that are kept alive, with one question at a time on each.
    ///
    /// # Errors
    /// When `wrk` is missing or its output cannot be read.
    pub fn http1(&self, connections: u32, seconds: u32) -> anyhow::Result<Asked> {
        let mut command = Command::new("wrk");
        command
            .arg("-t1")
            .arg(format!("-c{connections}"))
            .arg(format!("-d{seconds}s"))
            .arg("-s")
            .arg(&self.script);
        command.arg(format!("https://{}/", self.server)).env("PATHS", &self.paths);
        let output = command.output().context("run wrk")?;
        let said = String::from_utf8_lossy(&output.stdout);
        read_wrk(&said).with_context(|| format!("wrk: {said}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Asks over HTTP/2, with `streams` questions at a time on each connection.
    ///
    /// # Errors
    /// When `h2load` is missing or its output cannot be read.
    pub fn http2(&self, connections: u32, streams: u32, seconds: u32) -> anyhow::Result<Asked> {
        // `h2load` appends to its log, so that lines of an earlier run would count again.
        if self.log.exists() {
            fs::remove_file(&self.log).context("remove the log of h2load")?;
        }
        let mut command = Command::new("h2load");
        command.arg("-t1").arg(format!("-c{connections}")).arg(format!("-m{streams}"));
        command.arg("-D").arg(seconds.to_string()).arg("-i").arg(&self.urls);
        command.arg("--log-file").arg(&self.log);
        let output = command.output().context("run h2load")?;
        ensure!(output.status.success(), "h2load: {}", String::from_utf8_lossy(&output.stderr));
        let log = fs::read_to_string(&self.log).context("read the log of h2load")?;
        read_h2load(&log, f64::from(seconds)).context("h2load answered nothing")
    }
}

fn read_wrk(said: &str) -> Option<Asked> {
    let line = said.lines().find_map(|line| line.strip_prefix("RESULT "))?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [requests, duration_us, p50_us, p99_us, errors] = numbers[..] else { return None };
    Some(Asked { per_s: requests / duration_us * 1e6, p50_s: p50_us / 1e6, p99_s: p99_us / 1e6, errors })
}

/// Reads lines of: start in microseconds since 1970, status, microseconds until the end.
fn read_h2load(log: &str, seconds: f64) -> Option<Asked> {
    let rows = log.lines().filter_map(|line| {
        let mut fields = line.split('\t').skip(1);
        Some((fields.next()? == "200", fields.next()?.parse::<f64>().ok()?))
    });
    let (good, bad): (Vec<_>, Vec<_>) = rows.partition(|(good, _)| *good);
    let mut times: Vec<f64> = good.into_iter().map(|(_, us)| us / 1e6).collect();
    (!times.is_empty()).then(|| Asked {
        per_s: times.len() as f64 / seconds,
        p50_s: percentile(&mut times, 0.5),
        p99_s: percentile(&mut times, 0.99),
        errors: bad.len() as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_says() {
        let asked = read_wrk("Running 2s test\nRESULT 100000 2000000 150 600 3\n").unwrap();
        assert_eq!(asked, Asked { per_s: 50_000.0, p50_s: 150e-6, p99_s: 600e-6, errors: 3.0 });
        assert_eq!(read_wrk("unable to connect"), None);
    }

    #[test]
    fn reads_the_log_of_h2load() {
        let log = "1\t200\t100\n2\t200\t300\n3\t-1\t900\n4\t200\t200\n";
        let asked = read_h2load(log, 2.0).unwrap();
        assert_eq!(asked, Asked { per_s: 1.5, p50_s: 200e-6, p99_s: 300e-6, errors: 1.0 });
        assert_eq!(read_h2load("", 2.0), None);
    }
}
