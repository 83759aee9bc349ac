//! Puts the settings together from the defaults, the file, the environment and the flags, and refuses unknown keys.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::check::Refused;
use super::settings::Settings;

/// Settings given on the command line, as (key, value). The key has dots, such as `udp.listen`.
pub type Flags = Vec<(&'static str, Value)>;

/// Reason why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config file {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML", path.display())]
    Syntax {
        /// Path of the file.
        path: PathBuf,
        /// Place and reason.
        source: Box<toml::de::Error>,
    },
    /// A `VAGN_…` variable that is no setting.
    #[error("the environment has {0}, which is no setting; `vagn config` lists them")]
    Variable(String),
    /// An unknown key or a value of the wrong kind.
    #[error("setting `{key}` {from}: {why}")]
    Key {
        /// Name of the setting.
        key: String,
        /// Source of the value, as in "from vagn.toml".
        from: String,
        /// Reason.
        why: String,
    },
    /// Known keys with values that cannot work.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Returns the settings in force.
///
/// # Errors
/// A file that cannot be read, an unknown key, or a value that cannot work.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: Flags,
) -> Result<Settings, ConfigError> {
    let mut table = file.map_or(Ok(Table::new()), read)?;
    let mut origins = Vec::new();
    for (name, text) in environment.filter(|(name, _)| is_ours(name)) {
        let (key, default) = key_of(&name).ok_or_else(|| ConfigError::Variable(name.clone()))?;
        put(&mut table, &key, parse(text, &default));
        origins.push((key, format!("from the environment variable {name}")));
    }
    for (key, value) in flags {
        put(&mut table, key, value);
        origins.push((key.to_owned(), "from the command line".to_owned()));
    }
    let settings: Settings = serde_path_to_error::deserialize(table).map_err(|err| {
        let key = err.path().to_string();
        let from = origin(&key, &origins, file);
        ConfigError::Key { key, from, why: err.inner().message().to_owned() }
    })?;
    settings.check()?;
    Ok(settings)
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
    text.parse().map_err(|source| ConfigError::Syntax { path: path.into(), source: Box::new(source) })
}

/// Returns true for a variable that is meant as a setting. Kubernetes gives every pod `VAGN_SERVICE_…` and `VAGN_PORT…` where a
/// service is called `vagn`; these are not meant for us.
fn is_ours(name: &str) -> bool {
    let foreign = ["VAGN_SERVICE_", "VAGN_PORT"];
    name.starts_with("VAGN_")
        && name != "VAGN_CONFIG"
        && !foreign.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the key that a variable sets, with its default. `VAGN_HISTORY_KEEP` is `history.keep`, and, as on the command line,
/// `VAGN_UDP` is `udp.listen`.
fn key_of(name: &str) -> Option<(String, Value)> {
    let defaults = Table::try_from(Settings::default()).expect("the defaults can be written as TOML");
    let wanted = name.strip_prefix("VAGN_")?.to_lowercase();
    leaves("", &defaults).into_iter().find(|(key, _)| {
        let flat = key.replace('.', "_");
        flat == wanted || flat.strip_suffix("_listen") == Some(&wanted)
    })
}

fn leaves(prefix: &str, table: &Table) -> Vec<(String, Value)> {
    table.iter().flat_map(|(name, value)| leaves_of(format!("{prefix}{name}"), value)).collect()
}

fn leaves_of(key: String, value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Table(table) => leaves(&format!("{key}."), table),
        leaf => vec![(key, leaf.clone())],
    }
}

/// Reads a variable as the kind of value that its setting has. Text that does not fit stays text, so that the refusal of the
/// settings can name it.
fn parse(text: String, like: &Value) -> Value {
    match like {
        Value::Integer(_) => text.parse().map_or(Value::String(text), Value::Integer),
        Value::Boolean(_) => text.parse().map_or(Value::String(text), Value::Boolean),
        Value::Array(_) => {
            Value::Array(text.split(',').map(|item| Value::String(item.trim().into())).collect())
        }
        _ => Value::String(text),
    }
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
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Some(&path), environment, flags)
    }

    #[test]
    fn works_without_a_file_or_an_argument() {
        assert_eq!(load(None, std::iter::empty(), Flags::new()).unwrap(), Settings::default());
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
        let variable = load_with("", &[("VAGN_FSINC", "1s")], Flags::new()).unwrap_err().to_string();
        assert!(variable.contains("VAGN_FSINC"), "{variable}");
    }

    #[test]
    fn ignores_what_kubernetes_puts_into_the_environment() {
        let environment = [("VAGN_SERVICE_HOST", "10.0.0.1"), ("VAGN_PORT_9092_UDP", "udp://10.0.0.1:9092")];
        assert!(load_with("", &environment, Flags::new()).is_ok());
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
