//! The service's side of the control socket.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::{debug, error, info, warn};
use vagn_flow::metrics::MetricRegistry;
use vagn_otp::{ChildSpec, Failure, TaskContext};

use super::deeds::{ClusterShown, Copier, Deeds, Tell};
use super::folder::ControlSocket;
use super::metrics::ControlMetrics;
use super::request::{ControlError, ControlLine, ControlRequest, LINE_MAX, Problem};

/// Commands that are served at a time.
const CONNECTIONS_MAX: usize = 8;

/// Longest a command may take to send its request, or to take the lines of the answer that wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lines that wait for a command to take them.
const LINES_WAITING: usize = 64;

/// Longest that commands under way may take when the service stops: most need some milliseconds, and all else has to stop, too.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

/// Pause between two signs of life.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Pause after an error of the listener.
const FAULT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the commands.
pub struct ControlServer {
    socket: ControlSocket,
    parts: ControlParts,
    metrics: ControlMetrics,
}

/// Parts that fulfil the requests.
#[derive(Clone)]
pub struct ControlParts {
    /// For all but copies.
    pub deeds: Deeds,
    /// For copies of the data directory.
    pub copier: Arc<dyn Copier>,
    /// Shows the cluster; `None` where the fleet is on this machine alone.
    pub cluster: Option<Arc<dyn ClusterShown>>,
}

/// Returns the child that serves commands.
pub fn child(socket: ControlSocket, parts: ControlParts, metrics: &MetricRegistry) -> ChildSpec {
    let server = Arc::new(ControlServer { socket, parts, metrics: ControlMetrics::new(metrics) });
    ChildSpec::task("control", move |ctx| {
        let server = server.clone();
        async move { server.run(&ctx).await }
    })
}

impl ControlServer {
    async fn run(&self, ctx: &TaskContext) -> Result<(), Failure> {
        let listener = UnixListener::from_std(self.socket.listener()?)?;
        let mut commands = JoinSet::new();
        let mut beat = tokio::time::interval(BEAT_EVERY);
        ctx.ready();
        loop {
            tokio::select! {
                () = ctx.stopping() => break,
                _ = beat.tick() => ctx.beat().await,
                Some(ended) = commands.join_next() => note(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if commands.len() < CONNECTIONS_MAX => {
                        commands.spawn(serve(stream, self.parts.clone(), self.metrics.clone(), ctx.clone()));
                    }
                    Ok((stream, _)) => self.turn_away(stream, &TOO_MANY),
                    Err(err) => {
                        warn!(error = %err, "failed to accept a command on the control socket");
                        tokio::time::sleep(FAULT_PAUSE).await;
                    }
                },
            }
        }
        self.finish(&listener, commands).await;
        Ok(())
    }

    /// Lets commands under way come to their ends, so that no secret is made whose command does not hear it. Turns others away.
    async fn finish(&self, listener: &UnixListener, mut commands: JoinSet<()>) {
        let over = tokio::time::sleep(FINISH_WITHIN);
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                () = &mut over => {
                    return warn!(left = commands.len(), within = ?FINISH_WITHIN, "commands do not end; the service stops without them");
                }
                Ok((stream, _)) = listener.accept() => self.turn_away(stream, &STOPPING),
                ended = commands.join_next() => match ended {
                    Some(ended) => note(ended),
                    None => return,
                },
            }
        }
    }

    /// Tells a command that it is not heard. It has not been read, and is not waited for.
    fn turn_away(&self, stream: UnixStream, away: &Away) {
        self.metrics.refused(away.reason);
        let line = line(&ControlLine::Error(away.error()));
        let told = stream.into_std().and_then(|mut stream| stream.write_all(&line));
        warn!(told = told.is_ok(), reason = away.reason, "a command on the control socket is turned away");
    }
}

/// The reason for which a command is not heard, as it is counted and as the command is told.
struct Away {
    reason: &'static str,
    message: &'static str,
}

const TOO_MANY: Away =
    Away { reason: "too_many", message: "too many commands speak to the service at once; try again" };

const STOPPING: Away =
    Away { reason: "stopping", message: "the service stops before this is done; try again" };

impl Away {
    fn error(&self) -> ControlError {
        ControlError::new(Problem::Busy, self.message)
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(err) = ended {
        error!(error = %err, "a command on the control socket crashed");
    }
}

impl ControlParts {
    fn fulfil(&self, request: ControlRequest, tell: &mut Tell<'_>) -> Result<Value, ControlError> {
        match request {
            ControlRequest::Backup { dir } => self.copier.copy(&dir, tell),
            ControlRequest::ClusterStatus {} => self.cluster_status(),
            ControlRequest::ClusterRepair { shard } => {
                self.cluster()?.repair(shard)?;
                Ok(Value::Null)
            }
            ControlRequest::ClusterDrain {} => {
                self.cluster()?.drain()?;
                Ok(Value::Null)
            }
            ControlRequest::ClusterRepairTrail {} => Ok(self.cluster()?.repair_trail()?.into()),
            ControlRequest::ClusterLead {} => {
                self.cluster()?.lead()?;
                Ok(Value::Null)
            }
            request => self.deeds.perform(request, tell),
        }
    }
}

impl ControlParts {
    fn cluster(&self) -> Result<&dyn ClusterShown, ControlError> {
        self.cluster.as_deref().ok_or_else(|| {
            let message = "the fleet is on this machine alone: the service was started without --nats";
            ControlError::new(Problem::Refused, message)
        })
    }

