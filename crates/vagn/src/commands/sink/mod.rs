//! `vagn sink`: stands in for an emergency service, so that calls can be tried out, failures and all.

mod call;
mod judge;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
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
use tokio::task::JoinSet;

use self::call::Call;
use self::judge::{Judge, Outcome, Rules};
use super::exit::Coded;
use super::say;
use crate::config::Span;
use vagn_emergency::notify::signature::Secret;
use vagn_flow::clock::{Clock, SystemClock};

/// Longest body that is read, in bytes; a call is a few hundred.
const BODY_MAX: usize = 64 * 1024;

/// Most connections at a time.
const CONNECTIONS_MAX: usize = 256;

/// How long a client may take to say what it wants.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// How the emergency service behaves.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vagn sink --fail 0.5 &\n  vagn serve --emergency-url http://127.0.0.1:9099/calls &\n  \
vagn send bus-7 30.27 -97.74 --emergency --over tcp\n\n\
Prints a line per call. One whose Idempotency-Key was heard before is marked `again`, and `accepted before` when an \
earlier call with that key was accepted: to call again is then right only if that answer was lost. A drill is marked \
`TEST`.\n\nWith `--fail 1 --status 410` it refuses for good, and with `--fail 1 --status 503 --retry-after 30` it asks for \
patience.\n\n\
Exit codes: 0 asked to stop, 64 wrong usage, 69 the port is in use."
)]
pub struct SinkArgs {
    /// Where to listen, plain HTTP; every path will do. Port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9099")]
    listen: SocketAddr,
    /// Share of calls that fail, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    fail: f64,
    /// What failures answer with, 300 to 599.
    #[arg(long, value_name = "CODE", default_value_t = 500, value_parser = clap::value_parser!(u16).range(300..=599))]
    status: u16,
    /// Failures ask to be called again after so many seconds (Retry-After).
    #[arg(long, value_name = "SECONDS")]
    retry_after: Option<u32>,
    /// Time to think before each answer, such as 200ms.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    delay: Span,
    /// Refuse calls that are not signed with this secret (Standard Webhooks).
    #[arg(long, value_name = "whsec_…", env = "VAGN_EMERGENCY_SECRET", hide_env_values = true)]
    secret: Option<Secret>,
    /// Accept the first call with each Idempotency-Key, but hang up instead of answering it.
    #[arg(long)]
    lose_answer: bool,
    /// What the failures follow from [default: chance].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print each call as a JSON object.
    #[arg(long)]
    json: bool,
}

/// Listens until Ctrl-C or SIGTERM.
///
/// # Errors
/// When the port cannot be had.
pub fn run(args: SinkArgs) -> anyhow::Result<ExitCode> {
    if !(0.0..=1.0).contains(&args.fail) {
        return Err(Coded::usage("--fail takes a share from 0 to 1").into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = listen(args.listen).await?;
        let address = listener.local_addr()?;
        say(&if args.json {
            format!("{{\"listening\":\"{address}\"}}\n")
        } else {
            format!("listening http {address}\n")
        })?;
        let sink = Arc::new(Sink::new(args));
        tokio::select! {
            served = serve(&listener, &sink) => served,
            stopped = stopped() => stopped,
        }
    })?;
    Ok(ExitCode::SUCCESS)
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

async fn stopped() -> anyhow::Result<()> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("wait for ctrl-c"),
        _ = term.recv() => Ok(()),
    }
}

async fn serve(listener: &TcpListener, sink: &Arc<Sink>) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(stream, sink.clone()))),
                // Out of descriptors, most likely: the connections that are open bring it back.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the calls of one connection. One that breaks is the caller's affair.
async fn converse(stream: TcpStream, sink: Arc<Sink>) {
    let answer = service_fn(move |request| {
        let sink = sink.clone();
        async move { sink.answer(request).await }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
    drop(http.serve_connection(TokioIo::new(stream), answer).await);
}

/// Makes hyper hang up.
#[derive(Debug, thiserror::Error)]
#[error("the answer was lost on purpose")]
struct Lost;

struct Sink {
    judge: Mutex<Judge>,
    clock: SystemClock,
    delay: Duration,
    retry_after: Option<u32>,
    json: bool,
}

impl Sink {
    fn new(args: SinkArgs) -> Self {
        let chance = args.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let status =
            StatusCode::from_u16(args.status).expect("the command line lets only 300 to 599 through");
        let rules = Rules { fail: args.fail, status, secret: args.secret, lose_answer: args.lose_answer };
        Self {
            judge: Mutex::new(Judge::new(rules, chance)),
            clock: SystemClock::new(),
            delay: args.delay.0,
            retry_after: args.retry_after,
            json: args.json,
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<String>, Lost> {
        let (head, body) = request.into_parts();
        let read = axum::body::to_bytes(Body::new(body), BODY_MAX);
        let body = tokio::time::timeout(REQUEST_WITHIN, read).await.ok().and_then(Result::ok);
        let call = Call::read(&head, body.as_deref().unwrap_or_default());
        let verdict = self.judge.lock().judge(&call, self.clock.now_ms() / 1000);
        let line = if self.json { verdict.json(&call).to_string() } else { verdict.text(&call) };
        // Without anybody to read the lines, calls are still answered.
        drop(say(&(line + "\n")));
        tokio::time::sleep(self.delay).await;
        if verdict.outcome == Outcome::Lost {
            return Err(Lost);
        }
        let mut response = Response::new(String::new());
        *response.status_mut() = verdict.outcome.status();
        if let (Outcome::Failed(_), Some(seconds)) = (verdict.outcome, self.retry_after) {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        Ok(response)
    }
}
