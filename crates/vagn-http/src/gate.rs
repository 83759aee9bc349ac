//! The gate in front of a handler: judges the principal before anything is looked at that the request is about.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use vagn_registry::Role;

use super::access::{Access, may};
use super::access_log::{AccessLog, Asked};
use super::caller::Caller;
use super::cors::Preflight;
use super::credentials::{Credentials, Found};
use super::params::Params;
use super::principal::{Checked, Naming, Principal, Proof};
use super::problem::{Kind, Problem};
use super::rates::Rates;
use super::reached::Reached;
use super::refusal::Refusal;
use super::server::Liveness;

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

/// Properties of a route beside its access.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traits {
    pub(crate) gives_way: bool,
    pub(crate) by_person: bool,
    pub(crate) is_noted: bool,
    pub(crate) has_no_rate: bool,
    pub(crate) data: Option<Data>,
}

/// Data that a route for all has beside what it gives to everyone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    pub(crate) role: Role,
    /// Parameters that ask for it.
    pub(crate) asked_by: &'static [&'static str],
}

impl Data {
    /// Looks whether it is asked for, and leaves the parameters to the handler.
    fn is_asked(self, request: &mut Request) -> bool {
        let Ok(params) = Params::of(request.uri()) else { return false };
        let is_asked = self.asked_by.iter().any(|name| params.has(name));
        request.extensions_mut().insert(params);
        is_asked
    }
}

/// The check in front of one handler.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) access: Access,
    pub(crate) traits: Traits,
    pub(crate) takes_all: bool,
    pub(crate) class: &'static str,
    pub(crate) entry: Entry,
}

/// A request that may go on.
struct Passed {
    checked: Result<Principal, Refusal>,
    cookie: Option<String>,
}

/// Answers a refusal itself, or passes the request on with its principal.
pub(crate) async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if request.extensions().get::<Preflight>().is_some() {
        return every_method();
    }
    if gate.takes_all && !ANSWERED.contains(request.method()) {
        return unknown_method();
    }
    let Passed { checked, cookie } = match gate.judge(&mut request) {
        Ok(admitted) => admitted,
        Err(refusal) => return Problem::from(refusal).into_response(),
    };
    if let (true, Some(liveness)) = (gate.traits.gives_way, request.extensions().get::<Liveness>()) {
        liveness.give_way();
    }
    let noted = checked.as_ref().ok().filter(|_| gate.traits.is_noted);
    let note = noted.map(|principal| Note::new(&gate.entry, principal, &request));
    request.extensions_mut().insert(Checked(checked.clone().map_err(Problem::from)));
    let mut response = next.run(request).await;
    if let Some(note) = note {
        note.answered(response.status());
    }
    let Ok(principal) = checked else { return response };
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok())
        && !response.headers().contains_key(header::SET_COOKIE)
    {
        let headers = response.headers_mut();
        headers.insert(header::SET_COOKIE, cookie);
        // Whatever the answer allows otherwise: a cache that keeps it would give the cookie to others.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    until(response, || gate.entry.credentials.ending(&principal))
}

impl Gate {
    fn judge(&self, request: &mut Request) -> Result<Passed, Refusal> {
        self.check(request).inspect_err(|refusal| self.entry.credentials.count(self.class, *refusal))
    }

    fn check(&self, request: &mut Request) -> Result<Passed, Refusal> {
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>();
        let reached = extensions.get::<Reached>();
        if !self.traits.has_no_rate {
            self.entry.rates.of_address(caller)?;
        }
        let found = self.entry.find(request.method(), request.uri(), request.headers(), caller, reached);
        let found = match (found, self.access) {
            (Ok(found), _) => found,
            (Err(refusal), Access::Role(_)) => return Err(refusal),
            (Err(refusal), Access::Anyone) => return Ok(self.page_for(refusal)),
        };
        match (self.access, self.traits.data) {
            (Access::Role(role), _) => self.check_principal(&found.principal, role)?,
            (Access::Anyone, Some(data)) if data.is_asked(request) => {
                if let Err(refusal) = self.check_principal(&found.principal, data.role) {
                    return Ok(self.page_for(refusal));
                }
            }
            (Access::Anyone, Some(data)) => {
                // Nothing that could be refused is asked for. Its data is kept from others all the same.
                let checked = self.check_role(&found.principal, data.role).map(|()| found.principal);
                return Ok(Passed { checked, cookie: found.cookie });
            }
            (Access::Anyone, None) => {}
        }
        Ok(Passed { checked: Ok(found.principal), cookie: found.cookie })
    }

    /// Lets anyone have what is open to all.
    fn page_for(&self, refusal: Refusal) -> Passed {
        // A page is asked for without a token; one that is sent all the same counts as anywhere.
        if !matches!(refusal, Refusal::Missing | Refusal::NotLocal) {
            self.entry.credentials.count(self.class, refusal);
        }
        Passed { checked: Err(refusal), cookie: None }
    }

    fn check_principal(&self, principal: &Principal, role: Role) -> Result<(), Refusal> {
        self.check_role(principal, role)?;
        if self.traits.has_no_rate { Ok(()) } else { self.entry.rates.of_principal(principal) }
    }

    fn check_role(&self, principal: &Principal, role: Role) -> Result<(), Refusal> {
        if !may(principal.role(), role) {
            return Err(Refusal::Role(role));
        }
        if self.traits.by_person {
            need_person(principal)?;
        }
        Ok(())
    }
}

/// Ends an answer of events when `ended` resolves. All others end by themselves.
fn until<E: Future<Output = ()> + Send + 'static>(response: Response, ended: impl FnOnce() -> E) -> Response {
    let is_stream =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    if !is_stream {
        return response;
    }
    let ended = Box::pin(ended());
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(ended)))
}

/// Methods that a route of every method answers. `TRACE` asks for the request itself, and others are not known.
const ANSWERED: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// The same in a header.
const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS");

/// Answers a preflight request for a route of every method; all others refuse its method before they get here.
fn every_method() -> Response {
    [(header::ALLOW, METHODS)].into_response()
}

/// Refuses a method at a route of every method, as all others do by not knowing it.
fn unknown_method() -> Response {
    let why = "the method is known nowhere here; the header Allow lists the methods that are known";
    ([(header::ALLOW, METHODS)], Problem::new(Kind::MethodNotAllowed, why)).into_response()
}

/// Most characters of a subject in the access log.
const SUBJECT_MAX: usize = 200;

impl Entry {
    /// Finds the principal of a request, if it may use what it shows there.
    fn find(
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
        if text(headers, "sec-fetch-site") == Some("same-origin") {
            return true;
        }
        let Some(origin) = text(headers, "origin") else { return false };
        let reached = reached.cloned().unwrap_or_default();
        let scheme = reached.scheme;
        let host = reached.host(uri, headers);
        let is_public = !self.public_origin.is_empty() && *origin == *self.public_origin;
        is_public || origin == format!("{scheme}://{host}")
    }

    /// Notes a look at what is shared under this number.
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
struct Note {
    log: AccessLog,
    principal: Principal,
    method: Method,
    subject: String,
    address: Option<String>,
    status: Option<u16>,
}

impl Note {
    /// Begins a note about what this principal asks for.
    fn new(entry: &Entry, principal: &Principal, request: &Request) -> Self {
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
    fn answered(mut self, status: StatusCode) {
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
fn need_person(principal: &Principal) -> Result<(), Refusal> {
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

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn address(caller: Option<&Caller>) -> Option<String> {
    caller.and_then(Caller::source).map(|source| source.to_string())
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
