//! The cost of a report and of an answer, by thread and by function.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use vagn_load::Fleet;
use vagn_load::pace::Rate;

use crate::ask::Questions;
use crate::bare::Bare;
use crate::bench::Bench;
use crate::load::{self, Load, joined};
use crate::perf::{FunctionShare, Profile, RATE_HZ, ThreadShare};
use crate::section::{Section, Table};
use crate::service::Service;
use crate::stats::{Spread, grouped, percent, short, time};

/// Number of places that questions are about.
const PLACES: u64 = 8192;

/// Number of connections that ask.
const ASKERS: u32 = 16;

/// Number of functions that are shown.
const FUNCTIONS: usize = 12;

/// Smallest share of a thread that is shown in its own row, under at least one load.
const SHARE_MIN: f64 = 0.005;

/// Seconds from the start of a load until it is sampled: asking begins with handshakes.
const LEAD_S: u32 = 1;

/// Work of the service while it is measured.
struct Task {
    name: &'static str,
    /// Load that is sent; `None` to ask for the nearest vehicles.
    load: Option<Load>,
    /// Seconds for which its cost is measured.
    seconds: u32,
    /// Seconds for which it is sampled.
    sampled_s: u32,
}

/// Cost of one repetition.
struct Cost {
    /// Reports stored, or answers, per second.
    per_s: f64,
    /// Share of a core, and its part in the service's own code.
    cpu: f64,
    user: f64,
}

/// Results of a task.
struct TaskResult {
    task: Task,
    costs: Vec<Cost>,
    /// Processor time of the bare counter per datagram, in seconds.
    bare: Option<f64>,
    profile: anyhow::Result<Profile>,
}

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "The work of the processor for a service that knows {} vehicles. The cost is its processor time, divided by the reports \
         that it stored or the questions that it answered, without sampling; flat out it includes reports that were received and \
         then shed. *User* is the service's own code and its libraries, *kernel* the work of the kernel on its behalf, by the \
         kernel's own figures, both in the median repetition. The bare counter, which takes datagrams and counts them, gets the \
         same load.",
        bench.fleet_size()
    ));
    section.heads(&["load", "stored or answered/s", "CPU", "cost of one", "user", "kernel", "bare counter"]);
    let mut all = Vec::new();
    for task in tasks(bench) {
        bench.progress(format!("profile: {}", task.name));
        let seen = look(bench, task)?;
        section.row(row(&seen));
        all.push(seen);
    }
    say_how(section, &all);
    section.tables = tables(&all);
    section.command("# by hand, a running service, as root:");
    section.command(format!("perf record -e cpu-clock -F {RATE_HZ} -p $(pgrep -x vagn) -- sleep 10"));
    section.command("perf report --stdio --sort comm,dso,sym");
    Ok(())
}

fn tasks(bench: &Bench) -> [Task; 3] {
    let short = bench.pick(4, 1);
    let long = bench.pick(12, 2);
    let sampled_s = bench.pick(10, 3);
    [
        Task {
            name: "flat out, segments",
            load: Some(Load { rate: Rate::Max, seconds: short.into(), segments: true }),
            seconds: short,
            sampled_s,
        },
        Task {
            name: "5 000/s",
            load: Some(Load { rate: Rate::PerSecond(5e3), seconds: long.into(), segments: false }),
            seconds: long,
            // Longer than the others, because the service sleeps most of the time.
            sampled_s: bench.pick(60, 6),
        },
        Task { name: "HTTPS nearby, 16 connections", load: None, seconds: short, sampled_s },
    ]
}

fn look(bench: &Bench, task: Task) -> anyhow::Result<TaskResult> {
    let (service, mut fleet) = load::warmed(bench.fresh(), bench.vehicles())?;
    match task.load {
        Some(load) => look_at_reports(bench, task, &service, &mut fleet, load),
        None => look_at_answers(bench, task, &service, &mut fleet),
    }
}

fn look_at_reports(
    bench: &Bench,
    task: Task,
    service: &Service,
    fleet: &mut Fleet,
    load: Load,
) -> anyhow::Result<TaskResult> {
    let mut costs = Vec::new();
    let mut bare = Vec::new();
    for _ in 0..bench.repetitions() {
        let outcome = load::measure(service, fleet, load)?;
        costs.push(Cost { per_s: outcome.stored_per_s, cpu: outcome.cpu, user: outcome.user });
        let counted = load::measure_bare(&mut Bare::start()?, fleet, load)?;
        bare.push(counted.cpu / counted.stored_per_s);
    }
    let (profile, _) = load::while_sending(fleet, service.address("udp")?, load.rate, load.segments, || {
        Ok(record(bench, service, &task))
    })?;
    Ok(TaskResult { task, costs, bare: Some(Spread::of(bare).median), profile })
}

