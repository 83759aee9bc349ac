//! Answers plain HTTP on the HTTPS port with an explanation, as the original does, instead of closing the connection.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::rest::REST_MAX;
use super::strict;

const BODY: &str = "Client sent an HTTP request to an HTTPS server.\n\
    Write https:// instead of http:// (and give curl -k while the certificate is Vagn's own).\n";

/// Returns true if the first byte, which is looked at but not taken, begins plain HTTP: TLS starts with 0x16, a plain request with a letter.
pub(crate) async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let read = stream.peek(&mut first).await?;
    Ok(read == 1 && first[0].is_ascii_alphabetic())
}

/// Answers 400 with an explanation and closes.
pub(crate) async fn answer(stream: &mut TcpStream) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n",
        BODY.len(),
        strict::lines()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(BODY.as_bytes()).await?;
    // Ends the answer, but not yet the connection: the peer may still be sending.
    stream.shutdown().await?;
    read_out(stream).await
}

/// Reads the rest of the request. Closing with a part of it unread would reset the connection, and the peer might never see
/// the answer.
async fn read_out(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut total = 0;
    while total < REST_MAX {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => total += read,
        }
    }
    Ok(())
}
