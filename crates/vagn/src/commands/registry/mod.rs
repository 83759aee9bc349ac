//! `vagn device`, `vagn token` and `vagn share`: what people say about the fleet. The running service is asked through its control
//! socket; where none runs, the registry is changed in its file.

pub(super) mod device;
mod import;
pub(super) mod share;
mod spool;
mod table;
pub(super) mod token;
mod way;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{say, say_as_it_is};
use crate::config::Span;
use crate::control::ControlRequest;
use crate::visible::{Form, visible};
use way::Way;

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

impl RegistryArgs {
    /// Fulfils a request. Items of a list go to `take`.
    fn ask(&self, request: &ControlRequest, take: &mut dyn FnMut(Value)) -> anyhow::Result<Value> {
        Way::new(self).ask(request, take)
    }

    /// Prints the result of a request: as JSON, or as `text` puts it.
    fn answer(&self, request: &ControlRequest, text: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        let done = self.ask(request, &mut |_| {})?;
        if self.json {
            return say_as_it_is(&visible(&format!("{done}\n"), Form::Json));
        }
        say(&text(&done))
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
