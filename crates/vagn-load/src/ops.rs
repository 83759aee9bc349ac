//! Reading a server's ops pages over plain HTTP.
//!
//! A few lines instead of an HTTP client: the pages are small, local and plain. The request is HTTP/1.0, so that the
//! answer comes in one piece and ends with the connection.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    str::FromStr,
    time::Duration,
};

use thiserror::Error;

use crate::target::{Target, TargetError};

/// Limit for connecting, and for each read and write.
const WITHIN: Duration = Duration::from_secs(5);

/// The longest page that is read, in bytes.
const PAGE_MAX: u64 = 16 << 20;

/// Address of a server's ops pages: `http://localhost:9093`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ops(Target);

/// A page as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Status code, 200 if all is well.
    pub status: u16,
    /// Body of the answer.
    pub body: String,
}

/// Reason why a page could not be read.
#[derive(Debug, Error)]
pub enum OpsError {
    /// Not the address of an ops port.
    #[error("{0:?} is no ops address; expected one like http://localhost:9093")]
    Form(String),
    /// The name has no address.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The server is not there, or stopped answering.
    #[error("cannot read {path} from http://{target}; is `vagn serve` running?")]
    Io {
        /// Server that was asked.
        target: Target,
        /// Path of the page.
        path: String,
        /// Error of the connection.
        source: io::Error,
    },
    /// The answer is not HTTP.
    #[error("http://{0} did not answer in HTTP; is it the ops port?")]
    NotHttp(Target),
}

impl FromStr for Ops {
    type Err = OpsError;

    fn from_str(url: &str) -> Result<Self, OpsError> {
        let bare = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        bare.parse().map(Self).map_err(|_| OpsError::Form(url.to_owned()))
    }
}

impl std::fmt::Display for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

impl Ops {
    /// Gets one page, such as `/metrics`.
    ///
    /// # Errors
    /// When there is no answer within five seconds or it is not HTTP. A status other than 200 is no error.
    pub fn get(&self, path: &str) -> Result<Page, OpsError> {
        self.ask("GET", path, "")
    }

    /// Posts to `path`, without a body, as a command does and a page of another origin cannot.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn post(&self, path: &str) -> Result<Page, OpsError> {
        self.ask("POST", path, "X-Vagn: 1\r\nContent-Length: 0\r\n")
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Result<Page, OpsError> {
        let named = |source| OpsError::Io { target: self.0.clone(), path: path.to_owned(), source };
        let mut stream = connect(&self.0.addresses()?).map_err(named)?;
        let request =
            format!("{method} {path} HTTP/1.0\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n", self.0);
        stream.write_all(request.as_bytes()).map_err(named)?;
        let mut answer = Vec::new();
        stream.take(PAGE_MAX).read_to_end(&mut answer).map_err(named)?;
        parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| OpsError::NotHttp(self.0.clone()))
    }
}

fn connect(addresses: &[std::net::SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(address, WITHIN) {
            Ok(stream) => {
                stream.set_read_timeout(Some(WITHIN))?;
                stream.set_write_timeout(Some(WITHIN))?;
                return Ok(stream);
            }
            Err(err) => last = err,
        }
    }
    Err(last)
}

fn parse(answer: &str) -> Option<Page> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Page { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Asks a server that gives one fixed answer.
    fn ask(answer: &'static str) -> Result<Page, OpsError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ops: Ops = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let len = stream.read(&mut request).unwrap();
                assert!(request[..len].starts_with(b"GET /readyz HTTP/1.0\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            });
            ops.get("/readyz")
        })
    }

    #[test]
    fn reads_a_page_with_its_status() {
        let page = ask("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nnot ready").unwrap();
        assert_eq!(page, Page { status: 503, body: "not ready".into() });
    }

    #[test]
    fn knows_what_is_not_http() {
        assert!(matches!(ask("\\n"), Err(OpsError::NotHttp(_))));
        assert!(matches!(ask(""), Err(OpsError::NotHttp(_))));
    }

    #[test]
    fn names_the_server_that_did_not_answer() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let err = closed.to_string().parse::<Ops>().unwrap().get("/metrics").unwrap_err();
        assert!(err.to_string().contains(&format!("/metrics from http://{closed}")), "{err}");
    }

    #[test]
    fn takes_an_address_with_and_without_scheme() {
        for url in ["http://localhost:9093", "localhost:9093", "http://localhost:9093/"] {
            assert_eq!(url.parse::<Ops>().unwrap().to_string(), "http://localhost:9093");
        }
        for wrong in ["https://localhost:9093", "localhost", "http://localhost:9093/metrics", ""] {
            assert!(wrong.parse::<Ops>().is_err(), "{wrong}");
        }
    }
}
