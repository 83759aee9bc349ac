//! `vagn config`: the settings in force, as the file that would give them.

use std::process::ExitCode;

use clap::Args;

use super::say;
use super::serve::SettingArgs;

/// The same flags as `serve` has.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn config > vagn.toml\n  VAGN_HISTORY_KEEP=48h vagn config --config vagn.toml\n\n\
Every key can also be set in the environment: history.keep is VAGN_HISTORY_KEEP."
)]
pub struct ConfigArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// Prints the settings as TOML; secrets are shown as `***`.
///
/// # Errors
/// When the settings cannot be in force.
pub fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut settings = args.settings.load()?;
    if !settings.emergency.secret.is_empty() {
        settings.emergency.secret = "***".into();
    }
    settings.http.tokens.iter_mut().for_each(|token| *token = "***".into());
    say(&toml::to_string(&settings)?)?;
    Ok(ExitCode::SUCCESS)
}
