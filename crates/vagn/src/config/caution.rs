//! Cautions: settings that work, and that give away more than an operator may want.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::Url;
use toml::{Table, Value};
use vagn_http::credentials::SURE_LENGTH;

use super::settings::Settings;

/// Right of other users of the machine to read a file.
const OTHERS_READ: u32 = 0o004;

/// Something that works, and that an operator should know. Its display form is one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caution {
    /// State of things.
    pub what: String,
    /// Way to mend it.
    pub remedy: String,
}

impl Caution {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// Returns what the settings themselves give away.
pub(super) fn of(settings: &Settings) -> Vec<Caution> {
    let mut cautions = targets(settings);
    if !settings.http.tokens.is_empty() {
        let what = "each token of `http.tokens` may do everything, and names nobody: what its holder does is recorded under any name";
        let remedy = "give each person and program a token of its own, with `vagn token add NAME --role ROLE [--person]`";
        cautions.push(Caution::new(what, remedy));
    }
    cautions.extend(short_token(settings));
    let key = &settings.http.key;
    if !key.as_os_str().is_empty() {
        cautions.extend(readable("http.key", key));
    }
    cautions.extend(readable("registry.key_file", &settings.registry.key_file));
    cautions.extend(readable("cluster.key", &settings.cluster.key));
    cautions
}

/// Returns a caution about a token that [waits for wrong ones](vagn_http::token_guard) from its address.
fn short_token(settings: &Settings) -> Option<Caution> {
    let short = |token: &String| token.trim().chars().count() < SURE_LENGTH;
    let at = settings.http.tokens.iter().position(short)?;
    let what = format!(
        "`http.tokens[{at}]` has fewer than {SURE_LENGTH} characters: while wrong tokens come from an address, it is refused there, also with a \
         call for help"
    );
    Some(Caution::new(
        what,
        "make a token with `vagn token add`, or a longer one with `openssl rand -hex 16`",
    ))
}

/// Returns what the settings file gives away: a secret in it that others can read.
pub(super) fn of_file(path: &Path, table: &Table) -> Option<Caution> {
    has_secret(table).then(|| readable("the config file, which has secrets,", path)).flatten()
}

/// Returns a caution where other users of the machine may read this file.
pub fn readable(named: &str, path: &Path) -> Option<Caution> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & OTHERS_READ != 0).then(|| {
        let path = path.display();
        Caution::new(
            format!("{named} {path} can be read by every user of this machine"),
            format!("chmod o= {path}"),
        )
    })
}

fn targets(settings: &Settings) -> Vec<Caution> {
    let emergency = &settings.emergency;
    let primary = ("emergency.url".to_owned(), &emergency.url, &emergency.secret);
    let drill = ("emergency.drill.url".to_owned(), &emergency.drill.url, &emergency.drill.secret);
    let further = emergency.targets.iter().enumerate();
    let further = further.map(|(at, each)| (format!("emergency.targets[{at}].url"), &each.url, &each.secret));
    let all = [primary, drill].into_iter().chain(further);
    all.flat_map(|(key, url, secret)| target(&key, url, secret)).collect()
}

/// What stays on this machine can be heard and forged only by who is on it already.
fn target(key: &str, url: &str, secret: &str) -> Vec<Caution> {
    let Some(url) = Url::parse(url).ok().filter(|url| !is_here(url)) else { return Vec::new() };
    let mut cautions = Vec::new();
    if url.scheme() == "http" {
        let what = format!(
            "`{key}` is plain http: the place of a vehicle in need can be read and changed on the way"
        );
        cautions.push(Caution::new(what, "take an https address"));
    }
    if secret.is_empty() {
        let what =
            format!("notices to `{key}` are not signed: its receiver cannot tell them from forged ones");
        let remedy = format!("set `{}`, a secret of Standard Webhooks", key.replace("url", "secret"));
        cautions.push(Caution::new(what, remedy));
    }
    cautions
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    address.map_or_else(|_| host == "localhost", |address| address.to_canonical().is_loopback())
}

/// True for an address with a user or a password in it.
pub fn has_credentials(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

/// Returns an address without its user and password.
pub fn without_credentials(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if has_credentials(url) => {
            // They fail for addresses that can have neither.
            parsed.set_username("").ok();
            parsed.set_password(None).ok();
            parsed.into()
        }
        _ => url.to_owned(),
    }
}

/// Shortest part of a path that may be a secret: receivers of webhooks have theirs there, or in the query.
const SECRET_PART_MIN: usize = 16;

/// Returns what in the address of a target may be secret, in words.
pub fn secret_parts(url: &str) -> Vec<&'static str> {
    let Ok(parsed) = Url::parse(url) else { return Vec::new() };
    let parts = [
        (has_credentials(url), "a user or password"),
        (parsed.query().is_some() || parsed.fragment().is_some(), "a query"),
        (open_path(&parsed) != parsed.path(), "a path with a long part"),
    ];
    parts.into_iter().filter_map(|(is_there, what)| is_there.then_some(what)).collect()
}

