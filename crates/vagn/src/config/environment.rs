//! The variables of the environment that are settings, and those that only look like it.

use std::ffi::OsString;
use std::fmt;

use toml::{Table, Value};

use super::error::ConfigError;
use super::settings::Settings;

/// Begin of the name of every variable that is a setting.
const PREFIX: &str = "VAGN_";

/// Variable that names the settings file, and so is none in it.
const FILE: &str = "VAGN_CONFIG";

/// Variable with the token that `vagn drill` shows; no setting of the service.
const TOKEN: &str = "VAGN_TOKEN";

/// Setting with the tokens.
const TOKENS: &str = "http.tokens";

/// Form of a list, for whoever has written another one.
pub(super) const LIST_FORM: &str = r#" (a list, written '["a","b"]' or with commas: a,b)"#;

/// Begins of names that Kubernetes puts into every pod beside a service called `vagn`.
const OF_KUBERNETES: [&str; 2] = ["VAGN_SERVICE_", "VAGN_PORT"];

/// Most letters by which a mistyped name may differ from the one that was meant.
const TYPOS_MAX: usize = 2;

/// A setting in the environment.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) value: Value,
}

/// A variable that begins like a setting and is none. Its display form is a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    name: String,
    /// Name of a setting that was perhaps meant.
    meant: Option<String>,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, meant } = self;
        match meant {
            Some(meant) => {
                write!(f, "the environment has {name}, which is no setting; did you mean {meant}?")
            }
            None => write!(f, "the environment has {name}, which is no setting and is ignored"),
        }
    }
}

/// Sorts out what concerns the settings.
///
/// # Errors
/// The value of a setting that is not UTF-8.
pub(super) fn read(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Vec<Variable>, Vec<Foreign>), ConfigError> {
    let defaults = Table::try_from(Settings::default()).expect("the defaults can be written as TOML");
    let keys = leaves("", &defaults);
    let (mut variables, mut foreign) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
        match keys.iter().find(|(key, _)| names(key).any(|known| known == name)) {
            Some((key, default)) => {
                let text = text(name, key, value)?;
                let value = parse(key, text, default).map_err(|why| wrong(name, key, why))?;
                variables.push(Variable { name: name.to_owned(), key: key.clone(), value });
            }
            None => foreign.push(Foreign { name: name.to_owned(), meant: nearest(name, &keys) }),
        }
    }
    Ok((variables, foreign))
}

fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
        && ![FILE, TOKEN].contains(&name)
        && !OF_KUBERNETES.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the variables that set a key. `history.keep` is `VAGN_HISTORY_KEEP`, and, as on the command line, `udp.listen` is
/// also `VAGN_UDP`.
fn names(key: &str) -> impl Iterator<Item = String> {
    let whole = format!("{PREFIX}{}", key.replace('.', "_").to_uppercase());
    let short = whole.strip_suffix("_LISTEN").map(str::to_owned);
    [whole].into_iter().chain(short)
}

fn nearest(name: &str, keys: &[(String, Value)]) -> Option<String> {
    let known = keys.iter().flat_map(|(key, _)| names(key));
    let near = known.map(|known| (strsim::levenshtein(name, &known), known));
    near.filter(|(typos, _)| *typos <= TYPOS_MAX).min().map(|(_, known)| known)
}

fn text(name: &str, key: &str, value: OsString) -> Result<String, ConfigError> {
    value.into_string().map_err(|_| wrong(name, key, "the value is not UTF-8".to_owned()))
}

