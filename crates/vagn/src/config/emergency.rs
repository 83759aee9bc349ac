//! `[emergency]`: the targets for notices, their order, and the length of each one's turn.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::span::Span;
use vagn_emergency::record::incident::PRIMARY;
use vagn_emergency::{Target, Targets};

/// Most targets in the chain.
const TARGETS_MAX: usize = 16;

/// Longest name of a target, in bytes.
const NAME_MAX: usize = 64;

/// Longest time that makes sense anywhere here.
const LENGTH_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Name of the drill target.
const DRILL: &str = "drill";

/// `[emergency]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmergencySettings {
    /// First target for notices. If empty, the first of `targets` comes first; without any target incidents are only listed.
    pub url: String,
    /// Secret that signs the notices (Standard Webhooks, `whsec_…`); empty: unsigned.
    pub secret: String,
    /// Longest wait for the answer to one attempt.
    pub timeout: Span,
    /// Most attempts under way at a time.
    pub concurrency: u32,
    /// Length of a target's turn: if no person acknowledges the incident meanwhile, the next target gets a notice.
    pub escalate_after: Span,
    /// An incident that a person has acknowledged is resolved when it has been quiet for this time.
    pub resolve_after: Span,
    /// A vehicle is known once it was heard in each of ten parts of this time.
    pub known_after: Span,
    /// Most open incidents of vehicles that are not known, from one source: an IPv4 address, or an IPv6 network of 64 bits.
    pub strangers_per_source: u32,
    /// Target for drills.
    pub drill: DrillSettings,
    /// Further targets, in order. After the last one it is the first one's turn again.
    pub targets: Vec<TargetSettings>,
}

/// `[emergency.drill]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrillSettings {
    /// Address for notices about drills; empty: drills are only listed.
    pub url: String,
    /// Secret that signs these notices; empty: unsigned.
    pub secret: String,
    /// Longest wait for the answer to one attempt.
    pub timeout: Span,
    /// Most attempts under way at a time.
    pub concurrency: u32,
}

/// `[[emergency.targets]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSettings {
    /// Name in records and metrics. After a change of the name it counts as another target.
    pub name: String,
    /// Address for notices.
    pub url: String,
    /// Secret that signs the notices; empty: unsigned.
    #[serde(default)]
    pub secret: String,
    /// Longest wait for the answer to one attempt.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// Most attempts under way at a time.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// Length of its turn; unset: as `emergency.escalate_after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate_after: Option<Span>,
}

fn timeout() -> Span {
    Span::seconds(10)
}

fn concurrency() -> u32 {
    64
}

impl Default for EmergencySettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: String::new(),
            timeout: timeout(),
            concurrency: concurrency(),
            escalate_after: Span::seconds(60),
            resolve_after: Span::seconds(24 * 3600),
            known_after: Span::seconds(600),
            strangers_per_source: 5_000,
            drill: DrillSettings::default(),
            targets: Vec::new(),
        }
    }
}

impl Default for DrillSettings {
    fn default() -> Self {
        Self { url: String::new(), secret: String::new(), timeout: timeout(), concurrency: concurrency() }
    }
}

/// Settings of the emergency targets that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`emergency.{key}`: {why}")]
pub struct BadEmergency {
    key: String,
    why: String,
}

fn bad(key: impl Into<String>, why: impl ToString) -> BadEmergency {
    BadEmergency { key: key.into(), why: why.to_string() }
}

impl EmergencySettings {
    /// Removes all targets but the drill target.
    pub fn remove_real_targets(&mut self) {
        self.url.clear();
        self.targets.clear();
    }

    /// Returns true when there is a target for real incidents.
    pub fn has_real_target(&self) -> bool {
        !self.url.is_empty() || !self.targets.is_empty()
    }

    /// Returns the targets in their order, and the drill target.
    ///
    /// # Errors
    /// Names the first setting that is wrong.
    pub fn targets(&self) -> Result<Targets, BadEmergency> {
        self.check_lengths()?;
        let primary = (!self.url.is_empty()).then(|| ("url".to_owned(), self.primary()));
        let further = self.targets.iter().enumerate();
        let further = further.map(|(at, target)| (format!("targets[{at}]"), target.clone()));
        let mut chain = Vec::new();
        let mut names = BTreeSet::from([DRILL.to_owned()]);
        for (key, target) in primary.into_iter().chain(further) {
            if target.name.is_empty() || target.name.len() > NAME_MAX || !names.insert(target.name.clone()) {
                let name = &target.name;
                return Err(bad(
                    key,
                    format!("the name `{name}` is taken, empty, or longer than {NAME_MAX} bytes"),
                ));
            }
            chain.push(self.target(&key, &target)?);
        }
        if chain.len() > TARGETS_MAX {
            return Err(bad("targets", format!("there are more than {TARGETS_MAX}")));
        }
        let drill = self.drill_target(&chain)?;
        Ok(Targets { chain, drill })
    }

    fn primary(&self) -> TargetSettings {
        TargetSettings {
            name: PRIMARY.into(),
            url: self.url.clone(),
            secret: self.secret.clone(),
            timeout: self.timeout,
            concurrency: self.concurrency,
            escalate_after: None,
        }
    }

    fn target(&self, key: &str, target: &TargetSettings) -> Result<Target, BadEmergency> {
        let TargetSettings { name, url, secret, timeout, concurrency, escalate_after } = target;
        let turn = escalate_after.unwrap_or(self.escalate_after);
        check(&format!("{key}.timeout"), *timeout, *concurrency)?;
        check(&format!("{key}.escalate_after"), turn, *concurrency)?;
        Target::new(name, url, secret, timeout.0, *concurrency as usize, turn.0).map_err(|err| bad(key, err))
    }

