//! `vagn config`: prints the settings in force, as a settings file.

use std::process::ExitCode;

use clap::Args;

use super::say_as_it_is;
use super::serve::SettingArgs;
use crate::config::{
    EmergencySettings, Settings, has_credentials, secret_parts, without_credentials, without_secrets,
};

/// Flags of `vagn config`: those of `vagn serve` that are settings.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn config > vagn.toml\n  VAGN_HISTORY_KEEP=48h vagn config --config vagn.toml\n\n\
Every key can also be set in the environment: history.keep is VAGN_HISTORY_KEEP.\n\
For pages of other origins, such as a map of your own, set http.cors_origins (VAGN_HTTP_CORS_ORIGINS=https://map.example).\n\
Secrets that are set (emergency.secret, http.tokens, …) are named in comments, without their values: add them yourself. So are \
what may be secret in the address of a target: user, password, query, and a path from its first part of 16 characters on."
)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// Prints the settings as TOML.
pub(super) fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut settings = args.settings.load()?.settings;
    say_as_it_is(&shown(&mut settings)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the settings as TOML, with a comment for each secret that is set. A placeholder in place of the secret would load
/// as if it were the secret.
fn shown(settings: &mut Settings) -> Result<String, toml::ser::Error> {
    let mut set = Vec::new();
    if !std::mem::take(&mut settings.http.tokens).is_empty() {
        set.push("http.tokens".to_owned());
    }
    for (key, secret) in secrets(&mut settings.emergency) {
        if !std::mem::take(secret).is_empty() {
            set.push(key);
        }
    }
    let mut comments: String = set.iter().map(|key| format!("# {key} is set; not shown\n")).collect();
    for (key, url) in urls(&mut settings.emergency) {
        let secret = secret_parts(url);
        if !secret.is_empty() {
            *url = without_secrets(url);
            comments += &format!("# {key} has {}; not shown\n", secret.join(" and "));
        }
    }
    let addresses = settings.cluster.addresses();
    if addresses.iter().any(|address| has_credentials(address)) {
        comments += "# cluster.nats has users or passwords; not shown\n";
        settings.cluster.nats = addresses.iter().map(|address| without_credentials(address)).collect();
    }
    Ok(comments + &toml::to_string(settings)?)
}

/// Returns the name and the value of each secret of the emergency settings.
fn secrets(emergency: &mut EmergencySettings) -> impl Iterator<Item = (String, &mut String)> {
    let EmergencySettings { secret, drill, targets, .. } = emergency;
    let fixed = [("emergency.secret", secret), ("emergency.drill.secret", &mut drill.secret)];
    let of_targets = targets
        .iter_mut()
        .enumerate()
        .map(|(at, target)| (format!("emergency.targets[{at}].secret"), &mut target.secret));
    fixed.into_iter().map(|(key, secret)| (key.to_owned(), secret)).chain(of_targets)
}

/// Returns the name and the value of each address of the emergency settings.
fn urls(emergency: &mut EmergencySettings) -> impl Iterator<Item = (String, &mut String)> {
    let EmergencySettings { url, drill, targets, .. } = emergency;
    let fixed = [("emergency.url".to_owned(), url), ("emergency.drill.url".to_owned(), &mut drill.url)];
    let of_targets = targets
        .iter_mut()
        .enumerate()
        .map(|(at, target)| (format!("emergency.targets[{at}].url"), &mut target.url));
    fixed.into_iter().chain(of_targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_as_a_comment_without_its_value() {
        let mut settings = Settings::default();
        settings.emergency.secret = "hush".into();
        settings.emergency.drill.secret = "hush".into();
        settings.http.tokens = vec!["hush".into()];
        let text = shown(&mut settings).unwrap();
        assert!(!text.contains("hush") && !text.contains("***"), "{text}");
        assert!(
            ["emergency.secret", "emergency.drill.secret", "http.tokens"]
                .iter()
                .all(|key| text.contains(&format!("# {key} is set"))),
            "{text}"
        );
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), Settings::default());
    }

    #[test]
    fn a_password_in_an_address_is_left_out_and_named() {
        let text = "[emergency]\nurl = \"https://me:hush@a.example/x\"\n[emergency.drill]\nurl = \"https://hush@b.example/\"\n\
            [[emergency.targets]]\nname = \"c\"\nurl = \"https://:hush@c.example/\"\n\
            [cluster]\nnats = [\"tls://me:hush@a.example\", \"hush@b.example\"]\n";
        let text = shown(&mut toml::from_str(text).unwrap()).unwrap();
        assert!(!text.contains("hush") && text.contains("url = \"https://a.example/x\""), "{text}");
        for key in ["emergency.url", "emergency.drill.url", "emergency.targets[0].url"] {
            assert!(text.contains(&format!("# {key} has a user or password; not shown\n")), "{text}");
        }
        assert!(text.contains("# cluster.nats has users or passwords; not shown\n"), "{text}");
        assert!(text.contains("nats = [\"tls://a.example\", \"tls://b.example\"]"), "{text}");
    }

    #[test]
    fn what_may_be_secret_in_the_address_of_a_target_is_left_out_and_named() {
        for (url, want, named) in [
            ("https://a.example/x?token=hush", "https://a.example/x", "a query"),
            ("https://a.example/#hush", "https://a.example/", "a query"),
            (
                "https://a.example/services/T00/hush56789abcdefg/x",
                "https://a.example/services/T00/",
                "a path with a long part",
            ),
            ("https://hush@a.example/?hush", "https://a.example/", "a user or password and a query"),
        ] {
            let text = shown(&mut toml::from_str(&format!("emergency.url = \"{url}\"")).unwrap()).unwrap();
            assert!(!text.contains("hush") && text.contains(&format!("url = \"{want}\"")), "{text}");
            assert!(text.contains(&format!("# emergency.url has {named}; not shown\n")), "{text}");
        }
        let plain = "http://127.0.0.1:9099/api/v1/emergency-calls";
        let text = shown(&mut toml::from_str(&format!("emergency.url = \"{plain}\"")).unwrap()).unwrap();
        assert!(text.contains(&format!("url = \"{plain}\"")) && !text.contains("not shown"), "{text}");
    }
}
