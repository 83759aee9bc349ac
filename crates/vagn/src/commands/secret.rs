//! Secrets for commands: from a file or the environment. The command line still works, but every user of the machine can see it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{self, Coded};
use crate::config::readable;

/// Longest file of a secret, in bytes.
const FILE_MAX: u64 = 4096;

/// Flags for the token of an API.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Token for the API, if it asks for one. Others can see it in the list of processes: better is --token-file or VAGN_TOKEN.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// File with the token for the API.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// Returns the token, from the flags or from `VAGN_TOKEN`.
    ///
    /// # Errors
    /// As [`Places::read`].
    pub(super) fn token(&self) -> anyhow::Result<Option<String>> {
        let (given, file) = (self.token.as_deref(), self.token_file.as_deref());
        Places { flag: "--token", given, file, variable: "VAGN_TOKEN" }.read()
    }
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
    fn the_command_line_comes_first_and_none_is_none() {
        let places = |given| Places { flag: "--token", given, file: None, variable: NONE };
        assert_eq!(places(Some("x")).read().unwrap().as_deref(), Some("x"));
        assert_eq!(places(None).read().unwrap(), None);
    }
}
