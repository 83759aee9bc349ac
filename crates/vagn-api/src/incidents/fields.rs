//! The body of a person's request: one JSON object, whose fields are checked one by one.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use serde_json::{Map, Value};

use crate::Api;
use vagn_flow::rfc3339;
use vagn_http::body::{BodyLimits, Budget, media_type, plain};
use vagn_http::caller::Caller;
use vagn_http::params::NoParams;
use vagn_http::principal::{Naming, Principal};
use vagn_http::problem::{Kind, Problem};

/// Most characters of a name.
const NAME_MAX: usize = 64;
/// Most characters of a note or a comment.
const NOTE_MAX: usize = 1_000;

/// Most characters of a time.
const TIME_MAX: usize = 40;

/// Most bytes of a body: enough for a note in which every character is written as two escapes.
const BODY_MAX: usize = 16 << 10;
/// Longest time for a body to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Longest body that counts as small: a name and a short note.
const BODY_SMALL: usize = 1 << 10;
/// Bytes for all bodies together: a thousand of the longest.
pub const BODIES_MAX: usize = 16 << 20;

/// Makes the budget for the bodies of all requests.
pub(super) fn budget() -> Budget {
    Budget::new(BodyLimits { one: BODY_MAX, small: BODY_SMALL, all: BODIES_MAX, within: BODY_WITHIN })
}

/// Fields of a request without parameters, with the principal that sent it.
pub(crate) struct Fields {
    principal: Principal,
    fields: Map<String, Value>,
}

impl FromRequest<Api> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        NoParams::from_request_parts(&mut parts, api).await?;
        let principal = Principal::from_request_parts(&mut parts, api).await?;
        let given = media_type(&parts.headers);
        // A page from elsewhere can make a browser send other types unasked, but not this one.
        if given != "application/json" {
            let why = format!("Content-Type is {given:?}; send application/json");
            return Err(Problem::new(Kind::UnsupportedMediaType, why));
        }
        plain(&parts.headers)?;
        let caller = Caller::from_request_parts(&mut parts, api).await.unwrap_or_else(|never| match never {});
        let held = api.request_bodies().read(&caller, body).await?;
        let fields = serde_json::from_slice(&held.bytes);
        fields.map(|fields| Self { principal, fields }).map_err(|err| {
            Problem::new(Kind::InvalidBody, format!("the body is not one object in JSON: {err}"))
        })
    }
}

