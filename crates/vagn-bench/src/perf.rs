//! Profile of a process: `perf` samples it, and the output of `perf report` is read here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, ensure};

/// Samples per second of processor time. Not a round number, so that it does not beat with timers.
pub const RATE_HZ: u32 = 1999;

/// Separator between the fields of a report. It is in no name.
const BETWEEN: &str = "|";

/// Samples of a process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    hits: Vec<Hit>,
}

/// Samples of one function in one thread.
#[derive(Debug, Clone, PartialEq)]
struct Hit {
    samples: u64,
    thread: String,
    /// `kernel`, or the file of the program or library.
    place: String,
    function: String,
}

/// Shares of a thread, or of threads whose names differ by a number only, from 0 to 1 of all samples of the process.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadShare {
    /// Name without its number.
    pub thread: String,
    /// Share in the program and its libraries.
    pub user: f64,
    /// Share in the kernel on its behalf.
    pub kernel: f64,
}

/// Share of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionShare {
    /// Name without hashes and generics.
    pub function: String,
    /// `kernel`, or the file of the program or library.
    pub place: String,
    /// Thread in which it was sampled most.
    pub thread: String,
    /// Share of the samples of the process, from 0 to 1.
    pub share: f64,
}

impl Profile {
    /// Samples a process for so many seconds, with the kernel on its behalf; keeps the samples in `dir`.
    ///
    /// # Errors
    /// When `perf` is missing, may not look at the process and the kernel, or its output cannot be read.
    pub fn record(pid: u32, seconds: u32, dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join("perf.data");
        // A clock of the kernel, because virtual machines often have no counters of cycles.
        let mut record = Command::new("perf");
        record.args(["record", "-q", "-N", "-e", "cpu-clock"]);
        record.arg("-F").arg(RATE_HZ.to_string()).arg("-p").arg(pid.to_string());
        record.arg("-o").arg(&file).args(["--", "sleep"]).arg(seconds.to_string());
        said(&mut record)?;
        let mut report = Command::new("perf");
        report.args(["report", "--stdio", "-F", "sample,comm,dso,sym", "-t", BETWEEN, "-i"]).arg(&file);
        Self::parse(&said(&mut report)?)
    }

    /// Reads the output of `perf report`, lines of: samples, thread, file, `[k]` for the kernel or another mark, function.
    ///
    /// # Errors
    /// When a line has another form, the kernel was left out, or there are no samples.
    pub fn parse(report: &str) -> anyhow::Result<Self> {
        let (head, rows): (Vec<_>, Vec<_>) = report.lines().partition(|line| line.starts_with('#'));
        ensure!(
            !head.iter().any(|line| line.contains("event 'cpu-clock:u'")),
            "perf may not look into the kernel (see kernel.perf_event_paranoid)"
        );
        let rows = rows.into_iter().filter(|row| !row.trim().is_empty());
        let hits = rows.map(|row| Hit::parse(row).with_context(|| format!("understand perf's {row:?}")));
        let hits = hits.collect::<Result<Vec<_>, _>>()?;
        ensure!(!hits.is_empty(), "perf took no samples");
        Ok(Self { hits })
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.hits.iter().map(|hit| hit.samples).sum()
    }

    /// Shares of each kind of thread, the largest first.
    pub fn threads(&self) -> Vec<ThreadShare> {
        let mut threads: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
        for hit in &self.hits {
            threads.entry(without_number(&hit.thread)).or_default()[usize::from(hit.is_kernel())] +=
                hit.samples;
        }
        let mut shares: Vec<_> = threads
            .into_iter()
            .map(|(thread, [user, kernel])| ThreadShare {
                thread: thread.to_owned(),
                user: self.share(user),
                kernel: self.share(kernel),
            })
            .collect();
        shares.sort_by(|a, b| (b.user + b.kernel).total_cmp(&(a.user + a.kernel)));
        shares
    }

