//! Puts the settings together from the defaults, the file, the environment and the flags.
//!
//! An unknown key in the file is an error: the file is written for this service alone. The environment is shared, and images put
//! names into it that begin like ours, so an unknown variable is only pointed out.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::caution::{self, Caution, has_credentials};
use super::environment::{self, Foreign, Variable};
use super::error::ConfigError;
use super::settings::Settings;

/// Settings given on the command line, as (key, value). The key has dots, such as `udp.listen`.
pub type Flags = Vec<(&'static str, Value)>;

/// The settings in force, and the variables in the environment that look like settings and are none.
#[derive(Debug)]
pub struct Loaded {
    /// Settings in force.
    pub settings: Settings,
    /// Variables that were passed over.
    pub foreign: Vec<Foreign>,
    /// Settings that give away more than they should.
    pub cautions: Vec<Caution>,
}

/// Returns the settings in force. `environment` has the names and values of all variables.
///
/// # Errors
/// A file that cannot be read, an unknown key in it, or a value that cannot work.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    flags: Flags,
) -> Result<Loaded, ConfigError> {
    let mut table = file.map_or(Ok(Table::new()), read)?;
    let mut cautions: Vec<Caution> =
        file.and_then(|path| caution::of_file(path, &table)).into_iter().chain(of_flags(&flags)).collect();
    let (variables, foreign) = environment::read(environment)?;
    let mut origins = Vec::new();
    for Variable { name, key, value } in variables {
        let form = if value.is_array() { environment::LIST_FORM } else { "" };
        put(&mut table, &key, value);
        origins.push((key, format!("from the environment variable {name}{form}")));
    }
    for (key, value) in flags {
        put(&mut table, key, value);
        origins.push((key.to_owned(), "from the command line".to_owned()));
    }
    let settings = settle(table, &origins, file)?;
    cautions.extend(caution::of(&settings));
    Ok(Loaded { settings, foreign, cautions })
}

/// Returns the settings in a table whose keys came from `origins`, or else from `file`.
pub(super) fn settle(
    table: Table,
    origins: &[(String, String)],
    file: Option<&Path>,
) -> Result<Settings, ConfigError> {
    let settings: Settings = serde_path_to_error::deserialize(table).map_err(|err| {
        let key = err.path().to_string();
        let from = origin(&key, origins, file);
        let why = shown(&key, err.inner().message());
        ConfigError::Key { key, from, why }
    })?;
    settings.check()?;
    Ok(settings)
}

/// Returns a message about a value, without the value where that may be a secret.
fn shown(key: &str, message: &str) -> String {
    let section = key.split(['.', '[']).next().unwrap_or_default();
    let may_be_secret = !key.contains('.') || matches!(section, "http" | "emergency" | "cluster");
    match message.rsplit_once(", expected ") {
        Some((wrong, expected)) if may_be_secret && wrong.starts_with("invalid ") => {
            format!("the value is of another kind; expected {expected}")
        }
        _ => message.to_owned(),
    }
}

/// Returns what the command line gives away: everyone can see it in the list of processes.
fn of_flags(flags: &Flags) -> impl Iterator<Item = Caution> {
    let is_open = |value: &Value| match value {
        Value::Array(list) => list.iter().filter_map(Value::as_str).any(|address| address.contains('@')),
        value => value.as_str().is_some_and(has_credentials),
    };
    let open = flags.iter().filter(move |(_, value)| is_open(value));
    open.map(|(key, _)| Caution {
        what: format!(
            "the password in `{key}` is on the command line, where every user of this machine can see it"
        ),
        remedy: "set it in the config file or in the environment".to_owned(),
    })
}

/// Returns the source of a key: the last one that set it, or else the file. The source of `http.tokens[0]` is that of
/// `http.tokens`.
fn origin(key: &str, origins: &[(String, String)], file: Option<&Path>) -> String {
    let name = key.split('[').next().unwrap_or(key);
    let found = origins.iter().rev().find(|(set, _)| set == name).map(|(_, from)| from.clone());
    found.unwrap_or_else(|| file.map_or("by default".to_owned(), |file| format!("from {}", file.display())))
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    parse(&text, path)
}

/// Reads the text of the file `path`.
pub(super) fn parse(text: &str, path: &Path) -> Result<Table, ConfigError> {
    text.parse().map_err(|err| syntax(path, text, &err))
}

/// Names the place and the fault, and not the line itself, which may be that of a secret.
fn syntax(path: &Path, text: &str, err: &toml::de::Error) -> ConfigError {
    let before = err.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ConfigError::Syntax { path: path.into(), line, column, why: err.message().to_owned() }
}

