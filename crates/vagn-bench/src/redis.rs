//! Redis GEO, as its packages provide it: started on the service's core, and used in its own protocol.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::machine::SERVER_CORE;
use crate::process::{Process, on_cores};

const START_WITHIN: Duration = Duration::from_secs(10);

/// A running server. Killed when dropped.
pub struct Redis {
    process: Process,
    address: SocketAddr,
}

impl Redis {
    /// Starts a server over `dir`, with its log synced `everysec` or `always`.
    ///
    /// # Errors
    /// When it is missing or does not start.
    pub fn start(dir: &Path, appendfsync: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).context("create a folder for redis")?;
        let address = free_address().context("find a free port")?;
        let mut command = on_cores(&SERVER_CORE.to_string(), "redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
            "--save",
            "",
            "--appendonly",
            "yes",
        ]);
        command.args(["--appendfsync", appendfsync, "--loglevel", "warning", "--dir"]).arg(dir);
        let process = Process::start(command.stdin(Stdio::null()).stderr(Stdio::null()))?;
        let redis = Self { process, address };
        let started = Instant::now();
        while redis.connect().and_then(|mut it| it.ask(b"PING\r\n", 1)).is_err() {
            ensure!(started.elapsed() < START_WITHIN, "redis-server does not start; is it installed?");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(redis)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).context("connect to redis")?;
        stream.set_nodelay(true).context("send at once")?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).context("limit reads")?;
        let answers = BufReader::new(stream.try_clone().context("read and write")?);
        Ok(Connection { stream, answers, line: Vec::new() })
    }

    /// Process of the server.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// Finds a free port: the system picks one, and it is free again when the listener is dropped.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A connection to the server.
pub struct Connection {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Connection {
    /// Sends commands, and reads the given number of answers.
    ///
    /// # Errors
    /// When one of them is an error.
    pub fn ask(&mut self, commands: &[u8], answers: usize) -> anyhow::Result<()> {
        self.stream.write_all(commands).context("send to redis")?;
        (0..answers).try_for_each(|_| self.answer())
    }

    fn answer(&mut self) -> anyhow::Result<()> {
        self.line.clear();
        self.answers.read_until(b'\n', &mut self.line).context("read from redis")?;
        let text = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        let (kind, rest) = text.split_at_checked(1).context("redis closed the connection")?;
        match kind {
            "+" | ":" => Ok(()),
            "*" => (0..rest.parse::<usize>().unwrap_or(0)).try_for_each(|_| self.answer()),
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap_or(0) + 2];
                std::io::Read::read_exact(&mut self.answers, &mut bytes).context("read from redis")
            }
            _ => bail!("redis says {text}"),
        }
    }
}

/// Appends a command with its arguments.
pub fn command<'a>(out: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'a str>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_commands_as_redis_reads_them() {
        let mut out = Vec::new();
        command(&mut out, ["GEOADD", "fleet", "-97.74"].into_iter());
        assert_eq!(out, b"*3\r\n$6\r\nGEOADD\r\n$5\r\nfleet\r\n$6\r\n-97.74\r\n");
    }
}