    /// Returns the drill target. It must not be a real target too: no responder may be sent out for a drill.
    fn drill_target(&self, chain: &[Target]) -> Result<Option<Target>, BadEmergency> {
        let DrillSettings { url, secret, timeout, concurrency } = &self.drill;
        if url.is_empty() {
            return Ok(None);
        }
        check("drill.timeout", *timeout, *concurrency)?;
        // A drill has one target only, so its turn never ends.
        let target = Target::new(DRILL, url, secret, timeout.0, *concurrency as usize, Duration::MAX);
        let target = target.map_err(|err| bad("drill.url", err))?;
        match chain.iter().find(|real| real.is_same_place(&target)) {
            Some(real) => {
                Err(bad("drill.url", format!("that is the url of the real target `{}`", real.name())))
            }
            None => Ok(Some(target)),
        }
    }

    fn check_lengths(&self) -> Result<(), BadEmergency> {
        check("timeout", self.timeout, self.concurrency)?;
        check("escalate_after", self.escalate_after, self.concurrency)?;
        check("resolve_after", self.resolve_after, self.concurrency)?;
        check("known_after", self.known_after, self.concurrency)?;
        if self.strangers_per_source == 0 {
            return Err(bad("strangers_per_source", "must be at least 1"));
        }
        Ok(())
    }
}

fn check(key: &str, length: Span, concurrency: u32) -> Result<(), BadEmergency> {
    if !(Duration::from_secs(1)..=LENGTH_MAX).contains(&length.0) {
        return Err(bad(key, "must be 1s to 365days"));
    }
    if !(1..=1 << 16).contains(&concurrency) {
        // Every timeout has a concurrency beside it, so this names the setting that is wrong.
        return Err(bad(key.replace("timeout", "concurrency"), "must be 1 to 65536"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Targets, BadEmergency> {
        toml::from_str::<EmergencySettings>(text).unwrap().targets()
    }

    fn refusal(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    const TWO: &str = r#"
        url = "http://city.example/"
        escalate_after = "90s"
        [drill]
        url = "http://training.example/"
        [[targets]]
        name = "county"
        url = "http://county.example/"
        escalate_after = "30s"
    "#;

    #[test]
    fn the_one_line_target_comes_first_and_the_others_in_order() {
        let targets = read(TWO).unwrap();
        let said: Vec<_> =
            targets.chain.iter().map(|one| (one.name(), one.escalate_after.as_secs())).collect();
        assert_eq!(said, [("primary", 90), ("county", 30)]);
        assert_eq!(targets.drill.unwrap().name(), "drill");
        assert!(read("").unwrap().chain.is_empty());
    }

    #[test]
    fn a_drill_can_reach_no_real_target() {
        let said = refusal(&TWO.replace("training", "county"));
        assert!(said.contains("emergency.drill.url") && said.contains("`county`"), "{said}");
    }

    /// Returns true when a drill may go to `drill` while `real` is a real target.
    fn is_apart(real: &str, drill: &str) -> bool {
        read(&format!("url = \"{real}\"\n[drill]\nurl = \"{drill}\"")).is_ok()
    }

    #[test]
    fn a_drill_can_reach_no_real_target_however_its_url_is_written() {
        for drill in [
            "https://city.example/calls#drill",
            "https://city.example/calls?",
            "https://city.example/calls/",
            "https://user@city.example/calls",
            "https://user:password@city.example/calls",
            "HTTPS://City.EXAMPLE/calls",
            "https://city.example/CALLS",
            "https://city.example:443/calls",
            "https://city.example./calls",
            "https://city.example/drill/../calls",
        ] {
            assert!(!is_apart("https://city.example/calls", drill), "{drill}");
        }
        for here in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            assert!(!is_apart("http://localhost:9096/calls", &format!("http://{here}:9096/calls")), "{here}");
        }
    }

    #[test]
    fn a_drill_may_go_elsewhere_on_the_same_host() {
        for drill in [
            "https://city.example/drill",
            "https://city.example/calls?drill",
            "https://city.example:444/calls",
        ] {
            assert!(is_apart("https://city.example/calls", drill), "{drill}");
        }
    }

    #[test]
    fn names_the_setting_that_is_wrong() {
        for (wrong, named) in [
            ("url = \"ftp://x\"", "emergency.url"),
            ("url = \"http://a/\"\nsecret = \"whsec_c2hvcnQ=\"", "secret"),
            ("timeout = \"0s\"", "emergency.timeout"),
            ("concurrency = 0", "emergency.concurrency"),
            ("escalate_after = \"0s\"", "emergency.escalate_after"),
            ("known_after = \"0s\"", "emergency.known_after"),
            ("strangers_per_source = 0", "emergency.strangers_per_source"),
            ("escalate_after = \"18446744073709551615s\"", "emergency.escalate_after"),
            ("[[targets]]\nname = \"drill\"\nurl = \"http://a/\"", "`drill`"),
            ("[[targets]]\nname = \"\"\nurl = \"http://a/\"", "targets[0]"),
            ("url = \"http://a/\"\n[[targets]]\nname = \"primary\"\nurl = \"http://b/\"", "`primary`"),
        ] {
            assert!(refusal(wrong).contains(named), "{wrong}: {}", refusal(wrong));
        }
    }
}
