//! A real `vagn serve` on free ports with a data directory of its own, and functions that talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest time for any step of a test; after that the test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A running service. Killed when dropped.
pub(crate) struct Vagn {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    /// Standard error that is held open and not read.
    unread: Option<ChildStderr>,
    log: Arc<Mutex<String>>,
    listeners: Vec<(String, SocketAddr)>,
    data_dir: PathBuf,
    args: Vec<String>,
    environment: Environment,
}

/// Variables of the environment, by name.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// Returns the command, without environment variables that would change its settings.
pub(crate) fn command() -> Command {
    command_of(env!("CARGO_BIN_EXE_vagn"))
}

pub(crate) fn command_of(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VAGN_")) {
        command.env_remove(name);
    }
    command
}

impl Vagn {
    /// Starts it over `data_dir` with further arguments, and waits until it says `ready`.
    pub(crate) fn start(data_dir: &Path, args: &[&str]) -> Self {
        let mut vagn = Self::launch(data_dir, args);
        vagn.wait_ready();
        vagn
    }

    /// Starts it with these variables in its environment, which it keeps over a restart.
    pub(crate) fn start_with(environment: Environment, data_dir: &Path, args: &[&str]) -> Self {
        let variables: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut vagn = Self::start_in(data_dir, args, &variables);
        vagn.environment = environment;
        vagn
    }

    /// Starts it with a log that is not read: a pipe that is soon full.
    pub(crate) fn start_unread(data_dir: &Path, args: &[&str]) -> Self {
        let mut vagn = Self::spawn(data_dir, args);
        vagn.unread = vagn.child.stderr.take();
        vagn.read_listeners();
        vagn.wait_ready();
        vagn
    }

    /// Starts it, and waits only until it listens.
    pub(crate) fn launch(data_dir: &Path, args: &[&str]) -> Self {
        Self::launch_by(command(), data_dir, args)
    }

    /// Starts it by this command, such as one that runs it elsewhere, and waits only until it listens.
    pub(crate) fn launch_by(by: Command, data_dir: &Path, args: &[&str]) -> Self {
        let mut vagn = Self::spawn_by(by, data_dir, args);
        vagn.follow_log();
        vagn.read_listeners();
        vagn
    }

    /// Starts it where it has no doors, and waits only until it listens.
    pub(crate) fn launch_without_doors(data_dir: &Path, args: &[&str]) -> Self {
        let mut vagn = Self::spawn(data_dir, args);
        vagn.follow_log();
        while vagn.listeners.len() < 2 {
            let line = vagn.line();
            vagn.listener(&line);
        }
        vagn
    }

    /// Starts it with these variables in its environment, and waits until it says `ready`.
    pub(crate) fn start_in(data_dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.envs(variables.iter().copied());
        let mut vagn = Self::spawn_by(command, data_dir, args);
        vagn.follow_log();
        vagn.read_listeners();
        vagn.wait_ready();
        vagn
    }

    /// Starts it as `launch` does. Returns its log and exit code if it ends before it listens.
    pub(crate) fn attempt(data_dir: &Path, args: &[&str]) -> Result<Self, (String, Option<i32>)> {
        let mut vagn = Self::spawn(data_dir, args);
        let mut stderr = vagn.child.stderr.take().unwrap();
        let mut first = String::new();
        vagn.stdout.as_mut().unwrap().read_line(&mut first).unwrap();
        if first.is_empty() {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            return Err((said, vagn.wait_exit().code()));
        }
        follow(stderr, vagn.log.clone());
        vagn.listener(&first);
        vagn.read_listeners();
        Ok(vagn)
    }

