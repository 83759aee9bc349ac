//! The least that a sender to brokers can do: publish messages to replicated streams, and count the answers.
//!
//! What a cluster stores is compared with what this gets stored, in messages as large, in as many streams and with as many under way: two for
//! each stream and connection. It runs as its own process on both cores, beside the brokers.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::Client;
use bytes::Bytes;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::machine::BOTH_CORES;
use crate::process::{Process, on_cores};

/// Messages that a connection has under way in a stream.
const UNDER_WAY: usize = 2;

/// Room of each stream.
const STREAM_BYTES: u64 = 2 << 30;

/// Messages to be published.
#[derive(Debug, Clone, clap::Args)]
pub struct Messages {
    /// Addresses of the brokers.
    #[arg(long, value_delimiter = ',')]
    pub nats: Vec<String>,
    /// Streams to publish to.
    #[arg(long)]
    pub streams: usize,
    /// Bytes of each message.
    #[arg(long)]
    pub bytes: usize,
    /// Time for which it publishes.
    #[arg(long)]
    pub seconds: f64,
}

/// Runs it in a process of its own, and returns the messages that were stored per second.
///
/// # Errors
/// When it fails.
pub fn measure(messages: &Messages) -> anyhow::Result<f64> {
    let program = std::env::current_exe().context("find this program")?;
    let mut command = on_cores(BOTH_CORES, program);
    command.args(["bare-stream", "--nats", &messages.nats.join(",")]);
    command.args(["--streams", &messages.streams.to_string(), "--bytes", &messages.bytes.to_string()]);
    command.args(["--seconds", &messages.seconds.to_string()]);
    let line = Process::start(&mut command)?.line()?;
    line.parse().with_context(|| format!("understand {line:?}"))
}

/// Publishes, and prints the messages that were stored per second.
///
/// # Errors
/// When the brokers refuse something.
pub fn run(messages: &Messages) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start tokio")?;
    let per_s = runtime.block_on(publish(messages))?;
    writeln!(io::stdout(), "{per_s}").context("tell the rate")
}

async fn publish(messages: &Messages) -> anyhow::Result<f64> {
    let connect = |address: &String| {
        let address = address.clone();
        async move { async_nats::connect(&address).await.with_context(|| format!("connect to {address}")) }
    };
    let clients = try_join_all(messages.nats.iter().map(connect)).await?;
    let first = clients.first().context("no broker is named")?;
    for stream in 0..messages.streams {
        let config = json!({
            "name": name(stream), "subjects": [subject(stream)], "num_replicas": 3, "storage": "file", "retention": "limits",
            "discard": "new", "max_bytes": STREAM_BYTES,
        });
        ask(first, format!("$JS.API.STREAM.CREATE.{}", name(stream)), config.to_string().into()).await?;
    }
    let payload = Bytes::from(vec![b'x'; messages.bytes]);
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(messages.seconds);
    let senders = clients.iter().flat_map(|client| {
        let payload = &payload;
        (0..messages.streams * UNDER_WAY).map(move |at| send(client, subject(at / UNDER_WAY), payload, until))
    });
    let stored: u64 = try_join_all(senders).await?.into_iter().sum();
    let per_s = stored as f64 / started.elapsed().as_secs_f64();
    for stream in 0..messages.streams {
        ask(first, format!("$JS.API.STREAM.DELETE.{}", name(stream)), Bytes::new()).await?;
    }
    Ok(per_s)
}

/// Publishes one message after another, each once the one before is stored.
async fn send(client: &Client, subject: String, payload: &Bytes, until: Instant) -> anyhow::Result<u64> {
    let mut stored = 0;
    while Instant::now() < until {
        ask(client, subject.clone(), payload.clone()).await?;
        stored += 1;
    }
    Ok(stored)
}

/// Asks, and returns an error where the answer is one.
async fn ask(client: &Client, subject: String, payload: Bytes) -> anyhow::Result<()> {
    let answer = client.request(subject.clone(), payload).await.with_context(|| format!("ask {subject}"))?;
    let answer: Value = serde_json::from_slice(&answer.payload).context("understand a broker")?;
    ensure!(answer.get("error").is_none(), "{subject}: {answer}");
    Ok(())
}

fn name(stream: usize) -> String {
    format!("BARE-{stream}")
}

fn subject(stream: usize) -> String {
    format!("bare.{stream}")
}
