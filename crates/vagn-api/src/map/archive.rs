//! A map file of the operator's (PMTiles 3), given out by ranges of its bytes. It may have 100 GB and more, so it is read piece
//! by piece, as the caller takes them.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use super::range::{Part, part};
use vagn_http::etag;
use vagn_http::problem::{Kind, Problem};
use vagn_http::server::Liveness;

/// First bytes of the format, with its version.
const MAGIC: &[u8; 8] = b"PMTiles\x03";

/// Bytes that are read at a time: more than most tiles have, and little for each of many callers.
const PIECE_LEN: u64 = 64 << 10;

/// Most threads that read at a time. A disk that hangs keeps these and no more, since other parts need threads, too.
const READERS_MAX: usize = 16;

/// Longest wait for a thread and for what it reads.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// An open map file. It stays the one that was opened: another one under its name is taken at the next start.
#[derive(Debug)]
pub struct Archive(Arc<OpenFile>);

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    file: File,
    readers: Arc<Semaphore>,
}

/// Reason why a file is no map file that can be given out.
#[derive(Debug, thiserror::Error)]
pub enum UnusableArchive {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("is no PMTiles file of version 3")]
    Format,
}

impl Archive {
    /// Opens the file, and looks whether it is a map file.
    ///
    /// # Errors
    /// The file cannot be read, or is no map file.
    pub fn open(path: &Path) -> Result<Self, UnusableArchive> {
        let kind = std::fs::metadata(path)?.file_type();
        // Before it is opened, which for a pipe would wait until something writes into it.
        if !kind.is_file() && !kind.is_dir() {
            return Err(UnusableArchive::Format);
        }
        let file = File::open(path)?;
        let mut begin = [0; MAGIC.len()];
        match file.read_exact_at(&mut begin, 0) {
            Ok(()) if begin == *MAGIC => Ok(Self(Arc::new(OpenFile::new(path, file)))),
            Err(err) if err.kind() != ErrorKind::UnexpectedEof => Err(err.into()),
            Ok(()) | Err(_) => Err(UnusableArchive::Format),
        }
    }

    /// Answers with all of it, with the range that is asked for, or that the caller has it already.
    pub(super) async fn answer(
        &self,
        method: &Method,
        asked: &HeaderMap,
        liveness: Option<Liveness>,
    ) -> Result<Response, Problem> {
        let (len, etag) = self.state().await.map_err(|_| {
            Problem::new(Kind::Internal, "the map file of the setting map.pmtiles cannot be read")
        })?;
        // Ranges are for GET alone.
        let part = if method == Method::GET { part(asked, len, &etag) } else { Part::Whole };
        let mut response = if etag::is_known(asked, &etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            match part {
                Part::Whole => self.bytes(0, len, liveness),
                Part::Bytes { first, last } => self.partial(first, last, len, liveness),
                Part::None => nothing(len),
            }
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, etag);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }

    /// Returns length and ETag. An operator may write into the open file, so they are looked up for each request.
    async fn state(&self) -> io::Result<(u64, HeaderValue)> {
        let found = self.0.read(File::metadata).await?;
        let marks = [found.ino(), found.len(), found.mtime() as u64, found.mtime_nsec() as u64];
        Ok((found.len(), etag::of(&marks.map(u64::to_be_bytes).concat())))
    }

    fn partial(&self, first: u64, last: u64, len: u64, liveness: Option<Liveness>) -> Response {
        let mut response = self.bytes(first, last + 1, liveness);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(&mut response, header::CONTENT_RANGE, format!("bytes {first}-{last}/{len}"));
        response
    }

    /// Answers with the bytes from `first` up to, and without, `end`.
    fn bytes(&self, first: u64, end: u64, liveness: Option<Liveness>) -> Response {
        let reader = Reader { file: self.0.clone(), next: first, end, liveness };
        let pieces = stream::try_unfold(reader, |reader| async { reader.piece().await });
        let mut response = Response::new(Body::from_stream(pieces));
        set(&mut response, header::CONTENT_LENGTH, (end - first).to_string());
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.pmtiles"));
        response
    }
}

/// Answers that the file has none of the bytes that were asked for.
fn nothing(len: u64) -> Response {
    let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    set(&mut response, header::CONTENT_RANGE, format!("bytes */{len}"));
    response
}

fn set(response: &mut Response, name: header::HeaderName, value: String) {
    let value = HeaderValue::from_str(&value).expect("digits and words can stand in a header");
    response.headers_mut().insert(name, value);
}

impl OpenFile {
    fn new(path: &Path, file: File) -> Self {
        Self { path: path.to_owned(), file, readers: Arc::new(Semaphore::new(READERS_MAX)) }
    }

    /// Reads on a thread where that may take its time, and logs it if it fails.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let this = self.clone();
        let done = async {
            let place = self.readers.clone().acquire_owned().await.map_err(io::Error::other)?;
            let on_thread = move || {
                let _place = place;
                job(&this.file)
            };
            spawn_blocking(on_thread).await.map_err(io::Error::other)?
        };
        let read = timeout(READ_WITHIN, done).await.unwrap_or_else(|late| Err(late.into()));
        read.inspect_err(
            |err| warn!(path = %self.path.display(), error = %err, "failed to read the map file"),
        )
    }
}

/// The rest of an answer. The next piece is read when the connection has taken the one before.
struct Reader {
    file: Arc<OpenFile>,
    next: u64,
    end: u64,
    liveness: Option<Liveness>,
}

impl Reader {
    async fn piece(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.next >= self.end {
            return Ok(None);
        }
        // A whole file may take longer than a connection may be idle.
        if let Some(liveness) = &self.liveness {
            liveness.sign();
        }
        let (at, len) = (self.next, PIECE_LEN.min(self.end - self.next) as usize);
        let read = move |file: &File| {
            let mut piece = vec![0; len];
            file.read_exact_at(&mut piece, at).map(|()| piece)
        };
        // An answer that cannot be finished breaks off: its head is gone already.
        let piece = self.file.read(read).await?;
        self.next += piece.len() as u64;
        Ok(Some((piece.into(), self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_map_file_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let refusal = |path: &Path| Archive::open(path).unwrap_err().to_string();
        assert!(refusal(&path).contains("No such file"));
        for wrong in [&b""[..], b"PMTiles", b"PMTiles\x02 and more", b"<html>and more"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(refusal(&path).contains("no PMTiles file"), "{wrong:?}");
        }
        assert!(refusal(dir.path()).contains("directory"), "{}", refusal(dir.path()));
        std::fs::write(&path, [MAGIC, &b"tiles"[..]].concat()).unwrap();
        assert!(Archive::open(&path).is_ok());
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(refusal(&pipe).contains("no PMTiles file"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_keeps_no_more_than_its_threads() {
        let file = Arc::new(OpenFile::new(Path::new("base.pmtiles"), tempfile::tempfile().unwrap()));
        let stuck = file.readers.clone().acquire_many_owned(READERS_MAX as u32).await.unwrap();
        let late = file.read(File::metadata).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        drop(stuck);
        assert!(file.read(File::metadata).await.is_ok());
    }
}
