//! The gate in front of a handler: judges who asks before anything is looked at that the request is about.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri};

use super::access_log::{AccessLog, Asked};
use super::caller::Caller;
use super::credentials::{Credentials, Found};
use super::principal::{Naming, Principal, Proof};
use super::rates::Rates;
use super::reached::Reached;
use super::refusal::Refusal;

/// Parts of the gate.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Tokens, sessions and shares.
    pub credentials: Credentials,
    /// Rates of principals and addresses.
    pub rates: Rates,
    /// Notes of what is read and done.
    pub access_log: AccessLog,
    /// Origin of the pages, such as `https://vagn.example`, where the setting `http.public_url` names it; else empty.
    pub public_origin: Arc<str>,
}

/// Most characters of a subject in the access log.
const SUBJECT_MAX: usize = 200;

impl Entry {
    /// Finds the principal of a request, if it may use what it shows there.
    pub(crate) fn find(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        caller: Option<&Caller>,
        reached: Option<&Reached>,
    ) -> Result<Found, Refusal> {
        let found = self.credentials.find(headers, caller)?;
        let is_by_cookie = matches!(found.principal.proof(), Proof::Session(_));
        // A browser adds the cookie whichever page makes it ask.
        if is_by_cookie && !is_safe(method) && !self.is_own_page(uri, headers, reached) {
            return Err(Refusal::CrossSite);
        }
        Ok(found)
    }

    /// Returns true if the request comes from a page of this service, as the browser says.
    fn is_own_page(&self, uri: &Uri, headers: &HeaderMap, reached: Option<&Reached>) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("sec-fetch-site") == Some("same-origin") {
            return true;
        }
        let Some(origin) = text("origin") else { return false };
        let reached = reached.cloned().unwrap_or_default();
        let (scheme, host) = (reached.scheme, reached.host(uri, headers));
        let is_public = !self.public_origin.is_empty() && *origin == *self.public_origin;
        is_public || origin == format!("{scheme}://{host}")
    }

    /// Notes that somebody looks at what is shared under this number.
    pub fn note_share(&self, number: u64, status: u16, caller: &Caller) {
        let subject = format!("/s/… (share {number})");
        self.access_log.note(&Asked {
            principal: "share",
            role: "share",
            method: "GET",
            subject: &subject,
            status: Some(status),
            address: address(Some(caller)),
        });
    }
}

/// A note about a request, which is taken when the request is answered or given up: what was asked for may be done all the same.
pub(crate) struct Note {
    log: AccessLog,
    principal: Principal,
    method: Method,
    subject: String,
    address: Option<String>,
    status: Option<u16>,
}

impl Note {
    /// Begins a note about what this principal asks for.
    pub(crate) fn new(entry: &Entry, principal: &Principal, request: &Request) -> Self {
        Self {
            log: entry.access_log.clone(),
            principal: principal.clone(),
            method: request.method().clone(),
            subject: subject(request.uri()),
            address: address(request.extensions().get()),
            status: None,
        }
    }

    /// Takes the note, with the status of the answer.
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.log.note(&Asked {
            principal: self.principal.name(),
            role: self.principal.role().word(),
            method: self.method.as_str(),
            subject: &self.subject,
            status: self.status,
            address: self.address.take(),
        });
    }
}

/// Refuses a program that cannot even name a person. One of a trusted console is judged by its body.
pub(crate) fn need_person(principal: &Principal) -> Result<(), Refusal> {
    let may = principal.is_person() || principal.naming() == Naming::OnBehalf;
    if may { Ok(()) } else { Err(Refusal::NoPerson) }
}

/// Returns the subject of a request: the path, and the vehicle where one is chosen.
fn subject(uri: &Uri) -> String {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let vehicle = pairs.find(|pair| pair.starts_with("vehicle_id=") || pair.starts_with("id="));
    let whole = vehicle.map_or_else(|| uri.path().to_owned(), |vehicle| format!("{}?{vehicle}", uri.path()));
    whole.chars().take(SUBJECT_MAX).collect()
}

fn address(caller: Option<&Caller>) -> Option<String> {
    caller.and_then(Caller::source).map(|source| source.to_string())
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