fn wrong(name: &str, key: &str, why: String) -> ConfigError {
    ConfigError::Key { key: key.to_owned(), from: format!("from the environment variable {name}"), why }
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
///
/// # Errors
/// A list that begins like one of JSON, and is none.
fn parse(key: &str, text: String, like: &Value) -> Result<Value, String> {
    Ok(match like {
        Value::Integer(_) => text.parse().map_or(Value::String(text), Value::Integer),
        Value::Boolean(_) => text.parse().map_or(Value::String(text), Value::Boolean),
        Value::Array(_) if text.trim_start().starts_with('[') => json_list(&text)?,
        // An empty token is refused: a secret that was not filled in must not open the service.
        Value::Array(_) if key == TOKENS && text.trim().is_empty() => vec![String::new()].into(),
        Value::Array(_) => Value::Array(listed(&text)),
        _ => Value::String(text),
    })
}

/// Reads a list with commas. Nothing is an empty list, as a compose file sets a variable that it has no value for; a comma at the end ends
/// the last item.
fn listed(text: &str) -> Vec<Value> {
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| Value::String(item.trim().into())).collect()
}

fn json_list(text: &str) -> Result<Value, String> {
    // Neither error shows what is in the list, which may be secret.
    let list: serde_json::Value =
        serde_json::from_str(text).map_err(|err| format!("no list in JSON: {err}{LIST_FORM}"))?;
    Value::try_from(list).map_err(|_| format!("the list has a value that no setting takes{LIST_FORM}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn warnings(names: &[&str]) -> Vec<String> {
        let environment = names.iter().map(|name| (name.into(), "1".into()));
        read(environment).unwrap().1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_foreign_variable_is_named_and_ignored() {
        assert_eq!(
            warnings(&["VAGN_VERSION", "PATH", "VAGN_CONFIG", "VAGN_TOKEN"]),
            ["the environment has VAGN_VERSION, which is no setting and is ignored"]
        );
    }

    #[test]
    fn a_mistyped_variable_is_told_from_a_foreign_one() {
        for (name, meant) in [
            ("VAGN_FSINC", "VAGN_FSYNC"),
            ("VAGN_UDP_LISEN", "VAGN_UDP_LISTEN"),
            ("VAGN_HTPP", "VAGN_HTTP"),
            ("VAGN_HISTORY_KEEPS", "VAGN_HISTORY_KEEP"),
        ] {
            let said = warnings(&[name]).concat();
            assert!(said.contains(&format!("{name}, which")), "{said}");
            assert!(said.ends_with(&format!("did you mean {meant}?")), "{said}");
        }
    }

    #[test]
    fn an_empty_variable_is_an_empty_list_but_for_secrets() {
        let list = |name: &str, text: &str| {
            let (variables, _) = read([(name.into(), text.into())].into_iter()).unwrap();
            variables[0]
                .value
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        for (text, expected) in [
            ("", &[][..]),
            (" ", &[]),
            (",", &[]),
            ("https://a.example", &["https://a.example"]),
            ("https://a.example, https://b.example,", &["https://a.example", "https://b.example"]),
            ("a,,b", &["a", "", "b"]),
            ("[]", &[]),
        ] {
            assert_eq!(list("VAGN_HTTP_CORS_ORIGINS", text), expected, "{text:?}");
        }
        assert_eq!(list("VAGN_HTTP_TOKENS", ""), [""], "it is refused");
    }

    #[test]
    fn what_kubernetes_puts_into_the_environment_is_passed_over() {
        assert_eq!(warnings(&["VAGN_SERVICE_HOST", "VAGN_PORT_9092_UDP", "VAGN_PORT"]), [""; 0]);
    }

    #[test]
    fn bytes_that_are_no_text_harm_only_the_setting_that_has_them() {
        let bytes = || OsString::from_vec(vec![0xff]);
        assert!(read([(bytes(), bytes()), ("OTHER".into(), bytes())].into_iter()).is_ok());
        assert_eq!(read([("VAGN_VERSION".into(), bytes())].into_iter()).unwrap().1.len(), 1);
        let said = read([("VAGN_FSYNC".into(), bytes())].into_iter()).unwrap_err().to_string();
        assert!(said.contains("`fsync`") && said.contains("VAGN_FSYNC") && said.contains("UTF-8"), "{said}");
    }
}
