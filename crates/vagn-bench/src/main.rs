//! `vagn-bench`: measures, and writes the document.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};

use vagn_bench::bench::Bench;
use vagn_bench::notes::Notes;
use vagn_bench::section::Section;
use vagn_bench::{bare, bare_sender, bare_stream, machine, render, section, sections};

#[derive(Debug, Parser)]
#[command(about = "Measures Vagn end to end and writes docs/BENCHMARKS.md", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, then write the document.
    Run {
        #[command(flatten)]
        place: Place,
        /// The service to measure.
        #[arg(long, value_name = "FILE", default_value = "target/release/vagn")]
        vagn: PathBuf,
        /// Only these sections; the others keep their last results.
        #[arg(long, value_name = "ID,…", value_delimiter = ',')]
        only: Vec<String>,
        /// Short runs over a small fleet: shows that it works, not how fast.
        #[arg(long)]
        quick: bool,
    },
    /// Write the document from the results that are there.
    Render {
        #[command(flatten)]
        place: Place,
    },
    /// Count datagrams and do nothing else.
    #[command(hide = true)]
    Bare,
    /// Let viewers in, send them so many bytes a second with the certificate in this folder, and do nothing else.
    #[command(hide = true)]
    BareSender { folder: PathBuf, bytes: usize },
    /// Publish messages to streams of brokers, count the answers, and do nothing else.
    #[command(hide = true)]
    BareStream(bare_stream::Messages),
}

/// Folders of the results and of the document.
#[derive(Debug, clap::Args)]
struct Place {
    /// The folder to work in, with results of other measurements as <id>.json.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    work: PathBuf,
    /// The folder of the document.
    #[arg(long, value_name = "DIR", default_value = "docs")]
    docs: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::Bare => bare::run()?,
        Command::BareSender { folder, bytes } => bare_sender::run(&folder, bytes)?,
        Command::BareStream(messages) => bare_stream::run(&messages)?,
        Command::Render { place } => write(&place)?,
        Command::Run { place, vagn, only, quick } => {
            let bench = Bench { vagn, scratch: place.work.join("scratch"), quick };
            let whole = measure(&bench, &place.work, &only)?;
            write(&place)?;
            return Ok(ExitCode::from(u8::from(!whole)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures the sections asked for; gives true when all of them succeeded. A failure is shown in its section.
fn measure(bench: &Bench, work: &Path, only: &[String]) -> anyhow::Result<bool> {
    ensure!(bench.vagn.exists(), "{} is missing; run: cargo build --release", bench.vagn.display());
    let unknown: Vec<_> = only.iter().filter(|id| !section::is_known(id)).collect();
    ensure!(unknown.is_empty(), "no such section: {unknown:?}; there are {:?}", section::ORDER);
    machine::pin(machine::CLIENT_CORE)?;
    let mut whole = true;
    for (id, title, run) in sections::ALL {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == id) {
            continue;
        }
        whole &= measure_one(bench, work, Section::new(id, title), run)?;
    }
    Ok(whole)
}

fn measure_one(bench: &Bench, work: &Path, mut section: Section, run: sections::Run) -> anyhow::Result<bool> {
    clear(&bench.scratch);
    fs::create_dir_all(&bench.scratch).with_context(|| format!("create {}", bench.scratch.display()))?;
    bench.progress(format!("{}: {}", section.id, section.title));
    let started = Instant::now();
    if let Err(err) = run(bench, &mut section) {
        section.failed = Some(format!("{err:#}"));
        bench.progress(format!("{} failed: {err:#}", section.id));
    }
    let make = if bench.quick { "make bench QUICK=1" } else { "make bench" };
    section.commands.insert(0, format!("{make} ONLY={}", section.id));
    bench.progress(format!("{}: {:.0} s", section.id, started.elapsed().as_secs_f64()));
    clear(&bench.scratch);
    section.measured = Some(machine::stamp(bench.quick));
    section.save(work)?;
    Ok(section.failed.is_none())
}

fn clear(folder: &Path) {
    // Most often there is none.
    let _removed = fs::remove_dir_all(folder);
}

fn write(Place { work, docs }: &Place) -> anyhow::Result<()> {
    let folder = docs.join("bench");
    let results = folder.join("results");
    section::collect(work, &results)?;
    let sections = section::all(&results)?;
    let notes = Notes::read(&folder.join("notes"), &sections)?;
    let document = render::document(&sections, &notes);
    // A plot that is no longer drawn must not stay behind.
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    for (name, svg) in &document.pictures {
        fs::write(folder.join(name), svg).with_context(|| format!("write {name}"))?;
    }
    fs::write(docs.join("BENCHMARKS.md"), &document.text).context("write BENCHMARKS.md")?;
    eprintln!("bench: wrote {}", docs.join("BENCHMARKS.md").display());
    Ok(())
}
