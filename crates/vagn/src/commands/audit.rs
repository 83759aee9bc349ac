//! `vagn audit`: checks and exports the trail of incidents, so that nobody can change what was done unnoticed.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::exit::Coded;
use super::say;
use vagn_emergency::record::store::FILE;
use vagn_emergency::trail::{ClosedStore, ExportFault, Fault, Head, OpenError, Verified, verify_export};

/// What every file of the store begins with, and no export.
const STORE_MAGIC: &[u8] = b"redb";

/// What to do with the trail.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  vagn audit head\n  vagn audit export > trail.ndjson\n  vagn audit verify trail.ndjson\n  \
vagn audit verify --data-dir ./vagn-data --head 17:5b1c…\n\n\
The trail says who did what to which incident, and when. Each entry carries a hash over itself and the one before, so \
whatever was changed, removed or moved is found. An end that was cut off is found by who knows a later head: give \
--head the `trail_head` of a call, or the last line of an earlier export.\n\n\
A running service keeps its store locked; it gives the same over HTTPS: GET /api/v1/audit/head, GET /api/v1/audit/trail."
)]
pub struct AuditArgs {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Follow the trail, and name the first link that is broken.
    Verify(VerifyArgs),
    /// Print the trail: a line of JSON per entry, between what came before and its head.
    Export(StoreArgs),
    /// Print how far the trail goes, to be kept elsewhere.
    Head(StoreArgs),
}

/// What to check.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn audit verify\n  vagn audit verify --head 17:5b1c… --head 42:09fe…\n  \
vagn audit verify trail.ndjson\n  \
curl -sk 'https://localhost:9090/api/v1/audit/trail?after=0&limit=10000' | vagn audit verify - --head 42:09fe…\n\n\
A trail that came in several answers (`after` the last seq) is checked with all of them one behind the other.\n\n\
Exit codes: 0 whole; 1 broken, and the first broken link is named, or not readable; 64 wrong usage, or nothing there; \
69 the store is in use."
)]
struct VerifyArgs {
    /// An export, or a copy of the store; `-` reads an export from standard input [default: the store in --data-dir].
    #[arg(value_name = "FILE", conflicts_with = "data_dir")]
    file: Option<PathBuf>,
    /// The data directory of a service that is not running.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
    /// A head that the trail must have had, from a call's `trail_head` or an earlier export. May be given several times.
    #[arg(long = "head", value_name = "SEQ:HEX")]
    heads: Vec<Head>,
}

/// Whose trail.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn audit export --data-dir ./vagn-data > trail.ndjson\n\n\
Exit codes: 0 done; 1 the store cannot be read; 64 wrong usage, or nothing there; 69 the store is in use.")]
struct StoreArgs {
    /// The data directory of a service that is not running.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
}

/// Checks or prints.
///
/// # Errors
/// When the trail cannot be read. A broken one is no error but an exit code.
pub fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    match args.deed {
        Deed::Verify(args) => verify(&args),
        Deed::Export(args) => export(&open_in(&args.data_dir)?),
        Deed::Head(args) => {
            say(&format!("{}\n", open_in(&args.data_dir)?.head().context("read the trail")?))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let found = match &args.file {
        None => of_store(&open_in(&args.data_dir)?, &args.heads)?,
        Some(path) if path.as_os_str() == "-" => of_export(io::stdin().lock(), &args.heads)?,
        Some(path) => of_file(path, &args.heads)?,
    };
    match found {
        Ok(verified) => {
            say(&Whole { verified, known: &args.heads }.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(broken) => {
            say(&format!("broken: {broken}\n"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The first thing that is wrong, in words.
type Found = Result<Verified, String>;

fn of_store(store: &ClosedStore, known: &[Head]) -> anyhow::Result<Found> {
    match store.verify(known) {
        Ok(verified) => Ok(Ok(verified)),
        Err(Fault::Broken(broken)) => Ok(Err(broken.to_string())),
        Err(Fault::Failed(err)) => Err(anyhow::Error::new(err).context("read the trail")),
    }
}

fn of_file(path: &Path, known: &[Head]) -> anyhow::Result<Found> {
    let file = File::open(path).map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => Coded::usage(format!("there is no file {}", path.display())).into(),
        _ => anyhow::Error::new(err).context(format!("read {}", path.display())),
    })?;
    let mut lines = BufReader::new(file);
    if lines.fill_buf().context("read the file")?.starts_with(STORE_MAGIC) {
        return of_store(&open(path)?, known);
    }
    of_export(lines, known)
}

fn of_export(lines: impl BufRead, known: &[Head]) -> anyhow::Result<Found> {
    match verify_export(lines, known) {
        Ok(verified) => Ok(Ok(verified)),
        Err(ExportFault::Io(err)) => Err(anyhow::Error::new(err).context("read the export")),
        Err(broken) => Ok(Err(broken.to_string())),
    }
}

fn export(store: &ClosedStore) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    match store.export(&mut out).and_then(|()| out.flush()) {
        // Whoever read it has seen enough.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        done => done.context("export the trail").map(|()| ExitCode::SUCCESS),
    }
}

fn open_in(data_dir: &Path) -> anyhow::Result<ClosedStore> {
    open(&data_dir.join(FILE))
}

fn open(path: &Path) -> anyhow::Result<ClosedStore> {
    ClosedStore::open(path).map_err(|err| {
        let path = path.display();
        match err {
            OpenError::Missing => {
                Coded::usage(format!("there is no incident store {path}; --data-dir says where to look"))
                    .into()
            }
            OpenError::InUse => Coded::unavailable(format!(
                "incident store {path} is in use: stop the service, or ask it with GET /api/v1/audit/trail"
            ))
            .into(),
            err => anyhow::Error::new(err).context(format!("open incident store {path}")),
        }
    })
}

/// A trail that is whole, in words.
struct Whole<'a> {
    verified: Verified,
    known: &'a [Head],
}

impl Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verified { base, head, entries, too_old } = &self.verified;
        match entries {
            0 => writeln!(f, "whole: no entries")?,
            _ => writeln!(f, "whole: {entries} entries, {} to {}", base.seq.saturating_add(1), head.seq)?,
        }
        writeln!(f, "head {head}")?;
        for known in self.known {
            let word = if too_old.contains(known) { "too old to be compared:" } else { "has" };
            writeln!(f, "{word} {known}")?;
        }
        if self.known.is_empty() {
            writeln!(f, "no --head was given: whether entries at the end were cut off cannot be told")?;
        }
        Ok(())
    }
}
