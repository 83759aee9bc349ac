//! Listening sockets that stay bound over the restarts of what accepts from them, and refuse clients while nothing does.

use std::io;
use std::net::Shutdown;

use socket2::SockRef;
use tokio::net::TcpListener;
use tracing::debug;

/// Connections that may wait to be accepted. A fleet that reconnects after an outage comes all at once.
pub const BACKLOG: i32 = 4096;

/// Makes a listener for one run of a server, of a socket that stays bound when the run ends.
///
/// # Errors
/// The process is out of descriptors, or the kernel does not let the socket listen.
pub fn open(bound: &std::net::TcpListener) -> io::Result<TcpListener> {
    let listener = bound.try_clone()?;
    listener.set_nonblocking(true)?;
    // The run before may have ended with `close`.
    SockRef::from(&listener).listen(BACKLOG)?;
    TcpListener::from_std(listener)
}

/// Ends a run in order: clients that wait to be accepted, and all that come until the next run, are refused at once, so that they go
/// elsewhere. The socket that stays bound would let the kernel take them, for a server that is no longer there.
pub fn close(listener: TcpListener) {
    let closed = listener.local_addr().and_then(|address| {
        let socket = SockRef::from(&listener);
        // On Linux a listening socket that is shut down goes back to what it was before `listen`.
        socket.shutdown(Shutdown::Read)?;
        // Only a port that was asked for by its number is still bound: the kernel takes back one that it chose.
        match socket.bind(&address.into()) {
            Err(bound) if bound.kind() == io::ErrorKind::InvalidInput => Ok(()),
            taken_again => taken_again,
        }
    });
    if let Err(err) = closed {
        debug!(error = %err, "failed to refuse clients of a server that stops");
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn clients_are_refused_between_two_runs() {
        let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = bound.local_addr().unwrap();

        let first = open(&bound).unwrap();
        let _waits = TcpStream::connect(address).await.unwrap();
        close(first);
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);

        let second = open(&bound).unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (_, peer) = second.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_run_that_fails_refuses_no_client() {
        let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        drop(open(&bound).unwrap());
        let client = TcpStream::connect(bound.local_addr().unwrap()).await.unwrap();
        let (_, peer) = open(&bound).unwrap().accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }
}
