//! Parameters of a query, read and checked.
//!
//! Every refusal names the parameter and says why. A name that the resource does not know is refused as well, because a
//! mistyped `max_age_s` would otherwise quietly answer with vehicles of any age.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;

use super::problem::{Kind, Problem};

/// Most characters of a wrong name or value that a refusal repeats.
const SHOWN_MAX: usize = 80;

/// Names and values after the `?`, decoded, in the order given.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The gate of the route may have read them.
        parts.extensions.remove().map_or_else(|| Self::of(&parts.uri), Ok)
    }
}

/// Extractor for a path without parameters: refuses a request that has one, before anything is done.
#[derive(Debug, Clone, Copy)]
pub struct NoParams;

impl<S: Send + Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Params::from_request_parts(parts, state).await?.only(&[]).map(|()| Self)
    }
}

/// The one variable part of a path, decoded.
#[derive(Debug, Clone)]
pub struct InPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text))
            .map_err(|err| Problem::parameter("id", format!("the path cannot be read: {err}")))
    }
}

impl Params {
    /// Reads the parameters of `uri`.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when its query string is not form-encoded, or not UTF-8.
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        if !is_utf8(uri.query().unwrap_or_default()) {
            let why = "the query string cannot be read: what is behind a `%` is not UTF-8";
            return Err(Problem::new(Kind::InvalidParameter, why));
        }
        Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| Self(pairs)).map_err(
            |rejection| {
                Problem::new(Kind::InvalidParameter, format!("the query string cannot be read: {rejection}"))
            },
        )
    }

    /// Refuses every name that is not in `known`.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.0.iter().find(|(name, _)| !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |(name, _)| {
            let name: String = name.chars().take(SHOWN_MAX).collect();
            let why = match known {
                [] => format!("`{name}` is unknown here, where no parameter is known"),
                _ => format!("`{name}` is unknown here; known are {}", known.join(", ")),
            };
            Err(Problem::parameter(name, why))
        })
    }

    /// Returns true if `name` was given.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    /// Reads a whole number from 1 to `most`, or `otherwise` when it is not given.
    pub fn count(&self, name: &'static str, most: u64, otherwise: u64) -> Result<usize, Problem> {
        self.whole(name, 1, most, otherwise).map(|count| count as usize)
    }

    /// Reads a whole number from `least` to `most`, or `otherwise` when it is not given.
    pub fn whole(&self, name: &'static str, least: u64, most: u64, otherwise: u64) -> Result<u64, Problem> {
        let Some(text) = self.one(name)? else { return Ok(otherwise) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| bad(name, text, &format!("a whole number within {least}..={most}")))
    }

    /// Reads one of `words`, and returns the value beside it.
    pub fn word<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*meaning));
        }
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        Err(bad(name, text, &known.join(" or ")))
    }

    /// Returns the text of `name`, if it is given, and refuses a second one.
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Problem::parameter(name, format!("`{name}` is given more than once")));
        }
        Ok(first)
    }

    /// Reads the decimal degrees of `name`, within -`most`..=`most`, if they are given.
    pub fn degrees(&self, name: &'static str, most: f64) -> Result<Option<f64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let degrees: f64 = text.parse().map_err(|_| bad(name, text, "a decimal number of degrees"))?;
        if degrees.abs() <= most {
            return Ok(Some(degrees));
        }
        Err(bad(name, text, &format!("within -{most}..={most} degrees")))
    }

    /// Reads the number of `name`, within 0..=`most`, if it is given.
    pub fn amount(&self, name: &'static str, most: f64) -> Result<Option<f64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let amount = text.parse().ok().filter(|amount| (0.0..=most).contains(amount));
        amount.ok_or_else(|| bad(name, text, &format!("a number within 0..={most}"))).map(Some)
    }
}

/// Returns true if a query string is text once it is decoded: else a character would stand in for bytes, and another thing would be looked for.
fn is_utf8(query: &str) -> bool {
    if !query.contains('%') {
        return true;
    }
    let mut decoded = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let [first, behind @ ..] = rest {
        let hex = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|hex| !hex.starts_with('+')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    std::str::from_utf8(&decoded).is_ok()
}

/// Refuses a request that lacks `name`.
pub fn missing(name: &'static str) -> Problem {
    Problem::parameter(name, format!("`{name}` is missing"))
}

/// Refuses the value `text` of `name`; `wanted` completes "but must be".
pub fn bad(name: &'static str, text: &str, wanted: &str) -> Problem {
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    Problem::parameter(name, format!("`{name}` is {shown:?}, but must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_before_is_not_read_again() {
        let request = axum::http::Request::get("/?k=1").extension(params("lat=2"));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        for expected in ["lat", "k"] {
            let read = Params::from_request_parts(&mut parts, &()).await.unwrap();
            assert!(read.has(expected), "{read:?}");
        }
    }

    fn params(query: &str) -> Params {
        Params::of(&format!("/?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn a_query_that_is_no_text_is_refused() {
        for (query, is_text) in [
            ("id=%ff", false),
            ("id=%C3", false),
            ("%ff=1", false),
            ("id=%ED%A0%80", false),
            ("id=%C3%A5", true),
            ("id=%EF%BF%BD", true),
            ("id=100%", true),
            ("id=%zz%+f", true),
            ("id=a+b", true),
        ] {
            let read = Params::of(&format!("/?{query}").parse().unwrap());
            assert_eq!(read.is_ok(), is_text, "{query}");
            assert!(read.err().is_none_or(|problem| problem.kind == Kind::InvalidParameter), "{query}");
        }
    }

    #[test]
    fn refuses_an_unknown_name() {
        let problem = params("lat=1&max_age=5").only(&["lat", "lon", "max_age_s"]).unwrap_err();
        assert!(
            problem.detail.contains("`max_age` is unknown here; known are lat, lon, max_age_s"),
            "{problem:?}"
        );
    }

    #[test]
    fn shows_no_more_than_a_line_of_what_was_sent() {
        let problem = params(&format!("lat={}&lon=1", "9".repeat(5_000))).degrees("lat", 90.0).unwrap_err();
        assert!(problem.detail.len() < 200, "{problem:?}");
        let problem = params(&"x".repeat(5_000)).only(&["lat"]).unwrap_err();
        assert!(problem.detail.len() < 200, "{problem:?}");
    }
}
