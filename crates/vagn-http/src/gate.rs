//! The gate in front of a handler: judges who asks before anything is looked at that the request is about.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, Uri, header};

use super::access_log::{AccessLog, Read};
use super::caller::Caller;
use super::credentials::{Credentials, Found};
use super::forwarded::Reached;
use super::principal::{Naming, Principal, Proof};
use super::rates::Rates;
use super::refusal::Refusal;

/// Parts of the gate.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Tokens, sessions and shares.
    pub credentials: Credentials,
    /// Rates of principals and addresses.
    pub rates: Rates,
    /// Notes of what is read.
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
        let (scheme, told) =
            reached.map_or(("https", None), |reached| (reached.scheme, reached.host.as_deref()));
        let named = uri.authority().map(|authority| authority.as_str());
        let host = told.or(named).or_else(|| text(header::HOST.as_str())).unwrap_or_default();
        let is_public = !self.public_origin.is_empty() && *origin == *self.public_origin;
        is_public || origin == format!("{scheme}://{host}")
    }

    /// Notes a read of this subject.
    pub(crate) fn note(&self, principal: &Principal, subject: &str, status: u16, caller: Option<&Caller>) {
        self.access_log.note(&Read {
            principal: principal.name(),
            role: principal.role().word(),
            subject,
            status,
            address: address(caller),
        });
    }

    /// Notes that somebody looks at what is shared under this number.
    pub fn note_share(&self, number: u64, status: u16, caller: &Caller) {
        let subject = format!("/s/… (share {number})");
        let address = address(Some(caller));
        self.access_log.note(&Read { principal: "share", role: "share", subject: &subject, status, address });
    }
}

/// Refuses a program that cannot even name a person. One of a trusted console is judged by its body.
pub(crate) fn need_person(principal: &Principal) -> Result<(), Refusal> {
    let may = principal.is_person() || principal.naming() == Naming::OnBehalf;
    if may { Ok(()) } else { Err(Refusal::NoPerson) }
}

/// Returns the subject of a read: the path, and the vehicle where one is chosen.
pub(crate) fn subject(uri: &Uri) -> String {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let vehicle = pairs.find(|pair| pair.starts_with("vehicle_id="));
    let whole = vehicle.map_or_else(|| uri.path().to_owned(), |vehicle| format!("{}?{vehicle}", uri.path()));
    whole.chars().take(SUBJECT_MAX).collect()
}

fn address(caller: Option<&Caller>) -> Option<String> {
    caller.and_then(Caller::source).map(|source| source.to_string())
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