    /// Shares of each function over all threads, the largest first.
    pub fn functions(&self) -> Vec<FunctionShare> {
        let mut functions: BTreeMap<(&str, &str), BTreeMap<&str, u64>> = BTreeMap::new();
        for hit in &self.hits {
            let threads = functions.entry((&hit.place, &hit.function)).or_default();
            *threads.entry(without_number(&hit.thread)).or_default() += hit.samples;
        }
        let mut shares: Vec<_> = functions
            .into_iter()
            .map(|((place, function), threads)| FunctionShare {
                function: function.to_owned(),
                place: place.to_owned(),
                thread: threads
                    .iter()
                    .max_by_key(|(_, samples)| **samples)
                    .map_or("", |most| most.0)
                    .to_owned(),
                share: self.share(threads.values().sum()),
            })
            .collect();
        shares.sort_by(|a, b| b.share.total_cmp(&a.share));
        shares
    }

    fn share(&self, samples: u64) -> f64 {
        samples as f64 / self.samples() as f64
    }
}

impl Hit {
    fn parse(row: &str) -> Option<Self> {
        let fields: Vec<_> = row.splitn(4, BETWEEN).map(str::trim).collect();
        let [samples, thread, file, symbol] = fields[..] else { return None };
        let (mark, name) = symbol.split_once(' ')?;
        let place = if mark == "[k]" { "kernel" } else { file };
        Some(Self {
            samples: samples.parse().ok()?,
            thread: thread.to_owned(),
            place: place.to_owned(),
            function: if name.starts_with("0x") { "without a name".to_owned() } else { readable(name) },
        })
    }

    fn is_kernel(&self) -> bool {
        self.place == "kernel"
    }
}

fn said(command: &mut Command) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } =
        command.output().context("perf is missing (Debian: linux-perf)")?;
    let complaint = String::from_utf8_lossy(&stderr);
    let reason = complaint.lines().find(|line| *line != "Error:").unwrap_or_default();
    ensure!(status.success(), "perf: {}", reason.trim_end_matches('.'));
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// `queries-1` is one of the `queries`.
fn without_number(thread: &str) -> &str {
    match thread.rsplit_once('-') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => thread,
    }
}

/// Shortens the name of a function: without additions of compiler and linker, without generics, and with types in angle
/// brackets by their last word: `<Intake as Subscriber>::offer`.
fn readable(name: &str) -> String {
    if !name.contains("::") {
        // As `_int_free.isra.0` or `cfree@GLIBC_2.2.5`.
        let end = name
            .char_indices()
            .skip(1)
            .find(|(_, c)| matches!(c, '.' | '@'))
            .map_or(name.len(), |(at, _)| at);
        return name[..end].to_owned();
    }
    let name = name.split_once(".llvm.").map_or(name, |(name, _)| name);
    let name = match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => path,
        _ => name,
    };
    let words = split(name, "::").into_iter().map(word).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("::")
}

/// Shortens one step of a path: without generics, and empty for generics alone.
fn word(step: &str) -> String {
    let Some(inner) = step.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')) else {
        return if step.contains("{closure") {
            "{closure}".to_owned()
        } else {
            split(step, "<")[0].to_owned()
        };
    };
    let implemented = inner.strip_prefix("impl ").and_then(|inner| split(inner, " for ").pop());
    match (implemented, &split(inner, " as ")[..]) {
        (Some(of), _) => last_word(of),
        (None, [of, as_what]) => format!("<{} as {}>", last_word(of), last_word(as_what)),
        _ => String::new(),
    }
}

fn last_word(path: &str) -> String {
    split(path, "::").last().map(|step| word(step)).unwrap_or_default()
}

/// Splits `text` at those `separator`s that stand outside of all brackets.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        if depth == 0 && at >= start && text[at..].starts_with(separator) {
            parts.push(&text[start..at]);
            start = at + separator.len();
        }
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if text[..at].ends_with('-') => {}
            '>' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As perf 6.1 writes it, with fewer rows and narrower columns.
    const REPORT: &str = "\
# To display the perf.data header info, please use --header/--header-only options.
#
# Total Lost Samples: 0
#
# Samples: 1K of event 'cpu-clock'
# Event count (approx.): 989494500
#
#      Samples|Command      |Shared Object    |Symbol                         \n\
 40         |udp          |[kernel.kallsyms]|[k] _copy_to_iter
 20         |storage-0    |vagn             |[.] vagn_store::reader::Writer::look
 12         |queries-0    |libm.so.6        |[.] __sin_fma
 8          |queries-1    |libm.so.6        |[.] __sin_fma
 10         |vagn-emergency|vagn            |[.] 0x00007f0010203040
 9          |queries-1    |[kernel.kallsyms]|[k] finish_task_switch.isra.0
 1          |storage-0    |libm.so.6        |[.] __sin_fma


