//! Errors as `application/problem+json` (RFC 9457): what was wrong, and where.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The ways in which a request can fail. The name after `urn:vagn:problem:` is a contract; the titles are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is not as HTTP wants it.
    InvalidRequest,
    /// A parameter is missing, unknown, given twice or out of range.
    InvalidParameter,
    /// The body is not what its `Content-Type` says.
    InvalidBody,
    /// The body can be read, but a field of it is missing, unknown or out of range.
    InvalidField,
    /// No token, or one that is not let in.
    Unauthorized,
    /// The principal may not do this, or the resource is switched off by a setting.
    Forbidden,
    /// No such resource.
    NotFound,
    /// The resource is there but does not know this method.
    MethodNotAllowed,
    /// The request names another machine as the one that it is for.
    Misdirected,
    /// Another person was first.
    Conflict,
    /// The place of the incident is not known.
    NoPosition,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body is larger, or holds more reports, than one request may.
    TooLarge,
    /// The body is of a kind that this resource cannot read.
    UnsupportedMediaType,
    /// The body is coded in a way that is not read.
    UnsupportedEncoding,
    /// This address, or this connection, has as much under way as one may have.
    TooManyRequests,
    /// The part that had the request crashed; it has been restarted.
    Internal,
    /// The disk has too little free space for what was sent.
    InsufficientStorage,
    /// All queues for such requests are full.
    Overloaded,
    /// The answer did not come within the time allowed.
    DeadlinePassed,
    /// The fleet is being read from disk; a part of it is never shown as if it were all.
    NotReady,
    /// It may be done, but no answer says so in time. To ask again at once may do it twice.
    InDoubt,
}

impl Kind {
    /// All kinds, for tests.
    pub const ALL: [Self; 22] = [
        Self::InvalidRequest,
        Self::InvalidParameter,
        Self::InvalidBody,
        Self::InvalidField,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Misdirected,
        Self::Conflict,
        Self::NoPosition,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::UnsupportedEncoding,
        Self::TooManyRequests,
        Self::Internal,
        Self::InsufficientStorage,
        Self::Overloaded,
        Self::DeadlinePassed,
        Self::NotReady,
        Self::InDoubt,
    ];

    /// Returns the last part of the problem's `type`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Returns the HTTP status of the answer.
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    fn title(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => ("invalid-request", StatusCode::BAD_REQUEST, "The request is not right"),
            Self::InvalidParameter => {
                ("invalid-parameter", StatusCode::BAD_REQUEST, "A parameter is not right")
            }
            Self::InvalidBody => ("invalid-body", StatusCode::BAD_REQUEST, "The body cannot be read"),
            Self::InvalidField => {
                ("invalid-field", StatusCode::UNPROCESSABLE_ENTITY, "A field of the body is not right")
            }
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A token is needed"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Not allowed"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This resource does not know the method",
            ),
            Self::Misdirected => ("misdirected", StatusCode::MISDIRECTED_REQUEST, "Not for this machine"),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "Already changed by another person"),
            Self::NoPosition => ("no-position", StatusCode::CONFLICT, "No known place"),
            Self::RequestTimeout => {
                ("request-timeout", StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time")
            }
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "Too much for one request"),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body is of an unknown kind",
            ),
            Self::UnsupportedEncoding => (
                "unsupported-encoding",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "This coding of the body is not read",
            ),
            Self::TooManyRequests => {
                ("too-many-requests", StatusCode::TOO_MANY_REQUESTS, "Too much at a time")
            }
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The fault is on our side"),
            Self::InsufficientStorage => {
                ("insufficient-storage", StatusCode::INSUFFICIENT_STORAGE, "The disk is full")
            }
            Self::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Too busy"),
            Self::DeadlinePassed => ("deadline-passed", StatusCode::SERVICE_UNAVAILABLE, "It took too long"),
            Self::NotReady => ("not-ready", StatusCode::SERVICE_UNAVAILABLE, "The fleet is not there yet"),
            Self::InDoubt => ("in-doubt", StatusCode::SERVICE_UNAVAILABLE, "It may be done"),
        }
    }
}

