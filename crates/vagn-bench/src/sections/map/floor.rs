//! The floor under the cost of viewers: what a sender uses that has their bytes and does nothing but send them.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustls::pki_types::ServerName;
use tokio::io::{copy, sink};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use vagn_load::trust::Trust;

use crate::bare_sender::BareSender;
use crate::service::Service;

/// Time until every viewer is let in.
const BEGIN_WITHIN: Duration = Duration::from_secs(2);

/// Returns the share of a core that a bare sender uses for so many viewers, each of whom gets so many bytes a second in one write.
///
/// # Errors
/// When the sender cannot be started or reached.
pub(super) fn measure(service: &Service, viewers: u32, bytes: f64, seconds: f64) -> anyhow::Result<f64> {
    let sender = BareSender::start(service.data_dir(), bytes as usize)?;
    let readers = read(&sender, viewers)?;
    thread::sleep(BEGIN_WITHIN);
    let (before, begin) = (sender.cpu_s(), Instant::now());
    thread::sleep(Duration::from_secs_f64(seconds));
    let cpu = (sender.cpu_s() - before) / begin.elapsed().as_secs_f64();
    readers.shutdown_background();
    Ok(cpu)
}

/// Reads what is sent to so many viewers, on one thread.
fn read(sender: &BareSender, viewers: u32) -> anyhow::Result<Runtime> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("start the viewers")?;
    let tls = TlsConnector::from(Trust::Loopback.config(sender.address)?);
    for _ in 0..viewers {
        let viewer = runtime.block_on(connect(sender, &tls)).context("connect to the bare sender")?;
        runtime.spawn(viewer);
    }
    Ok(runtime)
}

async fn connect(
    sender: &BareSender,
    tls: &TlsConnector,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let socket = TcpStream::connect(sender.address).await?;
    let mut stream = tls.connect(ServerName::from(sender.address.ip()), socket).await?;
    Ok(async move {
        // It is read until the sender is gone.
        copy(&mut stream, &mut sink()).await.ok();
    })
}
