//! `vagn audit`: checks and exports the trail of incidents, so that a later change of it is noticed.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::exit::Coded;
use super::say;
use crate::visible::{Form, VisibleWriter, visible};
use vagn_emergency::DESK_DIR;
use vagn_emergency::record::store::{FILE, JournalCheck, compare_with_journal};
use vagn_emergency::trail::{
    ClosedStore, ExportFault, Fault, Head, KEPT, OpenError, Verified, verify_export,
};

/// First bytes of a store file. No export begins with them.
const STORE_MAGIC: &[u8] = b"redb";

/// Flags of `vagn audit`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  vagn audit head\n  vagn audit export > trail.ndjson\n  vagn audit verify trail.ndjson\n  \
vagn audit verify --data-dir ./vagn-data --head 17:5b1c…\n\n\
The trail records each change of an incident: when, who, what and why. Each entry carries a hash over itself and the entry \
before it, so every changed, removed or moved entry is found. A cut-off end is found only by comparing with a head from \
elsewhere: give --head the `trail_head` of a notice, or the last line of an earlier export.\n\n\
A running service keeps its store locked. It gives the same over HTTPS: GET /api/v1/audit/head, GET /api/v1/audit/trail."
)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Follow the trail, and name the first broken link.
    Verify(VerifyArgs),
    /// Print the trail as lines of JSON: its base, one line per entry, and its head.
    Export(StoreArgs),
    /// Print the head of the trail, to be kept elsewhere.
    Head(StoreArgs),
}

/// Flags of `vagn audit verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn audit verify\n  vagn audit verify --head 17:5b1c… --head 42:09fe…\n  \
vagn audit verify trail.ndjson\n  \
curl -sk 'https://localhost:9090/api/v1/audit/trail?after=0&limit=10000' | vagn audit verify - --head 42:09fe…\n\n\
To check a trail that came in several answers (each `after` the last seq), put them one after the other.\n\n\
Exit codes: 0 whole; 1 broken (the first broken link is named) or not readable; 64 wrong usage, or no such file; \
69 the store is in use."
)]
struct VerifyArgs {
    /// An export, or a copy of the store; `-` reads an export from standard input [default: the store in --data-dir].
    #[arg(value_name = "FILE", conflicts_with = "data_dir")]
    file: Option<PathBuf>,
    /// Data directory of a service that is not running.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
    /// A head that the trail must contain, from the `trail_head` of a notice or from an earlier export. Can be repeated.
    #[arg(long = "head", value_name = "SEQ:HEX")]
    heads: Vec<Head>,
}

/// Flags of `vagn audit export` and `vagn audit head`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn audit export --data-dir ./vagn-data > trail.ndjson\n\n\
Exit codes: 0 done; 1 the store cannot be read; 64 wrong usage, or no store; 69 the store is in use.")]
struct StoreArgs {
    /// Data directory of a service that is not running.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
}