fn look_at_answers(
    bench: &Bench,
    task: Task,
    service: &Service,
    fleet: &mut Fleet,
) -> anyhow::Result<TaskResult> {
    let places = load::places(fleet, PLACES)?;
    let questions = Questions::nearest(&bench.scratch, service.address("http")?, &places)?;
    let mut costs = Vec::new();
    for _ in 0..bench.repetitions() {
        let cpu_before_s = service.process().cpu_s();
        let user_before_s = service.process().user_s();
        let asked = questions.http1(ASKERS, task.seconds)?;
        let cpu_s = service.process().cpu_s() - cpu_before_s;
        let user_s = service.process().user_s() - user_before_s;
        let seconds = f64::from(task.seconds);
        costs.push(Cost { per_s: asked.per_s, cpu: cpu_s / seconds, user: user_s / seconds });
    }
    let profile = thread::scope(|scope| {
        let asking = scope.spawn(|| questions.http1(ASKERS, LEAD_S + task.sampled_s + 1));
        let profile = record(bench, service, &task);
        joined(asking).map(|_| profile)
    })?;
    Ok(TaskResult { task, costs, bare: None, profile })
}

/// Samples the service once its load is under way.
fn record(bench: &Bench, service: &Service, task: &Task) -> anyhow::Result<Profile> {
    thread::sleep(Duration::from_secs(LEAD_S.into()));
    Profile::record(service.process().pid(), task.sampled_s, &bench.scratch)
}

impl Cost {
    /// Seconds of processor time per report or answer.
    fn of_one(&self) -> f64 {
        self.cpu / self.per_s
    }
}

impl TaskResult {
    fn spread(&self, of: impl Fn(&Cost) -> f64) -> Spread {
        Spread::of(self.costs.iter().map(of))
    }
}

fn row(seen: &TaskResult) -> [Value; 7] {
    let mut costs: Vec<_> = seen.costs.iter().collect();
    costs.sort_by(|a, b| a.of_one().total_cmp(&b.of_one()));
    // Both parts are of the same repetition, so that they add up.
    let middle = costs.get(costs.len() / 2);
    [
        json!(seen.task.name),
        json!(seen.spread(|cost| cost.per_s).show(short)),
        json!(seen.spread(|cost| cost.cpu).show(percent)),
        json!(seen.spread(Cost::of_one).show(time)),
        json!(middle.map_or("–".to_owned(), |cost| time(cost.user / cost.per_s))),
        json!(middle.map_or("–".to_owned(), |cost| time((cost.cpu - cost.user) / cost.per_s))),
        json!(seen.bare.map_or("–".to_owned(), time)),
    ]
}

/// Describes the sampling. Without `perf` there are costs but no profile, which is said and is no failure.
fn say_how(section: &mut Section, all: &[TaskResult]) {
    if let Some(err) = all.iter().find_map(|seen| seen.profile.as_ref().err()) {
        section.say(format!("**There is no full profile:** {err:#}."));
    }
    if all.iter().any(|seen| seen.profile.is_ok()) {
        section.say(format!(
            "`perf` samples the clock of each thread while it runs, {RATE_HZ} times per second. Code that bars interrupts is charged to \
             the function that admits them again: `finish_task_switch` stands for going to sleep and switching threads, \
             `_raw_spin_unlock_irqrestore` mostly for waking others. The threads: `udp` receives, `ingest` decodes and checks, \
             `storage` writes the log and the index, `sync` calls `fsync`, `queries` search the index, and `vagn` are the workers \
             of tokio, on which TLS, HTTP and what else is asynchronous run. Shares are of all samples of the service under that load."
        ));
    }
}

fn tables(all: &[TaskResult]) -> Vec<Table> {
    let profiles: Vec<_> =
        all.iter().filter_map(|seen| Some((seen.task.name, seen.profile.as_ref().ok()?))).collect();
    if profiles.is_empty() {
        return Vec::new();
    }
    let functions = profiles.iter().map(|(name, profile)| function_table(name, profile));
    std::iter::once(thread_table(&profiles)).chain(functions).collect()
}

