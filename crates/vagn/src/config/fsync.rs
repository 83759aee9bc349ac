//! The setting `fsync`: when the position log is forced to disk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::span::Span;

/// `fsync = "always" | "never" | "1s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before every answer: an answer over TCP or HTTP means that the position is on disk.
    Always,
    /// Left to the operating system.
    Never,
    /// At least this often; after a power loss at most this much time is missing.
    Every(Span),
}

impl fmt::Display for Fsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Never => f.write_str("never"),
            Self::Every(span) => span.fmt(f),
        }
    }
}

impl FromStr for Fsync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            span => match span.parse::<Span>() {
                Ok(Span(every)) if every.is_zero() => Err("use `always` to sync before every answer".into()),
                Ok(every) => Ok(Self::Every(every)),
                Err(_) => {
                    Err(format!("`{text}` is neither `always` nor `never` nor a length of time such as 1s"))
                }
            },
        }
    }
}

impl Serialize for Fsync {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fsync {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