/// Returns the address of a target without what may be secret in it.
pub fn without_secrets(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if !secret_parts(url).is_empty() => {
            let path = open_path(&parsed).to_owned();
            parsed.set_path(&path);
            parsed.set_query(None);
            parsed.set_fragment(None);
            without_credentials(parsed.as_str())
        }
        _ => url.to_owned(),
    }
}

/// Returns the path up to a part that may be a secret.
fn open_path(url: &Url) -> &str {
    let path = url.path();
    let mut end = 0;
    for part in path.split_inclusive('/') {
        if part.trim_end_matches('/').chars().count() >= SECRET_PART_MIN {
            return &path[..end];
        }
        end += part.len();
    }
    path
}

/// Returns an address that makes no sense, without what may be a password in it, or another secret behind its host.
pub(super) fn masked(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    let (front, query) = rest.find(['?', '#']).map_or((rest, ""), |at| (&rest[..at], "?…"));
    let host = front.rsplit_once('@').map_or(front.to_owned(), |(_, host)| format!("…@{host}"));
    let between = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{between}{host}{query}")
}

fn has_secret(table: &Table) -> bool {
    table.iter().any(|(key, value)| match (key.as_str(), value) {
        ("secret", Value::String(text)) => !text.is_empty(),
        ("url", Value::String(text)) => !secret_parts(text).is_empty(),
        // Here an address may lack its scheme.
        ("nats", Value::String(text)) => text.contains('@'),
        ("nats", Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).any(|address| address.contains('@'))
        }
        ("tokens", Value::Array(list)) => !list.is_empty(),
        (_, Value::Table(inner)) => has_secret(inner),
        (_, Value::Array(list)) => list.iter().filter_map(Value::as_table).any(has_secret),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        of(&toml::from_str(text).unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_target_beyond_this_machine_is_encrypted_and_signed() {
        let secret = "secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"";
        for (url, secret, expected) in [
            ("http://127.0.0.1:9099/", "", &[][..]),
            ("http://localhost:9099/", "", &[]),
            ("http://[::1]:9099/", "", &[]),
            ("https://a.example/", secret, &[]),
            ("https://a.example/", "", &["not signed"]),
            ("http://a.example/", secret, &["plain http"]),
            ("http://a.example/", "", &["plain http", "not signed"]),
            ("http://localhost.a.example/", secret, &["plain http"]),
        ] {
            for (table, key) in [
                ("[emergency]", "emergency.url"),
                ("[emergency.drill]", "emergency.drill.url"),
                ("[[emergency.targets]]\nname = \"a\"", "emergency.targets[0].url"),
            ] {
                let said = said(&format!("{table}\nurl = \"{url}\"\n{secret}"));
                let fits = |(said, word): (&String, &&str)| said.contains(word) && said.contains(key);
                assert!(
                    said.len() == expected.len() && said.iter().zip(expected).all(fits),
                    "{url}: {said:?}"
                );
            }
        }
    }

    #[test]
    fn a_token_that_waits_for_wrong_ones_is_named() {
        let long = "x".repeat(SURE_LENGTH);
        let said = said(&format!("http.tokens = [{long:?}, {:?}]", &long[1..]));
        assert!(
            said.len() == 2 && said[1].contains("`http.tokens[1]` has fewer than 32 characters"),
            "{said:?}"
        );
        let fine = super::of(&toml::from_str(&format!("http.tokens = [{long:?}]")).unwrap());
        assert_eq!(fine.len(), 1);
    }

    #[test]
    fn a_file_with_a_secret_that_others_can_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vagn.toml");
        fs::write(&path, "").unwrap();
        for (text, mode, expected) in [
            ("http.tokens = [\"hush\"]", 0o644, true),
            ("emergency.secret = \"hush\"", 0o604, true),
            ("[[emergency.targets]]\nsecret = \"hush\"", 0o644, true),
            ("emergency.drill.url = \"https://me:hush@a.example/\"", 0o644, true),
            ("emergency.url = \"https://a.example/calls?token=hush\"", 0o644, true),
            ("http.tokens = [\"hush\"]", 0o640, false),
            (
                "http.tokens = []\nemergency.secret = \"\"\nemergency.url = \"https://a.example\"",
                0o644,
                false,
            ),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let caution = of_file(&path, &text.parse().unwrap());
            assert_eq!(caution.is_some(), expected, "{text}");
            assert!(caution.is_none_or(|caution| caution.to_string().contains("vagn.toml")), "{text}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let said = said(&format!("http.cert = \"x\"\nhttp.key = {:?}", path.display().to_string()));
        assert!(said.len() == 1 && said[0].contains("http.key"), "{said:?}");
    }

    #[test]
    fn credentials_are_left_out_of_an_address() {
        assert_eq!(without_credentials("https://me:hush@a.example/x?y"), "https://a.example/x?y");
        assert_eq!(without_credentials("https://key@a.example"), "https://a.example/");
        for plain in ["https://a.example", "", "no address", "https://a.example/@x"] {
            assert_eq!(without_credentials(plain), plain);
        }
    }
}