/// Checks or prints the trail.
///
/// # Errors
/// When the trail cannot be read. A broken trail is no error: the exit code tells.
pub(super) fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        AuditCommand::Verify(args) => verify(&args),
        AuditCommand::Export(args) => export(&open_in(&args.data_dir)?),
        AuditCommand::Head(args) => {
            say(&format!("{}\n", open_in(&args.data_dir)?.head().context("read the trail")?))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let found = match &args.file {
        None => verify_data_dir(&args.data_dir, &args.heads)?,
        Some(path) if path.as_os_str() == "-" => verify_lines(io::stdin().lock(), &args.heads)?,
        Some(path) => verify_file(path, &args.heads)?,
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

/// A verified trail, or a description of the first fault in it.
type Found = Result<Verified, String>;

/// Verifies the store in a data directory, which must not be behind its journal.
fn verify_data_dir(data_dir: &Path, known: &[Head]) -> anyhow::Result<Found> {
    let store = open_in(data_dir)?;
    let found = verify_store(&store, known)?;
    // The store of a node has no journal: what it lacks it reads in the trail at the brokers.
    if store_of_node(data_dir).is_some() {
        return Ok(found);
    }
    match compare_with_journal(&store, data_dir).context("compare the store with its journal")? {
        JournalCheck::Agrees | JournalCheck::Without => Ok(found),
        JournalCheck::Silent { why } => {
            eprintln!("not compared with the journal: {}", visible(&why, Form::Line));
            Ok(found)
        }
        JournalCheck::Ahead { saves, head } => {
            Ok(found.and_then(|verified| Err(rolled_back(&verified, saves, head))))
        }
    }
}

fn rolled_back(verified: &Verified, saves: u64, head: Option<Head>) -> String {
    let ends = verified.head;
    let went_on = head.map_or(String::new(), |head| format!(" and went on to {head}"));
    format!(
        "the store has rolled back: it ends with {ends}, but its journal has {saves} more saves{went_on}; start the \
         service, which takes them from the journal"
    )
}

fn verify_store(store: &ClosedStore, known: &[Head]) -> anyhow::Result<Found> {
    match store.verify(known) {
        Ok(verified) => Ok(Ok(verified)),
        Err(Fault::Broken(broken)) => Ok(Err(broken.to_string())),
        Err(Fault::Failed(err)) => Err(anyhow::Error::new(err).context("read the trail")),
    }
}

fn verify_file(path: &Path, known: &[Head]) -> anyhow::Result<Found> {
    let file = File::open(path).map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => Coded::usage(format!("there is no file {}", path.display())).into(),
        _ => anyhow::Error::new(err).context(format!("read {}", path.display())),
    })?;
    let mut lines = BufReader::new(file);
    // A copy of the store and an export are told apart by content, as both may have any name.
    if lines.fill_buf().context("read the file")?.starts_with(STORE_MAGIC) {
        return verify_store(&open(path)?, known);
    }
    verify_lines(lines, known)
}

fn verify_lines(lines: impl BufRead, known: &[Head]) -> anyhow::Result<Found> {
    match verify_export(lines, known) {
        Ok(verified) => Ok(Ok(verified)),
        Err(ExportFault::Io(err)) => Err(anyhow::Error::new(err).context("read the export")),
        Err(broken) => Ok(Err(broken.to_string())),
    }
}

fn export(store: &ClosedStore) -> anyhow::Result<ExitCode> {
    let out = io::stdout().lock();
    // For a file the bytes stay as they are.
    let exported = match out.is_terminal() {
        true => to(store, VisibleWriter::new(BufWriter::new(out), Form::Json)),
        false => to(store, BufWriter::new(out)),
    };
    match exported {
        // The reader has closed the pipe: it has seen enough.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        done => done.context("export the trail").map(|()| ExitCode::SUCCESS),
    }
}

fn to(store: &ClosedStore, mut out: impl Write) -> io::Result<()> {
    store.export(&mut out).and_then(|()| out.flush())
}

fn open_in(data_dir: &Path) -> anyhow::Result<ClosedStore> {
    // Where the machine was one before it became a node, the newer one is that of the node.
    open(&store_of_node(data_dir).unwrap_or_else(|| data_dir.join(FILE)))
}

fn store_of_node(data_dir: &Path) -> Option<PathBuf> {
    Some(data_dir.join(DESK_DIR).join(FILE)).filter(|path| path.exists())
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

/// Prints a verified trail for people.
struct Whole<'a> {
    verified: Verified,
    known: &'a [Head],
}

impl Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verified { base, head, entries, restored, too_old } = &self.verified;
        match entries {
            0 => writeln!(f, "whole: no entries")?,
            _ => writeln!(f, "whole: {entries} entries, {} to {}", base.seq.saturating_add(1), head.seq)?,
        }
        if base.seq > 0 {
            writeln!(f, "entries 1 to {} are not in it", base.seq)?;
        }
        if base.seq > 0 && *entries < KEPT {
            writeln!(
                f,
                "the latest {KEPT} are never let go of: so this is a part of a trail, or its beginning was cut off; a --head from \
                 before entry {} decides it",
                base.seq.saturating_add(1)
            )?;
        }
        if *restored > 0 {
            writeln!(
                f,
                "{restored} entries tell of incidents that the store had lost, and has again from its journal"
            )?;
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
