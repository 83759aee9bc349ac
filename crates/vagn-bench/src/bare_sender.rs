//! The least that a sender to viewers can do: each second one write of TLS to each of them, of bytes that are there.
//!
//! What the service uses for a viewer is compared with what this uses, because both have the same cost in cipher and kernel. It runs as its
//! own process, on the core of the service, with a certificate of the service's.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::machine::SERVER_CORE;
use crate::process::{Process, on_cores};

/// A connection of TLS to a viewer.
type Viewer = StreamOwned<ServerConnection, TcpStream>;

/// A sender in a process of its own.
pub struct BareSender {
    process: Process,
    /// Address at which it lets viewers in.
    pub address: SocketAddr,
}

impl BareSender {
    /// Starts it on the service's core, with the certificate in this folder; it sends so many bytes to each viewer.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(folder: &Path, bytes: usize) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = on_cores(&SERVER_CORE.to_string(), program);
        let mut process = Process::start(command.arg("bare-sender").arg(folder).arg(bytes.to_string()))?;
        let address = process.line()?.parse().context("read the address of the bare sender")?;
        Ok(Self { process, address })
    }

    /// Processor time used, in seconds.
    pub fn cpu_s(&self) -> f64 {
        self.process.cpu_s()
    }
}

/// Lets viewers in and sends to all of them each second, until it is killed.
///
/// # Errors
/// When the certificate cannot be read, or no socket can be opened.
pub fn run(folder: &Path, bytes: usize) -> anyhow::Result<()> {
    let config = Arc::new(config(folder)?);
    let listener = TcpListener::bind("127.0.0.1:0").context("bind tcp socket")?;
    writeln!(io::stdout(), "{}", listener.local_addr().context("ask for its address")?)
        .context("say where")?;
    let viewers = Mutex::default();
    thread::scope(|scope| {
        scope.spawn(|| send(&viewers, &vec![b'x'; bytes]));
        loop {
            let viewer = listener.accept().map_err(anyhow::Error::from);
            let viewer = viewer.and_then(|(stream, _)| let_in(stream, &config)).context("let a viewer in")?;
            viewers.lock().unwrap_or_else(PoisonError::into_inner).push(viewer);
        }
    })
}

fn config(folder: &Path) -> anyhow::Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).context("read a certificate")?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).context("read a key")?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(config.with_single_cert(vec![certificate], key)?)
}

fn let_in(stream: TcpStream, config: &Arc<ServerConfig>) -> anyhow::Result<Viewer> {
    stream.set_nodelay(true)?;
    let mut viewer = StreamOwned::new(ServerConnection::new(config.clone())?, stream);
    while viewer.conn.is_handshaking() {
        viewer.conn.complete_io(&mut viewer.sock)?;
    }
    // All that one viewer gets is encrypted before it is written.
    viewer.conn.set_buffer_limit(None);
    Ok(viewer)
}

fn send(viewers: &Mutex<Vec<Viewer>>, bytes: &[u8]) {
    let mut next = Instant::now();
    loop {
        next += Duration::from_secs(1);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        // One that has gone stays away.
        viewers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain_mut(|viewer| write(viewer, bytes).is_ok());
    }
}

fn write(viewer: &mut Viewer, bytes: &[u8]) -> io::Result<()> {
    viewer.conn.writer().write_all(bytes)?;
    while viewer.conn.wants_write() {
        viewer.conn.write_tls(&mut viewer.sock)?;
    }
    Ok(())
}