impl Fields {
    /// Refuses every field that is not in `known`: a mistyped `note` would otherwise quietly be lost.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.fields.keys().find(|name| !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| {
            let name: String = name.chars().take(NAME_MAX).collect();
            let why = format!("`{name}` is unknown here; known are {}", known.join(", "));
            Err(Problem::field(format!("/{}", name.replace('~', "~0").replace('/', "~1")), why))
        })
    }

    /// The one who sent the request.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Returns the name under which the request is recorded. The field `by` counts only where its sender has no name of its own, or
    /// speaks for others; else it is not even looked at.
    pub(crate) fn by(&self) -> Result<Box<str>, Problem> {
        let by = match self.principal.naming() {
            Naming::Ignored => None,
            Naming::OnBehalf if !self.has("by") => None,
            Naming::OnBehalf | Naming::Needed => Some(self.name()?),
        };
        Ok(self.principal.recorded(by.as_deref()))
    }

    /// Returns the same for a deed that only a person may do.
    pub(super) fn by_person(&self) -> Result<Box<str>, Problem> {
        self.principal.need_person(self.has("by"))?;
        self.by()
    }

    fn name(&self) -> Result<Box<str>, Problem> {
        let by = self.text("by", 1, NAME_MAX)?;
        if by.contains(char::is_control) {
            return Err(bad("by", "must be in one line"));
        }
        Ok(by)
    }

    /// Returns the field `note`, or an empty text.
    pub(super) fn note(&self) -> Result<Box<str>, Problem> {
        self.text("note", 0, NOTE_MAX)
    }

    /// Returns true when the field is there, and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    /// Returns the meaning of a field that holds one of these words, if it is there. `true` and `false` may be no texts.
    pub(super) fn word<T: Copy>(
        &self,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        if !self.has(name) {
            return Ok(None);
        }
        let given = match &self.fields[name] {
            Value::String(word) => Some(word.as_str()),
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            _ => None,
        };
        let found = words.iter().find(|(word, _)| Some(*word) == given);
        found.map(|(_, meaning)| Some(*meaning)).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            bad(name, &format!("must be one of {}", words.join(", ")))
        })
    }

    /// Returns a time, ms since 1970, if it is there.
    pub(super) fn time_ms(&self, name: &'static str) -> Result<Option<i64>, Problem> {
        if !self.has(name) {
            return Ok(None);
        }
        let time = self.fields[name].as_str().and_then(rfc3339::parse);
        time.map(Some).ok_or_else(|| bad(name, "must be a time such as 2026-11-22T08:15:30Z"))
    }

    /// Returns an end: a time, or a length from `now_ms` on such as `30m`, `12h` or `7d`. It must be there.
    pub(crate) fn end_ms(&self, name: &'static str, now_ms: i64) -> Result<i64, Problem> {
        let text = self.part(name, TIME_MAX)?.unwrap_or_default();
        let length = length_ms(&text).map(|length_ms| now_ms.saturating_add(length_ms));
        length.or_else(|| rfc3339::parse(&text)).ok_or_else(|| {
            bad(name, "must be a time such as 2026-11-22T08:15:30Z, or a length such as 30m, 12h or 7d")
        })
    }

    /// Returns a text of 1 to `most` characters as it was sent, if it is there.
    pub(crate) fn part(&self, name: &'static str, most: usize) -> Result<Option<Box<str>>, Problem> {
        if !self.has(name) {
            return Ok(None);
        }
        let text = self.fields[name].as_str().filter(|text| (1..=most).contains(&text.chars().count()));
        text.map(|text| Some(text.into()))
            .ok_or_else(|| bad(name, &format!("must be a text of 1 to {most} characters")))
    }

    /// Returns the texts of a list, if it is there: at most `count`, each of 1 to `most` characters.
    pub(super) fn texts(
        &self,
        name: &'static str,
        count: usize,
        most: usize,
    ) -> Result<Option<Vec<Box<str>>>, Problem> {
        if !self.has(name) {
            return Ok(None);
        }
        let is_text = |text: &&str| (1..=most).contains(&text.chars().count());
        let texts = self.fields[name].as_array().filter(|texts| (1..=count).contains(&texts.len()));
        let texts = texts.and_then(|texts| {
            texts.iter().map(|text| text.as_str().filter(is_text).map(Into::into)).collect::<Option<_>>()
        });
        texts.map(Some).ok_or_else(|| {
            bad(name, &format!("must be a list of 1 to {count} texts of 1 to {most} characters"))
        })
    }

    /// Returns the field `text`, which must not be empty.
    pub(super) fn comment(&self) -> Result<Box<str>, Problem> {
        self.text("text", 1, NOTE_MAX)
    }

    /// Returns the text of `name` without the blanks around it, in `least` to `most` characters. A field that is missing or
    /// null counts as empty.
    fn text(&self, name: &'static str, least: usize, most: usize) -> Result<Box<str>, Problem> {
        let text = match self.fields.get(name) {
            None | Some(Value::Null) => "",
            Some(Value::String(text)) => text.trim(),
            Some(_) => return Err(bad(name, "must be a text")),
        };
        let length = text.chars().count();
        if !(least..=most).contains(&length) {
            let why = format!("must have {least} to {most} characters, and has {length}");
            return Err(bad(name, &why));
        }
        if text.contains(|char: char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) {
            return Err(bad(name, "must not have control characters other than line breaks and tabs"));
        }
        Ok(text.into())
    }
}

/// Reads a length of time, in ms.
fn length_ms(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 24 * 3_600_000,
        _ => return None,
    };
    number.parse::<u32>().ok().map(|number| i64::from(number) * unit_ms)
}

fn bad(name: &str, why: &str) -> Problem {
    Problem::field(format!("/{name}"), format!("`{name}` {why}"))
}
