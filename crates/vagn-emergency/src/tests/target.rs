//! A target on the loopback that does what a test tells it to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vagn_otp::ChildSpec;
use vagn_otp::testkit::Alone;

use crate::record::incident::PRIMARY;
use crate::{Target, Targets};

/// A notice as it reached the target.
#[derive(Debug, Clone)]
pub(crate) struct HeardNotice {
    pub(crate) headers: String,
    pub(crate) body: Value,
}

impl HeardNotice {
    pub(crate) fn vehicle(&self) -> &str {
        self.body["vehicle_id"].as_str().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// Reaction of the target to a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Answers with this status.
    Answer(u16),
    /// Answers 503, and asks for no notice for so many seconds.
    Later(u64),
    /// Hangs up without an answer.
    HangUp,
    /// Never answers.
    Silence,
    /// Sends the client to the target again.
    Redirect,
    /// Answers with this status and a body that has no end.
    Endless(u16),
    /// Sends a header a byte at a time, for ever.
    Drip,
    /// Sends one interim answer after another, for ever.
    Interim,
    /// Sends a head that has no end.
    EndlessHead,
}

type Script = Arc<dyn Fn(&HeardNotice) -> Reaction + Send + Sync>;

/// A target on the loopback.
pub(crate) struct TestTarget {
    url: String,
    heard: Arc<Mutex<Vec<HeardNotice>>>,
    _server: Alone,
}

impl TestTarget {
    /// Serves until dropped. `script` gives the reaction to each notice.
    pub(crate) async fn new(script: impl Fn(&HeardNotice) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let url = format!("http://{}/emergency/token", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let script: Script = Arc::new(script);
        let log = heard.clone();
        let spec = ChildSpec::task("target", move |ctx| {
            let listener = listener.clone();
            let script = script.clone();
            let log = log.clone();
            async move {
                ctx.ready();
                let mut connections = FuturesUnordered::new();
                loop {
                    tokio::select! {
                        Ok((stream, _)) = listener.accept() => connections.push(serve(stream, &script, &log)),
                        Some(()) = connections.next() => {}
                        () = ctx.stopping() => return Ok(()),
                    }
                }
            }
        });
        Self { url, heard, _server: Alone::child(spec).await }
    }

    /// Accepts every notice.
    pub(crate) async fn accepting() -> Self {
        Self::answering(200).await
    }

    /// Answers every notice with `status`.
    pub(crate) async fn answering(status: u16) -> Self {
        Self::new(move |_| Reaction::Answer(status)).await
    }

    pub(crate) fn heard(&self) -> Vec<HeardNotice> {
        self.heard.lock().clone()
    }

    /// Returns a chain of this target alone.
    pub(crate) fn target(&self, slots: usize) -> Targets {
        Targets { chain: vec![self.named(PRIMARY, slots)], drill: None }
    }

    /// Returns this target under `name`, with turns of an hour: no test waits for their end.
    pub(crate) fn named(&self, name: &str, slots: usize) -> Target {
        let timeout = Duration::from_secs(20);
        let escalate_after = Duration::from_secs(3600);
        Target::new(name, &self.url, "", timeout, slots, escalate_after).unwrap()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

async fn serve(mut stream: TcpStream, script: &Script, log: &Mutex<Vec<HeardNotice>>) {
    while let Some(heard) = hear(&mut stream).await {
        let reaction = script(&heard);
        log.lock().push(heard);
        if react(&mut stream, reaction).await.is_err() {
            return;
        }
    }
}

async fn hear(stream: &mut TcpStream) -> Option<HeardNotice> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut heard = HeardNotice { headers, body: Value::Null };
    let len: usize = heard.header("content-length").unwrap().parse().unwrap();
    while bytes.len() < end + len {
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
    heard.body = serde_json::from_slice(&bytes[end..end + len]).unwrap();
    Some(heard)
}

async fn react(stream: &mut TcpStream, reaction: Reaction) -> std::io::Result<()> {
    match reaction {
        Reaction::Answer(status) => {
            let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes()).await
        }
        Reaction::Later(seconds) => {
            let answer = format!("HTTP/1.1 503 Said\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await
        }
        Reaction::HangUp => Err(std::io::ErrorKind::ConnectionAborted.into()),
        Reaction::Silence => std::future::pending().await,
        Reaction::Redirect => {
            stream.write_all(b"HTTP/1.1 307 There\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n").await
        }
        Reaction::Endless(status) => {
            let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: 1000000000\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
        Reaction::Interim => loop {
            stream.write_all(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000)).await?;
        },
        Reaction::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(&b"x: y\r\n".repeat(1_000)).await?;
            }
        }
        Reaction::Drip => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}
