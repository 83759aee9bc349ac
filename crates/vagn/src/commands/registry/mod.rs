//! `vagn device`, `vagn token` and `vagn share`: what people say about the fleet. The running service is asked through its control
//! socket; where none runs, the registry is changed in its file.

pub(super) mod device;
mod import;
pub(super) mod share;
mod table;
pub(super) mod token;

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::Value;
use vagn_flow::clock::SystemClock;
use vagn_registry::{Registry, RegistryError};
use vagn_store::disk::RealDisk;
use vagn_store::{DataDir, StoreError};

use super::exit::{Coded, of_control};
use super::owner::Before;
use super::{say, say_as_it_is};
use crate::config::Span;
use crate::control::{
    ClientError, ControlLine, ControlRequest, Deeds, RegistryFault, SOCKET, Tell,
    connect, open_registry,
};

/// Where the registry is, and how to answer.
#[derive(Debug, Args)]
struct RegistryArgs {
    /// Data directory of the service, whether it runs or not.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
    /// File with the key that wraps secrets (registry.key_file); needed only while no service runs.
    #[arg(long, value_name = "FILE", env = "VAGN_REGISTRY_KEY_FILE")]
    registry_key_file: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// The way to the registry.
enum Way<'a> {
    /// The running service.
    Service(&'a Path),
    /// The file. The data directory is locked as long as this is held.
    File { deeds: Deeds, _data: DataDir },
}

impl RegistryArgs {
    /// Fulfils a request. Items of a list go to `take`.
    fn ask(&self, request: &ControlRequest, take: &mut dyn FnMut(Value)) -> anyhow::Result<Value> {
        self.way(request)?.ask(request, take)
    }

    /// Prints the result of a request: as JSON, or as `text` puts it.
    fn answer(&self, request: &ControlRequest, text: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        let done = self.ask(request, &mut |_| {})?;
        if self.json { say_as_it_is(&format!("{done}\n")) } else { say(&text(&done)) }
    }

    /// Finds the way to the registry for this request.
    fn way(&self, request: &ControlRequest) -> anyhow::Result<Way<'_>> {
        let dir = &self.data_dir;
        match connect(dir) {
            Ok(_) => Ok(Way::Service(dir)),
            Err(ClientError::NoService) => {
                let makes = matches!(
                    request,
                    ControlRequest::DeviceAdd { .. }
                        | ControlRequest::DeviceImport { .. }
                        | ControlRequest::TokenAdd { .. }
                        | ControlRequest::ShareAdd { .. }
                );
                self.open(makes)
            }
            Err(ClientError::Io(err)) => Err(Coded::unavailable(format!(
                "the service cannot be asked: {}: {err}; run the command as the user of the service",
                dir.join(SOCKET).display()
            ))
            .into()),
        }
    }

    /// Opens the file; it is made only where something is to be put into it.
    fn open(&self, makes: bool) -> anyhow::Result<Way<'_>> {
        let file = self.data_dir.join(Registry::FILE);
        if !makes && !file.exists() {
            let file = file.display();
            return Err(
                Coded::usage(format!("there is no registry {file}; --data-dir says where to look")).into()
            );
        }
        let before = Before::of(&self.data_dir);
        let is_new = !before.has_data();
        let disk = Arc::new(RealDisk);
        let data = DataDir::open(disk, &self.data_dir, None, fastrand::u64(..)).map_err(of_data_dir)?;
        let key_file = self.registry_key_file.as_deref();
        let registry = open_registry(&self.data_dir, &data.part_list(), key_file).map_err(of_registry)?;
        before.hand_over()?;
        if is_new {
            let dir = std::path::absolute(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone());
            // Fails only when standard error is closed; the deed is done all the same.
            writeln!(
                stderr(),
                "made a new data directory at {}; no service runs on it. If you mean that of a running service, name it with --data-dir",
                dir.display()
            )
            .ok();
        }
        let deeds = Deeds { registry, clock: Arc::new(SystemClock::new()), origin: "".into() };
        Ok(Way::File { deeds, _data: data })
    }
}

impl Way<'_> {
    fn ask(&self, request: &ControlRequest, take: &mut dyn FnMut(Value)) -> anyhow::Result<Value> {
        let tell: &mut Tell<'_> = &mut |line| {
            if let ControlLine::Item(item) = line {
                take(item);
            }
            Ok(())
        };
        let done = match self {
            Self::File { deeds, .. } => deeds.perform(request.clone(), tell),
            Self::Service(dir) => connect(dir).context("ask the service")?.ask(request, tell),
        };
        done.map_err(of_control)
    }
}

fn of_data_dir(err: StoreError) -> anyhow::Error {
    match err {
        StoreError::InUse { .. } => Coded::unavailable(format!(
            "{err}, and its control socket does not answer: wait until the service has started, or look for `control` in its log"
        ))
        .into(),
        err => anyhow::Error::new(err).context("open the data directory"),
    }
}

fn of_registry(err: RegistryFault) -> anyhow::Error {
    match err {
        RegistryFault::Registry(RegistryError::KeyMissing | RegistryError::WrongKey) => {
            Coded::usage(format!("{err}, or give it with --registry-key-file")).into()
        }
        RegistryFault::Registry(RegistryError::InUse) => Coded::unavailable(err.to_string()).into(),
        RegistryFault::KeyFile { .. } => Coded::usage(err.to_string()).into(),
        err => anyhow!(err),
    }
}

/// Reads the length of a life, such as 30d, 12h or 60s; not 0.
fn life(text: &str) -> Result<Span, String> {
    let life: Span = text.parse()?;
    if life.0 < Duration::from_secs(1) { Err("take at least 1s".into()) } else { Ok(life) }
}

fn ms(life: Span) -> u64 {
    life.as_ms().unsigned_abs()
}

/// Returns a text of a result; empty where it has none.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
