//! Sends one report through the TCP door and waits for its answer.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vagn_load::target::Target;
use vagn_load::tcp;
use vagn_load::trust::Trust;
use vagn_wire::{Fate, ack};

/// Answer of the service.
pub(super) struct Answer {
    /// Fate of the position.
    pub(super) fate: Fate,
    /// Incident id, if the alarm is on disk.
    pub(super) incident: Option<String>,
    /// Time from sending to the answer.
    pub(super) took: Duration,
}

pub(super) async fn send(target: &Target, trust: &Trust, report: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = tcp::connect(target, trust).await?;
    let sent = Instant::now();
    stream.write_all(report).await.context("send the alarm")?;
    stream.flush().await.context("send the alarm")?;
    let mut buffer = Vec::new();
    loop {
        if let Some((ack, _)) = ack::decode(&buffer).context("read the answer")? {
            let incident = ack.incident.map(str::to_owned);
            return Ok(Answer { fate: ack.fate, incident, took: sent.elapsed() });
        }
        if stream.read_buf(&mut buffer).await.context("read the answer")? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).context("read the answer");
        }
    }
}
