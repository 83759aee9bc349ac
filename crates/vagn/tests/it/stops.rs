//! Stops that something is in the way of: a reader that has stalled, a start that is not over, a terminal that is gone.

use std::fs::OpenOptions;
use std::io::{PipeReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::vagn::{LIMIT, client, command, command_of, eventually};

/// Bytes that fit into a pipe on Linux.
const PIPE_CAPACITY: usize = 64 << 10;

/// A process that is killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Process {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < LIMIT, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

/// Returns a pipe that is full, as the output of a process, and its end that is not read.
fn full_pipe() -> (Stdio, PipeReader) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&vec![b'x'; PIPE_CAPACITY]).unwrap();
    (writer.into(), reader)
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Returns a service that heeds SIGHUP, even where these tests run under `nohup`.
fn serve(data_dir: &Path, ops: SocketAddr) -> Command {
    let mut heeding = command_of("env");
    heeding.arg("--default-signal=HUP").arg(command().get_program());
    serve_by(heeding, data_dir, ops)
}

fn serve_by(mut command: Command, data_dir: &Path, ops: SocketAddr) -> Command {
    command.arg("serve").arg("--data-dir").arg(data_dir).arg("--ops").arg(ops.to_string());
    for flag in ["--udp", "--tcp", "--http"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command.stdin(Stdio::null());
    command
}

async fn wait_ready(ops: SocketAddr) {
    let client = client();
    eventually("the service to be ready", async || {
        let answer = client.get(format!("http://{ops}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn output_that_is_not_read_holds_up_no_stop() {
    for signal in ["TERM", "INT"] {
        for log_is_read in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let ops = free_port();
            let (stdout, _stdout) = full_pipe();
            let (stderr, _stderr) = full_pipe();
            let stderr = if log_is_read { Stdio::null() } else { stderr };
            let spawned = serve(dir.path(), ops).stdout(stdout).stderr(stderr).spawn();
            let mut vagn = Process(spawned.unwrap());
            wait_ready(ops).await;
            vagn.signal(signal);
            assert_eq!(vagn.wait().code(), Some(0), "{signal}");
        }
    }
}

#[tokio::test]
async fn an_error_that_cannot_be_printed_holds_up_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (stdout, _stdout) = full_pipe();
    let (stderr, _stderr) = full_pipe();
    let mut command = serve(dir.path(), taken.local_addr().unwrap());
    let mut vagn = Process(command.stdout(stdout).stderr(stderr).spawn().unwrap());
    assert_eq!(vagn.wait().code(), Some(69));
}

#[tokio::test]
async fn a_sink_answers_and_stops_although_its_output_is_not_read() {
    let address = free_port();
    let (stdout, _stdout) = full_pipe();
    let mut command = command();
    command.args(["sink", "--listen", &address.to_string()]).stdin(Stdio::null()).stdout(stdout);
    let mut sink = Process(command.spawn().unwrap());
    let client = client();
    eventually("the sink to accept a notice", async || {
        let notice = client.post(format!("http://{address}/")).header("idempotency-key", "1").body("{}");
        notice.send().await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    sink.signal("TERM");
    assert_eq!(sink.wait().code(), Some(0));
}

/// A start that waits in the middle: for its settings, which come through a named pipe.
struct Start {
    vagn: Process,
    settings: PathBuf,
}

impl Start {
    fn begin(dir: &Path) -> Self {
        let settings = dir.join("settings");
        assert!(Command::new("mkfifo").arg(&settings).status().unwrap().success());
        let mut command = serve(&dir.join("data"), free_port());
        command.arg("--config").arg(&settings).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { vagn: Process(command.spawn().unwrap()), settings }
    }

    /// Waits until the start reads its settings, and returns the end to write them to.
    fn settings(&self) -> std::fs::File {
        OpenOptions::new().write(true).open(&self.settings).unwrap()
    }
}

#[test]
fn a_signal_during_the_start_stops_it_in_order() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let mut start = Start::begin(dir.path());
        let settings = start.settings();
        start.vagn.signal(signal);
        drop(settings);
        let status = start.vagn.wait();
        let log = start.vagn.log();
        assert_eq!(status.code(), Some(0), "{signal}: {log}");
        assert!(log.contains("stopping") && log.contains(&format!("SIG{signal}")), "{log}");
        let mut printed = String::new();
        start.vagn.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        assert!(!printed.contains("ready"), "{printed}");
    }
}

#[test]
fn a_start_that_hangs_holds_up_no_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut start = Start::begin(dir.path());
    let _settings = start.settings();
    start.vagn.signal("TERM");
    assert_eq!(start.vagn.wait().code(), Some(0));
}

#[tokio::test]
async fn under_nohup_the_end_of_a_terminal_is_no_reason_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let ops = free_port();
    let mut nohup = Command::new("nohup");
    nohup.arg(command().get_program());
    let mut command = serve_by(nohup, dir.path(), ops);
    let mut vagn = Process(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    wait_ready(ops).await;
    vagn.signal("HUP");
    wait_ready(ops).await;
    vagn.signal("TERM");
    assert_eq!(vagn.wait().code(), Some(0));
    let log = vagn.log();
    assert!(log.contains("SIGTERM") && !log.contains("SIGHUP"), "{log}");
}

/// Runs a service in a terminal of its own, which ends with its process.
const IN_TERMINAL: &str = "import os, pty, sys
pty.spawn(sys.argv[1:], lambda fd: os.read(fd, 1024))";

#[tokio::test]
async fn the_end_of_its_terminal_stops_a_service_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let ops = free_port();
    let mut python = command_of("python3");
    python.args(["-c", IN_TERMINAL, "env", "--default-signal=HUP"]).arg(command().get_program());
    let mut command = serve_by(python, dir.path(), ops);
    let mut terminal = Process(command.stdout(Stdio::null()).spawn().unwrap());
    wait_ready(ops).await;
    terminal.0.kill().unwrap();
    terminal.0.wait().unwrap();
    let manifest = dir.path().join("fleet-1/0/manifest");
    eventually("an orderly stop", async || {
        std::fs::read_to_string(&manifest).is_ok_and(|text| text.contains("\nclosed "))
    })
    .await;
}