/// The answer to a request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Kind of the failure.
    pub kind: Kind,
    /// A sentence about this very request.
    pub detail: Cow<'static, str>,
    /// The parameter that is wrong, when one is.
    pub parameter: Option<Cow<'static, str>>,
    /// The field of the body that is wrong, as a JSON pointer (RFC 6901), when one is.
    pub pointer: Option<Cow<'static, str>>,
    /// The change that came first, for a conflict.
    pub first: Option<Box<First>>,
    /// Time after which the same request may work, where it is known.
    pub again_after: Option<Duration>,
}

/// The change that came before a refused one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct First {
    /// State of the incident since then.
    pub state: &'static str,
    /// Name of the person.
    pub by: Box<str>,
    /// Time of the change, RFC 3339.
    pub at: String,
    /// Note of the person; may be empty.
    pub note: Box<str>,
}

/// Fields of the body, in the order in which they are written.
#[derive(Serialize)]
struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(flatten)]
    first: Option<&'a First>,
}

impl Problem {
    /// Makes a problem of this kind; `detail` is a sentence about this very request.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), parameter: None, pointer: None, first: None, again_after: None }
    }

    /// Refuses the parameter `name`; `why` is a sentence.
    pub fn parameter(name: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        Self { parameter: Some(name.into()), ..Self::new(Kind::InvalidParameter, why) }
    }

    /// Refuses the field of the body that `pointer` leads to; `why` is a sentence.
    pub fn field(pointer: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: Some(pointer.into()), ..Self::new(Kind::InvalidField, why) }
    }

    /// Refuses a change because of the one that came `first`; `detail` is a sentence that says so.
    pub fn conflict(first: First, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { first: Some(Box::new(first)), ..Self::new(Kind::Conflict, detail) }
    }

    /// Says when the same request may work.
    #[must_use]
    pub fn again_after(self, wait: Duration) -> Self {
        Self { again_after: Some(wait), ..self }
    }

    /// Returns the seconds after which the same request may work; `None` where waiting does not help.
    fn retry_after_s(&self) -> Option<u64> {
        let known = self.again_after.map(|wait| wait.as_millis().div_ceil(1000).max(1) as u64);
        match self.kind {
            Kind::Overloaded | Kind::DeadlinePassed | Kind::NotReady | Kind::TooManyRequests => {
                known.or(Some(1))
            }
            _ => known,
        }
    }

    fn body(&self) -> Vec<u8> {
        let body = ProblemBody {
            kind: format!("urn:vagn:problem:{}", self.kind.name()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            parameter: self.parameter.as_deref(),
            pointer: self.pointer.as_deref(),
            first: self.first.as_deref(),
        };
        serde_json::to_vec(&body).expect("strings and numbers always serialize")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.kind == Kind::UnsupportedEncoding {
            // The codings that would have been read (RFC 9110, 12.5.3).
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"vagn\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_and_where() {
        let problem = Problem::parameter("lat", "`lat` is 91, which is not within -90..=90");
        assert_eq!(
            String::from_utf8(problem.body()).unwrap(),
            r#"{"type":"urn:vagn:problem:invalid-parameter","title":"A parameter is not right","status":400,"#
                .to_owned()
                + r#""detail":"`lat` is 91, which is not within -90..=90","parameter":"lat"}"#
        );
    }

    #[test]
    fn says_when_to_come_back_only_where_that_helps() {
        for kind in Kind::ALL {
            let response = Problem::new(kind, "x").into_response();
            let passes =
                [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&kind.status());
            // What may be done already is not to be asked for again unseen.
            let helps = passes && kind != Kind::InDoubt;
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), helps, "{kind:?}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
    }

    #[test]
    fn asks_for_a_bearer_token() {
        let response = Problem::new(Kind::Unauthorized, "x").into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"vagn\"");
    }
}
