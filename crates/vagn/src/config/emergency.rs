//! `[emergency]`: whom to call, in what order, and for how long it is whose turn.

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

/// What the target for drills is called.
const DRILL: &str = "drill";

/// `[emergency]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmergencySettings {
    /// Where calls go first; empty: to the first of `targets`, and without any incidents are only listed.
    pub url: String,
    /// Signs the calls (Standard Webhooks, `whsec_…`); empty: unsigned.
    pub secret: String,
    /// Longest wait for the answer to one attempt.
    pub timeout: Span,
    /// Most attempts under way at a time.
    pub concurrency: u32,
    /// How long it is a target's turn before the next is called, while no person acknowledges.
    pub escalate_after: Span,
    /// An incident that a person has acknowledged is resolved when it has been quiet for so long.
    pub resolve_after: Span,
    /// Whom to call about drills.
    pub drill: DrillSettings,
    /// Whom to call next, in order; behind the last it is the first one's turn again.
    pub targets: Vec<TargetSettings>,
}

/// `[emergency.drill]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrillSettings {
    /// Where calls about drills go; empty: they are only listed.
    pub url: String,
    /// Signs them; empty: unsigned.
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
    /// What it is called in records and metrics. Renamed, it is another.
    pub name: String,
    /// Where calls go.
    pub url: String,
    /// Signs the calls; empty: unsigned.
    #[serde(default)]
    pub secret: String,
    /// Longest wait for the answer to one attempt.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// Most attempts under way at a time.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// How long it is its turn; unset: as `emergency.escalate_after`.
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

/// These settings cannot be in force.
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
    /// Nobody is called about real incidents.
    pub fn call_nobody(&mut self) {
        self.url.clear();
        self.targets.clear();
    }

    /// Whether anybody is called about real incidents.
    pub fn calls_somebody(&self) -> bool {
        !self.url.is_empty() || !self.targets.is_empty()
    }

    /// Whom to call.
    ///
    /// # Errors
    /// Names the first setting that cannot be.
    pub fn targets(&self) -> Result<Targets, BadEmergency> {
        self.check_lengths()?;
        let primary = (!self.url.is_empty()).then(|| ("url".to_owned(), self.primary()));
        let further = self.targets.iter().enumerate();
        let further = further.map(|(at, target)| (format!("targets[{at}]"), target.clone()));
        let (mut chain, mut names) = (Vec::new(), BTreeSet::from([DRILL.to_owned()]));
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

    /// Nobody may be sent out for a drill: its target is none of the others.
    fn drill_target(&self, chain: &[Target]) -> Result<Option<Target>, BadEmergency> {
        let DrillSettings { url, secret, timeout, concurrency } = &self.drill;
        if url.is_empty() {
            return Ok(None);
        }
        check("drill.timeout", *timeout, *concurrency)?;
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
        check("resolve_after", self.resolve_after, self.concurrency)
    }
}

fn check(key: &str, length: Span, concurrency: u32) -> Result<(), BadEmergency> {
    if !(Duration::from_secs(1)..=LENGTH_MAX).contains(&length.0) {
        return Err(bad(key, "must be 1s to 365days"));
    }
    if !(1..=1 << 16).contains(&concurrency) {
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

    /// Whether a drill may go to `drill` while `real` is a real target.
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
    fn names_what_cannot_be() {
        for (wrong, named) in [
            ("url = \"ftp://x\"", "emergency.url"),
            ("url = \"http://a/\"\nsecret = \"whsec_c2hvcnQ=\"", "secret"),
            ("timeout = \"0s\"", "emergency.timeout"),
            ("concurrency = 0", "emergency.concurrency"),
            ("escalate_after = \"0s\"", "emergency.escalate_after"),
            ("escalate_after = \"18446744073709551615s\"", "emergency.escalate_after"),
            ("[[targets]]\nname = \"drill\"\nurl = \"http://a/\"", "`drill`"),
            ("[[targets]]\nname = \"\"\nurl = \"http://a/\"", "targets[0]"),
            ("url = \"http://a/\"\n[[targets]]\nname = \"primary\"\nurl = \"http://b/\"", "`primary`"),
        ] {
            assert!(refusal(wrong).contains(named), "{wrong}: {}", refusal(wrong));
        }
    }
}