#
# (Tip: Print event counts in CSV format with: perf stat -x,)
#
";

    #[test]
    fn tells_threads_apart_and_their_kernel_from_their_own() {
        let profile = Profile::parse(REPORT).unwrap();
        let threads: Vec<_> =
            profile.threads().into_iter().map(|it| (it.thread, it.user, it.kernel)).collect();
        let want =
            [("udp", 0.0, 0.4), ("queries", 0.2, 0.09), ("storage", 0.21, 0.0), ("vagn-emergency", 0.1, 0.0)];
        assert_eq!(threads, want.map(|(thread, user, kernel)| (thread.to_owned(), user, kernel)));
        assert_eq!(profile.samples(), 100);
    }

    #[test]
    fn adds_up_functions_over_threads() {
        let functions = Profile::parse(REPORT).unwrap().functions();
        let functions: Vec<_> = functions
            .iter()
            .map(|it| (it.function.as_str(), it.place.as_str(), it.thread.as_str(), it.share))
            .collect();
        assert_eq!(
            functions,
            [
                ("_copy_to_iter", "kernel", "udp", 0.4),
                ("__sin_fma", "libm.so.6", "queries", 0.21),
                ("vagn_store::reader::Writer::look", "vagn", "storage", 0.2),
                ("without a name", "vagn", "vagn-emergency", 0.1),
                ("finish_task_switch", "kernel", "queries", 0.09),
            ]
        );
    }

    #[test]
    fn refuses_what_says_too_little() {
        let check = |report: &str, want: &str| {
            let err = Profile::parse(report).unwrap_err().to_string();
            assert!(err.contains(want), "{err}");
        };
        check(&REPORT.replace("'cpu-clock'", "'cpu-clock:u'"), "may not look into the kernel");
        check("# Samples: 0 of event 'cpu-clock'\n", "no samples");
        check(" 40 |udp |[kernel.kallsyms]\n", "understand");
        check(" many|udp |[kernel.kallsyms]|[k] _copy_to_iter\n", "understand");
    }

    #[test]
    fn makes_names_readable() {
        for (name, want) in [
            ("_copy_to_iter", "_copy_to_iter"),
            ("cfree@GLIBC_2.2.5", "cfree"),
            ("@plt", "@plt"),
            ("finish_task_switch.isra.0", "finish_task_switch"),
            ("vagn::app::App::run::{{closure}}::h5eff4759280dcfc9", "vagn::app::App::run::{closure}"),
            ("vagn::ingest::decode.llvm.1234567", "vagn::ingest::decode"),
            ("alloc::raw_vec::RawVec<T,A>::grow_one", "alloc::raw_vec::RawVec::grow_one"),
            ("a::Pair<fn() -> b::C>::first::<d::E>", "a::Pair::first"),
            (
                "<vagn::emergency::inbox::Intake as vagn_otp::topic::subscriber::Subscriber<alloc::sync::Arc<vagn::batch::\
                 Batch>>>::offer",
                "<Intake as Subscriber>::offer",
            ),
            (
                "<F as axum::handler::Handler<(M,T1,T2,T3),S>>::call::{{closure}}",
                "<F as Handler>::call::{closure}",
            ),
            (
                "vagn_store::index::nearby::<impl vagn_store::index::Index>::nearby",
                "vagn_store::index::nearby::Index::nearby",
            ),
            (
                "<serde_core::de::impls::<impl serde_core::de::Deserialize for alloc::vec::Vec<T>>::deserialize::\
                 VecVisitor<T> as serde_core::de::Visitor>::visit_seq",
                "<VecVisitor as Visitor>::visit_seq",
            ),
        ] {
            assert_eq!(readable(name), want, "{name}");
        }
    }
}