/// Makes the table of threads (rows) and loads (columns). The cells of a load add up to all of its samples.
fn thread_table(profiles: &[(&str, &Profile)]) -> Table {
    let shares: Vec<_> = profiles.iter().map(|(_, profile)| profile.threads()).collect();
    let mut shown: Vec<&str> = Vec::new();
    for it in shares.iter().flatten().filter(|it| it.user + it.kernel >= SHARE_MIN) {
        if !shown.contains(&it.thread.as_str()) {
            shown.push(&it.thread);
        }
    }
    let row = |head: String, of: &dyn Fn(&str) -> bool| {
        let cells = shares.iter().flat_map(|threads| sums(threads, of).map(|share| json!(percent(share))));
        std::iter::once(json!(head)).chain(cells).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> =
        shown.iter().map(|&name| row(format!("`{name}`"), &|thread| thread == name)).collect();
    rows.push(row("others".to_owned(), &|thread| !shown.contains(&thread)));
    rows.push(row("all".to_owned(), &|_| true));
    let heads = profiles.iter().flat_map(|(name, _)| [format!("{name}: user"), "kernel".to_owned()]);
    Table {
        title: "By thread".to_owned(),
        columns: std::iter::once("thread".to_owned()).chain(heads).collect(),
        rows,
    }
}

/// Adds up user and kernel of those threads.
fn sums(threads: &[ThreadShare], of: &dyn Fn(&str) -> bool) -> [f64; 2] {
    let those = threads.iter().filter(|it| of(&it.thread));
    those.fold([0.0, 0.0], |[user, kernel], it| [user + it.user, kernel + it.kernel])
}

fn function_table(name: &str, profile: &Profile) -> Table {
    Table {
        title: format!("The most costly functions, {name}: {} samples", grouped(profile.samples() as f64)),
        columns: ["share", "function", "in", "mostly of thread"].map(str::to_owned).to_vec(),
        rows: profile.functions().iter().take(FUNCTIONS).map(function_row).collect(),
    }
}

fn function_row(it: &FunctionShare) -> Vec<Value> {
    vec![
        json!(percent(it.share)),
        json!(format!("`{}`", it.function)),
        json!(it.place),
        json!(format!("`{}`", it.thread)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: &str = "\
 600|udp |[kernel.kallsyms]|[k] _copy_to_iter
 196|udp |vagn |[.] vagn::door::udp::UdpDoor::take
 200|storage-0 |vagn |[.] vagn_store::log::record::encode
 4|log |vagn |[.] vagn::logging::write
";
    const ASKED: &str = " 1|queries-0 |vagn |[.] a::b\n 1|queries-1 |[kernel.kallsyms]|[k] c\n";

    #[test]
    fn puts_the_threads_of_all_loads_side_by_side() {
        let profiles = [BUSY, ASKED].map(|report| Profile::parse(report).unwrap());
        let table = thread_table(&[("flat out", &profiles[0]), ("asked", &profiles[1])]);
        assert_eq!(table.columns, ["thread", "flat out: user", "kernel", "asked: user", "kernel"]);
        let want = [
            ["`udp`", "19.6 %", "60.0 %", "0 %", "0 %"],
            ["`storage`", "20.0 %", "0 %", "0 %", "0 %"],
            ["`queries`", "0 %", "0 %", "50.0 %", "50.0 %"],
            ["others", "0.40 %", "0 %", "0 %", "0 %"],
            ["all", "40.0 %", "60.0 %", "50.0 %", "50.0 %"],
        ];
        assert_eq!(table.rows, want.map(|row| row.map(|cell| json!(cell)).to_vec()));
    }

    #[test]
    fn shows_costs_also_where_nothing_may_be_sampled() {
        let seen = |profile| TaskResult {
            task: Task { name: "5 000/s", load: None, seconds: 1, sampled_s: 1 },
            costs: [(0.02, 0.005), (0.04, 0.001), (0.01, 0.007)]
                .map(|(cpu, user)| Cost { per_s: 5e3, cpu, user })
                .into(),
            bare: None,
            profile,
        };
        let check = |profile, said: &str, tables: &[&str]| {
            let mut section = Section::default();
            let all = [seen(profile)];
            say_how(&mut section, &all);
            assert!(section.text[0].contains(said), "{:?}", section.text);
            let titles: Vec<_> = super::tables(&all).into_iter().map(|table| table.title).collect();
            assert_eq!(titles, tables);
            assert_eq!(row(&all[0])[3..], ["4 µs (2 µs–8 µs)", "1 µs", "3 µs", "–"].map(|cell| json!(cell)));
        };
        check(Err(anyhow::anyhow!("perf is missing")), "no full profile:** perf is missing.", &[]);
        let titles = ["By thread", "The most costly functions, 5 000/s: 2 samples"];
        check(Profile::parse(ASKED), "1999 times per second", &titles);
    }
}
