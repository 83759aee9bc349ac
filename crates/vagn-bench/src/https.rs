//! One HTTPS connection that is kept alive, blocking: it adds the least to the time from a send to its answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use vagn_load::trust::Trust;

/// Longest wait for each read and write.
const WITHIN: Duration = Duration::from_secs(20);

/// A connection to a service.
pub struct Https {
    stream: StreamOwned<ClientConnection, TcpStream>,
    host: String,
    answer: Vec<u8>,
}

impl Https {
    /// Connects to a service on this machine.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address).with_context(|| format!("connect to https {address}"))?;
        socket.set_nodelay(true).context("send at once")?;
        socket.set_read_timeout(Some(WITHIN)).context("limit reads")?;
        socket.set_write_timeout(Some(WITHIN)).context("limit writes")?;
        let name = ServerName::from(address.ip());
        let connection =
            ClientConnection::new(Trust::Loopback.config(address)?, name).context("set up tls")?;
        Ok(Self {
            stream: StreamOwned::new(connection, socket),
            host: address.to_string(),
            answer: Vec::new(),
        })
    }

    /// Gets `path`; returns the status and the body.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn get(&mut self, path: &str) -> anyhow::Result<(u16, &[u8])> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.ask(request.as_bytes(), &[])
    }

    /// Posts a body to `path`; returns the status and the body of the answer.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn post(&mut self, path: &str, media_type: &str, body: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.ask(head.as_bytes(), body)
    }

    fn ask(&mut self, head: &[u8], body: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(head).context("send a request")?;
        self.stream.write_all(body).context("send a request")?;
        self.stream.flush().context("send a request")?;
        self.answer.clear();
        let mut chunk = [0; 16 * 1024];
        loop {
            let len = self.stream.read(&mut chunk).context("read an answer")?;
            if len == 0 {
                bail!("the service closed the connection");
            }
            self.answer.extend_from_slice(&chunk[..len]);
            if let Some((status, start, end)) = whole(&self.answer)? {
                return Ok((status, &self.answer[start..end]));
            }
        }
    }
}

/// Finds status, start and end of the body, once all of the answer is there.
fn whole(answer: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end]).context("read the head of an answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("read the status")?;
    if matches!(status, 204 | 304) {
        return Ok(Some((status, end + 4, end + 4)));
    }
    let length = head.lines().filter_map(|line| line.split_once(": "));
    let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize =
        length.filter_map(|(_, value)| value.parse().ok()).next().context("read the length")?;
    let start = end + 4;
    Ok((answer.len() >= start + length).then_some((status, start, start + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_when_an_answer_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx: y\r\n\r\n[]";
        assert_eq!(whole(answer).unwrap(), Some((200, answer.len() - 2, answer.len())));
        for len in 0..answer.len() {
            assert_eq!(whole(&answer[..len]).unwrap(), None, "{len}");
        }
    }

    #[test]
    fn an_answer_without_content_is_whole_with_its_head() {
        let answer = b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n";
        assert_eq!(whole(answer).unwrap(), Some((204, answer.len(), answer.len())));
    }

    #[test]
    fn an_answer_without_a_length_is_not_understood() {
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