    /// Starts it with so many descriptors at most, and waits until it says `ready`.
    pub(crate) fn start_limited(data_dir: &Path, descriptors: u32) -> Self {
        let mut limited = command_of("sh");
        limited.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""));
        limited.arg(env!("CARGO_BIN_EXE_vagn"));
        let mut vagn = Self::spawn_by(limited, data_dir, &[]);
        vagn.follow_log();
        vagn.read_listeners();
        vagn.wait_ready();
        vagn
    }

    /// Starts it so that it heeds SIGHUP, even where these tests run under `nohup`, and waits until it says `ready`.
    pub(crate) fn start_heeding(data_dir: &Path, args: &[&str]) -> Self {
        let mut heeding = command_of("env");
        heeding.arg("--default-signal=HUP").arg(env!("CARGO_BIN_EXE_vagn"));
        let mut vagn = Self::spawn_by(heeding, data_dir, args);
        vagn.follow_log();
        vagn.read_listeners();
        vagn.wait_ready();
        vagn
    }

    fn spawn(data_dir: &Path, args: &[&str]) -> Self {
        Self::spawn_by(command(), data_dir, args)
    }

    fn follow_log(&mut self) {
        follow(self.child.stderr.take().unwrap(), self.log.clone());
    }

    fn spawn_by(mut command: Command, data_dir: &Path, args: &[&str]) -> Self {
        command.arg("serve").arg("--data-dir").arg(data_dir);
        for flag in ["--udp", "--tcp", "--http", "--ops"] {
            if !args.contains(&flag) {
                command.args([flag, "127.0.0.1:0"]);
            }
        }
        command.args(args);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary that cargo built can be started");
        let log = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().map(BufReader::new);
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (listeners, data_dir) = (Vec::new(), data_dir.into());
        Self { child, stdout, unread: None, log, listeners, data_dir, args, environment: Vec::new() }
    }

    fn read_listeners(&mut self) {
        while self.listeners.len() < 4 {
            let line = self.line();
            self.listener(&line);
        }
    }

    /// Notes the listener in a line of standard output.
    fn listener(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("listening"), "{line:?}\n{}", self.log());
        let (name, address) = (words.next().unwrap(), words.next().unwrap());
        self.listeners.push((name.to_owned(), address.parse().unwrap()));
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended before it was ready:\n{}", self.log());
        line.trim_end().to_owned()
    }

    /// Waits for the line `ready`.
    pub(crate) fn wait_ready(&mut self) {
        let line = self.line();
        assert_eq!(line, "ready", "{}", self.log());
    }

    /// The address of a listener: udp, tcp, http or ops.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(each, _)| each == name);
        found.unwrap_or_else(|| panic!("no listener {name} in {:?}", self.listeners)).1
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let status = self.wait_exit();
        (status, self.log())
    }

    /// Returns the exit code, if it has ended.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap()?.code()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < LIMIT, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it and starts it again with the same arguments, on new ports.
    pub(crate) fn restart(mut self) -> Self {
        self.kill();
        let args: Vec<_> = self.args.iter().map(String::as_str).collect();
        Self::start_with(std::mem::take(&mut self.environment), &self.data_dir, &args)
    }

    /// As [`Vagn::restart`], without the census that is on disk: so all vehicles that are there are known.
    pub(crate) fn restart_knowing_all(mut self) -> Self {
        self.kill();
        std::fs::remove_dir_all(self.data_dir.join("census")).ok();
        self.restart()
    }

    /// Sends one datagram.
    pub(crate) fn send(&self, datagram: &[u8]) {
        // From whichever address leads there: a service may run in another network namespace.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(datagram, self.address("udp")).unwrap();
    }

    /// Sends a request to the control socket, and returns the lines of the answer.
    pub(crate) fn control(&self, request: &Value) -> Vec<Value> {
        let mut socket = UnixStream::connect(self.data_dir.join("control")).unwrap();
        writeln!(socket, "{request}").unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns an HTTPS URL of the API.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address("http"))
    }

    /// Returns status and body of a GET of the API.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = client().get(self.url(path)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Returns the JSON body of a GET of the API, which must succeed.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}\n{}", self.log());
        serde_json::from_str(&body).unwrap_or_else(|err| panic!("{path}: {err}: {body}"))
    }

    /// Posts to the API. Returns the status and the JSON of the answer.
    pub(crate) async fn post(&self, path: &str, body: String) -> (u16, Value) {
        let post = client().post(self.url(path)).header("content-type", "application/json").body(body);
        let answer = post.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|err| panic!("{path}: {err}: {text}")))
    }

    /// Returns status and body of a GET of the ops listener.
    pub(crate) async fn ops(&self, path: &str) -> (u16, String) {
        let answer = client().get(format!("http://{}{path}", self.address("ops"))).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Returns one metric, named with its labels as they are written; 0 when it is missing.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.ops("/metrics").await;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Returns the number of reports with this fate.
    pub(crate) async fn fate(&self, fate: &str) -> u64 {
        self.metric(&format!("vagn_reports_total{{fate=\"{fate}\"}}")).await as u64
    }

    /// Returns the sum of all fates.
    pub(crate) async fn fates(&self) -> u64 {
        let (_, page) = self.ops("/metrics").await;
        let counts = page.lines().filter(|line| line.starts_with("vagn_reports_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Waits until `count` reports have arrived and each of them has met its fate.
    pub(crate) async fn wait_settled(&self, count: u64) {
        eventually(&format!("{count} reports to be settled"), async || {
            let received = self.metric("vagn_reports_received_total").await as u64;
            received >= count && received == self.fates().await
        })
        .await;
    }

    /// Returns true when, by the store, every incident is accepted by a target.
    pub(crate) async fn all_accepted(&self) -> bool {
        let open = self.json("/api/v1/incidents?state=open&limit=1").await;
        open["complete"] == true && open["incidents"].as_array().unwrap().is_empty() && open["next"].is_null()
    }

    /// Returns the process list.
    pub(crate) async fn actors(&self) -> Value {
        serde_json::from_str(&self.ops("/actors").await.1).unwrap()
    }
}

impl Drop for Vagn {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- log of vagn ---\n{}", self.log());
        }
    }
}

/// Returns a client that accepts self-signed certificates.
pub(crate) fn client() -> reqwest::Client {
    // Fails when it was installed before; all callers install the same one.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().danger_accept_invalid_certs(true).timeout(LIMIT).build().unwrap()
}

/// Waits until `done` returns true. Panics with `what` after the limit.
pub(crate) async fn eventually(what: &str, done: impl AsyncFnMut() -> bool) {
    eventually_within(LIMIT, what, done).await;
}

/// Does the same as `eventually`, with a limit of its own.
pub(crate) async fn eventually_within(limit: Duration, what: &str, mut done: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < limit, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Writes settings into `dir`, and returns the file for `--config`.
pub(crate) fn settings(dir: &Path, text: &str) -> String {
    let path = dir.join("vagn.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs `work` in the background.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
    tokio::spawn(work)
}

/// Returns a report as a vehicle would send it.
pub(crate) fn report(id: &str, lat: f64, lon: f64, emergency: bool) -> Vec<u8> {
    let position = vagn_wire::Position::new(lat, lon).unwrap();
    let id = vagn_wire::VehicleId::new(id).unwrap();
    let report = vagn_wire::Report { emergency, ..vagn_wire::Report::new(id, position) };
    let mut bytes = Vec::new();
    vagn_wire::encode(&report, &mut bytes);
    bytes
}

fn follow(mut stderr: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(len @ 1..) = stderr.read(&mut chunk) {
            log.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..len]));
        }
    });
}