fn put(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.into(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            match inner {
                Value::Table(inner) => put(inner, rest, value),
                // The file has a plain value where a section belongs. The section replaces it and is then checked as a whole.
                plain => *plain = Value::Table(Table::from_iter([(rest.to_owned(), value)])),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    fn load_with(file: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Settings, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vagn.toml");
        fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        load(Some(&path), environment, flags).map(|loaded| loaded.settings)
    }

    #[test]
    fn works_without_a_file_or_an_argument() {
        assert_eq!(load(None, std::iter::empty(), Flags::new()).unwrap().settings, Settings::default());
    }

    #[test]
    fn flags_override_the_environment_which_overrides_the_file() {
        let file = "max_vehicles = 1\n[udp]\nlisten = \"localhost:1\"\n[history]\nkeep = \"1h\"";
        let environment = [("VAGN_UDP", "localhost:2"), ("VAGN_HISTORY_KEEP", "2h")];
        let settings = load_with(file, &environment, vec![("udp.listen", "localhost:3".into())]).unwrap();
        assert_eq!(settings.max_vehicles, 1);
        assert_eq!(settings.history.keep, Span::seconds(7200));
        assert_eq!(settings.udp.listen, "localhost:3");
    }

    #[test]
    fn names_an_unknown_key() {
        let said = |file: &str| load_with(file, &[], Flags::new()).unwrap_err().to_string();
        assert!(said("[udp]\nlisen = \"x\"").contains("lisen"), "{}", said("[udp]\nlisen = \"x\""));
        assert!(said("fsinc = \"1s\"").contains("fsinc"));
        assert!(said("fsync = \"soon\"").contains("fsync"));
    }

    #[test]
    fn one_text_may_stand_for_a_list_of_origins() {
        for file in ["http.cors_origins = \"*\"", "http.cors_origins = [\"*\"]"] {
            assert_eq!(load_with(file, &[], Flags::new()).unwrap().http.cors_origins, ["*"], "{file}");
        }
        let said = load_with("http.cors_origins = 1", &[], Flags::new()).unwrap_err().to_string();
        assert!(said.contains("cors_origins") && said.contains("a list of texts"), "{said}");
    }

    #[test]
    fn a_password_of_brokers_on_the_command_line_is_pointed_out() {
        let cautions = |address: &str| {
            let flags = vec![("cluster.nats", Value::Array(vec![address.into()]))];
            load(None, std::iter::empty(), flags).unwrap().cautions
        };
        let said = cautions("tls://me:hush@a.example")[0].to_string();
        assert!(said.contains("`cluster.nats`") && !said.contains("hush"), "{said}");
        assert_eq!(cautions("tls://a.example"), []);
    }

    #[test]
    fn no_refusal_shows_a_secret() {
        let tables = [
            "[http]\ntokens",
            "[emergency]\nsecret",
            "[emergency.drill]\nsecret",
            "[[emergency.targets]]\nsecret",
        ];
        let addresses =
            ["[cluster]\nnats", "[emergency]\nurl", "[emergency.drill]\nurl", "[[emergency.targets]]\nurl"];
        let whole = ["http", "cluster", "emergency", "emergency.drill", "emergency.targets"];
        for key in tables.iter().chain(&addresses).chain(&whole) {
            for value in [
                "\"hush",
                "'hush",
                "hush",
                "\"hush\" \"hush\"",
                "[\"hush\"",
                "\"\"\"hush",
                "\"hush\"\nsecret = \"hush\"\nsecret = \"hush\"",
                "[\"hush\", 7]",
                "[[\"hush\"]]",
                "{ hush = 7",
                "\"ftp://me:hush@a.example\"",
                "\"https://me:hush@[::1\"",
                "\"https://me:hush@:99999\"",
            ] {
                let text = format!("{key} = {value}\n");
                let Err(err) = load_with(&text, &[], Flags::new()) else { continue };
                let said = format!("{err} {err:?}");
                let said = said.replace("unknown field `hush`", "");
                assert!(!said.contains("hush"), "{text}: {said}");
            }
        }
        let said = load_with("[udp]\n\n  listen = = 1", &[], Flags::new()).unwrap_err().to_string();
        assert!(said.contains("vagn.toml") && said.contains("line 3, column 12"), "{said}");
    }

    #[test]
    fn a_list_in_a_variable_is_json_or_has_commas() {
        for (text, expected) in [
            ("https://a.example, https://b.example", &["https://a.example", "https://b.example"][..]),
            (r#"["https://a.example","https://b.example"]"#, &["https://a.example", "https://b.example"]),
            (r#" [ "https://a.example" ] "#, &["https://a.example"]),
            ("[]", &[]),
        ] {
            let settings = load_with("", &[("VAGN_HTTP_CORS_ORIGINS", text)], Flags::new()).unwrap();
            assert_eq!(settings.http.cors_origins, expected, "{text}");
        }
        let tokens = [("VAGN_HTTP_TOKENS", r#"["with, a comma and \" more"]"#)];
        assert_eq!(load_with("", &tokens, Flags::new()).unwrap().http.tokens, ["with, a comma and \" more"]);
        let targets = r#"[{"name": "county", "url": "https://county.example/", "concurrency": 4}]"#;
        let settings = load_with("", &[("VAGN_EMERGENCY_TARGETS", targets)], Flags::new()).unwrap();
        assert_eq!(
            (&*settings.emergency.targets[0].name, settings.emergency.targets[0].concurrency),
            ("county", 4)
        );
    }

    #[test]
    fn a_list_that_cannot_be_read_names_the_variable_and_the_form() {
        for (name, text) in [
            ("VAGN_HTTP_TOKENS", r#"["hush""#),
            ("VAGN_HTTP_TOKENS", r#"["hush", 7]"#),
            ("VAGN_HTTP_TOKENS", r#"["hush", null]"#),
            ("VAGN_EMERGENCY_TARGETS", "hush"),
            ("VAGN_EMERGENCY_TARGETS", r#"["hush"]"#),
        ] {
            let said = load_with("", &[(name, text)], Flags::new()).unwrap_err().to_string();
            assert!(
                said.contains(name) && said.contains(r#"'["a","b"]'"#) && !said.contains("hush"),
                "{text}: {said}"
            );
        }
    }

    #[test]
    fn says_which_variable_has_the_wrong_kind_of_value() {
        let said = load_with("", &[("VAGN_MAX_VEHICLES", "many")], Flags::new()).unwrap_err().to_string();
        assert!(said.contains("max_vehicles"), "{said}");
        assert!(said.contains("from the environment variable VAGN_MAX_VEHICLES"), "{said}");
        let said = load_with("max_vehicles = \"many\"", &[], Flags::new()).unwrap_err().to_string();
        assert!(said.contains("vagn.toml"), "{said}");
    }
}
