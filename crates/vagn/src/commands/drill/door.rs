//! One report through the TCP door, and its answer.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vagn_load::target::Target;
use vagn_load::tcp;
use vagn_load::trust::Trust;
use vagn_wire::{Fate, ack};

/// What the service answered.
pub(super) struct Answer {
    /// What became of the position.
    pub(super) fate: Fate,
    /// The incident, when it is on disk.
    pub(super) incident: Option<String>,
    /// From sending to the answer.
    pub(super) took: Duration,
}

/// Sends `report` and waits for its answer.
pub(super) async fn call(target: &Target, trust: &Trust, report: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = tcp::connect(target, trust).await?;
    let sent = Instant::now();
    stream.write_all(report).await.context("send the call")?;
    stream.flush().await.context("send the call")?;
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
