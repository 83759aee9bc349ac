//! `vagn sink`: acts as an emergency service, so that notices and their failures can be tried out.

mod judge;
mod notice;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use clap::Args;
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use self::judge::{Judge, Outcome, Rules};
use self::notice::Notice;
use super::exit::{Coded, warn};
use super::printer::Printer;
use super::secret::Places;
use crate::app::leave;
use crate::config::Span;
use crate::visible::{Form, visible};
use vagn_emergency::notify::signature::Secret;
use vagn_flow::clock::{Clock, SystemClock};

/// Longest body that is read, in bytes; a notice has a few hundred.
const BODY_MAX: usize = 64 * 1024;

/// Most connections at a time.
const CONNECTIONS_MAX: usize = 256;

/// Longest time for a client to send its request.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Flags of `vagn sink`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vagn sink --fail 0.5 &\n  vagn serve --emergency-url http://127.0.0.1:9099/calls &\n  \
vagn send bus-7 30.27 -97.74 --emergency --over tcp\n\n\
Prints a line per notice. If its Idempotency-Key was seen before, the line says `again`, and `accepted before` if an \
earlier notice with that key was accepted: such a repeat is right only if that answer was lost. A drill is marked \
`TEST`.\n\nWith `--fail 1 --status 410` it refuses notices for good; with `--fail 1 --status 503 --retry-after 30` it asks the \
sender to wait.\n\n\
Exit codes: 0 told to stop, 64 wrong usage, 69 the port is in use."
)]
pub(super) struct SinkArgs {
    /// Address to listen on, plain HTTP; any path is accepted. Port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9099")]
    listen: SocketAddr,
    /// Share of notices that fail, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    fail: f64,
    /// Status that a failure answers with, 300 to 599.
    #[arg(long, value_name = "CODE", default_value_t = 500, value_parser = clap::value_parser!(u16).range(300..=599))]
    status: u16,
    /// Time after which a failed notice shall be sent again (Retry-After).
    #[arg(long, value_name = "SECONDS")]
    retry_after: Option<u32>,
    /// Pause before each answer, such as 200ms.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    delay: Span,
    /// Refuse notices that are not signed with this secret (Standard Webhooks). Others can see it in the list of processes: better is
    /// --secret-file or VAGN_EMERGENCY_SECRET.
    #[arg(long, value_name = "whsec_…", conflicts_with = "secret_file")]
    secret: Option<String>,
    /// File with that secret.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Accept the first notice with each Idempotency-Key, but hang up instead of answering it.
    #[arg(long)]
    lose_answer: bool,
    /// Seed of the random failures [default: a new one in each run].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print each notice as a JSON object.
    #[arg(long)]
    json: bool,
}

/// Listens until Ctrl-C or SIGTERM.
///
/// # Errors
/// When the port is not free.
pub(super) fn run(args: SinkArgs) -> anyhow::Result<ExitCode> {
    if !(0.0..=1.0).contains(&args.fail) {
        return Err(Coded::usage("--fail takes a share from 0 to 1").into());
    }
    let secret = args.secret()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let printer = Arc::new(Printer::new());
    let served = runtime.block_on(listen_and_serve(args, secret, printer.clone()));
    if printer.lost() > 0 {
        warn(&format!("{} lines were not printed: standard output was not read", printer.lost()));
    }
    leave(runtime, move || drop(printer));
    served.map(|()| ExitCode::SUCCESS)
}

impl SinkArgs {
    fn secret(&self) -> anyhow::Result<Option<Secret>> {
        let (given, file) = (self.secret.as_deref(), self.secret_file.as_deref());
        let read = Places { flag: "--secret", given, file, variable: "VAGN_EMERGENCY_SECRET" }.read()?;
        let parse =
            |secret: String| secret.parse().map_err(|err| Coded::usage(format!("--secret: {err}")).into());
        read.map(parse).transpose()
    }
}

async fn listen_and_serve(
    args: SinkArgs,
    secret: Option<Secret>,
    printer: Arc<Printer>,
) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let listener = listen(args.listen).await?;
    let address = listener.local_addr()?;
    printer.print(&if args.json {
        format!("{{\"listening\":\"{address}\"}}\n")
    } else {
        format!("listening http {address}\n")
    });
    let sink = Arc::new(Sink::new(args, secret, printer));
    tokio::select! {
        served = serve(&listener, &sink) => served,
        _ = int.recv() => Ok(()),
        _ = term.recv() => Ok(()),
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|err| match err.kind() {
        std::io::ErrorKind::AddrInUse => Coded::unavailable(format!(
            "cannot listen on tcp {address}: in use; choose another with --listen"
        ))
        .into(),
        _ => anyhow::Error::new(err).context(format!("listen on tcp {address}")),
    })
}

async fn serve(listener: &TcpListener, sink: &Arc<Sink>) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, sink.clone()));
                }
                // Most likely there are no file descriptors left: closing connections will free some.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the notices of one connection.
async fn converse(stream: TcpStream, sink: Arc<Sink>) {
    let answer = service_fn(move |request| {
        let sink = sink.clone();
        async move { sink.answer(request).await }
    });
    let mut http = http1::Builder::new();
    // hyper measures the time-out with this timer.
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
    // A connection that breaks is the sender's problem: it gets no answer and tries again.
    http.serve_connection(TokioIo::new(stream), answer).await.ok();
}

/// Error that makes hyper hang up without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer was lost on purpose")]
struct Lost;

struct Sink {
    judge: Mutex<Judge>,
    clock: SystemClock,
    delay: Duration,
    retry_after: Option<u32>,
    json: bool,
    printer: Arc<Printer>,
}

impl Sink {
    fn new(args: SinkArgs, secret: Option<Secret>, printer: Arc<Printer>) -> Self {
        let chance = args.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let status =
            StatusCode::from_u16(args.status).expect("the command line lets only 300 to 599 through");
        let rules = Rules { fail: args.fail, status, secret, lose_answer: args.lose_answer };
        Self {
            judge: Mutex::new(Judge::new(rules, chance)),
            clock: SystemClock::new(),
            delay: args.delay.0,
            retry_after: args.retry_after,
            json: args.json,
            printer,
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<String>, Lost> {
        let (head, body) = request.into_parts();
        let read = axum::body::to_bytes(Body::new(body), BODY_MAX);
        let body = tokio::time::timeout(REQUEST_WITHIN, read).await.ok().and_then(Result::ok);
        let notice = Notice::read(&head, body.as_deref().unwrap_or_default());
        let judgement = self.judge.lock().judge(&notice, self.clock.now_ms() / 1000);
        let line = if self.json { judgement.json(&notice).to_string() } else { judgement.text(&notice) };
        let form = if self.json { Form::Json } else { Form::Line };
        self.printer.print(&format!("{}\n", visible(&line, form)));
        tokio::time::sleep(self.delay).await;
        if judgement.outcome == Outcome::Lost {
            return Err(Lost);
        }
        let mut response = Response::new(String::new());
        *response.status_mut() = judgement.outcome.status();
        if let (Outcome::Failed(_), Some(seconds)) = (judgement.outcome, self.retry_after) {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        Ok(response)
    }
}
