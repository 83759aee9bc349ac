//! Secrets for commands: from a file or the environment. The command line still works, but every user of the machine can see it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::exit::{self, Coded};
use crate::config::readable;

/// Longest file of a secret, in bytes.
const FILE_MAX: u64 = 4096;

/// Environment variable of the token.
const VARIABLE: &str = "VAGN_TOKEN";

/// Flags for the token of an API.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Token for the API, if it asks for one. Others can see it in the list of processes: better is --token-file or VAGN_TOKEN.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// File with the token for the API: alone, as `vagn token add --json` prints it, or as a line `Authorization: Bearer TOKEN`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// Returns the token, from the flags or from `VAGN_TOKEN`.
    ///
    /// # Errors
    /// As [`Places::read`], and when there is no token in what is given.
    pub(super) fn token(&self) -> anyhow::Result<Option<String>> {
        let (given, file) = (self.token.as_deref(), self.token_file.as_deref());
        let places = Places { flag: "--token", given, file, variable: VARIABLE };
        let Some(secret) = places.read()? else { return Ok(None) };
        token_in(&secret).map(Some).ok_or_else(|| self.without_token().into())
    }

    fn without_token(&self) -> Coded {
        let place = match (&self.token, &self.token_file) {
            (Some(_), _) => "--token".to_owned(),
            (None, Some(file)) => format!("--token-file {}", file.display()),
            (None, None) => VARIABLE.to_owned(),
        };
        Coded::usage(format!(
            "{place} holds no token: it takes one alone, as `vagn token add --json` prints it, or as a line `Authorization: Bearer TOKEN`"
        ))
    }
}

/// Returns the token in a text: that of a header, as `curl -H @FILE` reads it, that of the JSON of `vagn token add`, or the text itself.
/// It may have blanks, as those of `http.tokens` may, and no more than a line.
fn token_in(text: &str) -> Option<String> {
    let header = text.lines().find_map(|line| after(line.trim(), "authorization:"));
    let token = match header {
        Some(credentials) => after(credentials, "bearer ")?.to_owned(),
        None if text.trim_start().starts_with('{') => {
            serde_json::from_str::<Value>(text).ok()?["token"].as_str()?.to_owned()
        }
        None => text.trim().to_owned(),
    };
    (!token.is_empty() && !token.contains(char::is_control)).then_some(token)
}

/// Returns what follows a word, which is lower case here and in any case there.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (begin, rest) = text.split_at_checked(word.len())?;
    begin.eq_ignore_ascii_case(word).then(|| rest.trim())
}

/// Places of one secret.
pub(super) struct Places<'a> {
    /// Name of the flag, such as `--token`.
    pub(super) flag: &'static str,
    /// Value of the flag.
    pub(super) given: Option<&'a str>,
    /// Value of the flag with `-file` at its end.
    pub(super) file: Option<&'a Path>,
    /// Name of the environment variable.
    pub(super) variable: &'static str,
}

impl Places<'_> {
    /// Returns the secret of the first place that has one: the flag, the file, the environment. Warns of one that others can see.
    ///
    /// # Errors
    /// A file that cannot be read or is empty, or a variable that is not UTF-8.
    pub(super) fn read(&self) -> anyhow::Result<Option<String>> {
        let Self { flag, given, file, variable } = self;
        if let Some(given) = given {
            exit::warn(&format!(
                "every user of this machine can see {flag} in the list of processes; use {flag}-file or {variable}"
            ));
            return Ok(Some((*given).to_owned()));
        }
        if let Some(path) = file {
            return of_file(flag, path).map(Some);
        }
        match std::env::var(variable) {
            Ok(secret) => Ok(Some(secret).filter(|secret| !secret.is_empty())),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Coded::usage(format!("{variable} is not UTF-8")).into())
            }
        }
    }
}

fn of_file(flag: &str, path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text));
    if let Err(err) = read {
        return Err(Coded::usage(format!("cannot read {flag}-file {}: {err}", path.display())).into());
    }
    if let Some(caution) = readable(&format!("{flag}-file"), path) {
        exit::warn(&caution);
    }
    match text.trim() {
        "" => Err(Coded::usage(format!("{flag}-file {} is empty", path.display())).into()),
        secret => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No process has this variable.
    const NONE: &str = "VAGN_NO_SUCH_SECRET";

    #[test]
    fn a_file_gives_its_text_without_the_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = || Places { flag: "--token", given: None, file: Some(&path), variable: NONE }.read();
        assert!(read().unwrap_err().to_string().contains("--token-file"));
        std::fs::write(&path, "\n").unwrap();
        assert!(read().unwrap_err().to_string().contains("is empty"));
        std::fs::write(&path, "open sesame, please\n").unwrap();
        assert_eq!(read().unwrap().as_deref(), Some("open sesame, please"));
    }

    #[test]
    fn a_token_is_taken_in_each_form_in_which_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            TokenArgs { token: None, token_file: Some(path.clone()) }.token()
        };
        for text in [
            "hush-hush\n",
            "{\"name\":\"drill\",\"role\":\"read\",\"token\":\"hush-hush\"}\n",
            "Authorization: Bearer hush-hush\r\n",
            "authorization:bearer  hush-hush",
            // All that `vagn token add` says.
            "drill has a token with the role read:\n  hush-hush\nKeep it as the line\n  Authorization: Bearer hush-hush\nand try it\n",
        ] {
            assert_eq!(read(text).unwrap().as_deref(), Some("hush-hush"), "{text}");
        }
        assert_eq!(read("open sesame, please\n").unwrap().as_deref(), Some("open sesame, please"));
        for text in [
            "hush-hush\nis the token\n",
            "{\"vehicle_id\":\"drill\",\"secret\":\"hush-hush\"}\n",
            "{\"token\":\"hush-hush\"",
            "Authorization: Basic hush-hush\n",
            "{\"token\":\"\"}",
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains("--token-file") && said.contains("holds no token"), "{said}");
            assert!(!said.contains("hush-hush"), "{said}");
        }
    }

    #[test]
    fn the_command_line_comes_first_and_none_is_none() {
        let places = |given| Places { flag: "--token", given, file: None, variable: NONE };
        assert_eq!(places(Some("x")).read().unwrap().as_deref(), Some("x"));
        assert_eq!(places(None).read().unwrap(), None);
    }
}
