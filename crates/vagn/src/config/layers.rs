//! Puts the settings together from the defaults, the file, the environment and the flags.
//!
//! An unknown key in the file is an error: the file is written for this service alone. The environment is shared, and images put
//! names into it that begin like ours, so an unknown variable is only pointed out.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

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
    let (variables, foreign) = environment::read(environment)?;
    let mut origins = Vec::new();
    for Variable { name, key, value } in variables {
        put(&mut table, &key, value);
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
    Ok(Loaded { settings, foreign })
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
    fn says_which_variable_has_the_wrong_kind_of_value() {
        let said = load_with("", &[("VAGN_MAX_VEHICLES", "many")], Flags::new()).unwrap_err().to_string();
        assert!(said.contains("max_vehicles"), "{said}");
        assert!(said.contains("from the environment variable VAGN_MAX_VEHICLES"), "{said}");
        let said = load_with("max_vehicles = \"many\"", &[], Flags::new()).unwrap_err().to_string();
        assert!(said.contains("vagn.toml"), "{said}");
    }
}