    fn cluster_status(&self) -> Result<Value, ControlError> {
        let message = "the node of the service is starting; `vagn status` and the log say why it takes long";
        self.cluster()?.status().ok_or_else(|| ControlError::new(Problem::Busy, message))
    }
}

async fn serve(stream: UnixStream, parts: ControlParts, metrics: ControlMetrics, ctx: TaskContext) {
    let (mut from, mut to) = stream.into_split();
    let request = tokio::select! {
        read = timeout(PATIENCE, read(&mut from)) => match read {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(request))) => Ok(request),
            Ok(Err(err)) => Err((err, "not_understood")),
            Err(_) => Err((
                ControlError::new(Problem::Invalid, "the request did not come in time; send one line"),
                "slow",
            )),
        },
        () = ctx.stopping() => Err((STOPPING.error(), STOPPING.reason)),
    };
    let served = match request {
        Ok(request) => perform(request, parts, &mut to, &ctx).await,
        Err((err, reason)) => {
            metrics.refused(reason);
            send(&[ControlLine::Error(err)], &mut to).await
        }
    };
    if let Err(err) = served {
        debug!(error = %err, "a command left the control socket before its answer");
    }
}

/// Reads the line of a request; `None` where there is not one byte of it: somebody looked whether a service is there.
async fn read(from: &mut OwnedReadHalf) -> Result<Option<ControlRequest>, ControlError> {
    let mut text = Vec::new();
    let limited = from.take(LINE_MAX as u64 + 1);
    let read = BufReader::new(limited).read_until(b'\n', &mut text).await;
    if let Err(err) = read {
        return Err(ControlError::new(Problem::Failed, format!("the request cannot be read: {err}")));
    }
    if text.is_empty() { Ok(None) } else { parse(&text).map(Some) }
}

/// Reads a request from its line.
pub(super) fn parse(text: &[u8]) -> Result<ControlRequest, ControlError> {
    if text.len() > LINE_MAX {
        let message = format!("the request is longer than {LINE_MAX} bytes; send it in parts");
        return Err(ControlError::new(Problem::Invalid, message));
    }
    serde_json::from_slice(text).map_err(|err| {
        let message =
            format!("the service does not know this request ({err}); use the `vagn` of its version");
        ControlError::new(Problem::Invalid, message)
    })
}

/// Fulfils a request on a thread that may wait for the disk, and passes the lines on as the command takes them.
async fn perform(
    request: ControlRequest,
    parts: ControlParts,
    to: &mut OwnedWriteHalf,
    ctx: &TaskContext,
) -> io::Result<()> {
    let (lines, mut waiting) = mpsc::channel(LINES_WAITING);
    let (word, subject) = request.told();
    let is_copy = matches!(request, ControlRequest::Backup { .. });
    let work = spawn_blocking(move || {
        let gone = |_| ControlError::new(Problem::Failed, "the command has left");
        let done = parts.fulfil(request, &mut |line| lines.blocking_send(line).map_err(gone));
        let last = done.map_or_else(ControlLine::Error, ControlLine::Ok);
        let is_done = matches!(last, ControlLine::Ok(_));
        // It fails when the command has left; what was done stays done.
        lines.blocking_send(last).ok();
        is_done
    });
    let (mut some, mut sent) = (Vec::new(), Ok(()));
    while sent.is_ok() {
        tokio::select! {
            received = waiting.recv_many(&mut some, LINES_WAITING) => match received {
                0 => break,
                _ => sent = send(&some, to).await,
            },
            // A copy may take hours. It notices that nobody hears it.
            () = ctx.stopping(), if is_copy => return send(&[ControlLine::Error(STOPPING.error())], to).await,
        }
        some.clear();
    }
    // The work learns that its command has left, and ends. What was done is done, and the log says so.
    drop(waiting);
    match work.await {
        Ok(is_done) => info!(command = word, subject, done = is_done, "command on the control socket"),
        Err(err) => {
            error!(command = word, subject, error = %err, "a command on the control socket crashed");
            let failed = ControlError::new(Problem::Failed, "the service failed at this; its log says why");
            sent = sent.and(send(&[ControlLine::Error(failed)], to).await);
        }
    }
    sent
}

/// Sends lines in one piece: a write for each of a million would take most of the time.
async fn send(lines: &[ControlLine], to: &mut OwnedWriteHalf) -> io::Result<()> {
    let text: Vec<u8> = lines.iter().flat_map(line).collect();
    timeout(PATIENCE, to.write_all(&text)).await?
}

fn line(line: &ControlLine) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("texts and numbers can always be written");
    text.push(b'\n');
    text
}
