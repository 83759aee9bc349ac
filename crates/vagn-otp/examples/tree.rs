//! Prints a tree, kills its children one after another, and shows the restarts.
//!
//! `cargo run -p vagn-otp --example tree`

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::time::Duration;

use vagn_otp::testkit::until;
use vagn_otp::{
    Actor, Addr, Ask, CallError, ChildSpec, Context, Fault, Handle, Pool, Processes, Strategy, Supervisor,
    quiet_panics,
};

/// Keeps the total of all deposits.
#[derive(Default)]
struct Ledger {
    total: u64,
}

impl Actor for Ledger {}

struct Add(u64);

impl Handle<Add> for Ledger {
    type Reply = u64;

    async fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.total += add.0;
        self.total
    }
}

/// Passes amounts on to the ledger.
struct Teller {
    ledger: Addr<Ledger>,
}

impl Actor for Teller {}

struct Deposit(u64);

impl Handle<Deposit> for Teller {
    type Reply = Result<u64, CallError>;

    async fn handle(&mut self, deposit: Deposit, _: &mut Context<Self>) -> Result<u64, CallError> {
        self.ledger.call(Add(deposit.0), Duration::from_secs(1)).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    quiet_panics();
    let second = Duration::from_secs(1);

    // The last stage first; each stage is given the address of the next.
    let (ledger, ledger_spec) = ChildSpec::actor("ledger", 64, Ledger::default);
    let (teller, teller_spec) = ChildSpec::actor("teller", 64, move || Teller { ledger: ledger.clone() });
    let (squares, pool_spec) = Pool::<Ask<u64, u64>>::builder("squares").workers(2).child(|_| square);
    let heart = ChildSpec::thread("heart", |ctx| {
        ctx.ready();
        while !ctx.sleep(Duration::from_millis(20)) {
            ctx.beat();
        }
        Ok(())
    });
    let bank = Supervisor::new("bank", Strategy::RestForOne).child(ledger_spec).child(teller_spec);
    let root = Supervisor::new("root", Strategy::OneForOne)
        .child(ChildSpec::supervisor(bank).backoff(Duration::from_millis(50), second))
        .child(pool_spec)
        .child(heart.watchdog(Duration::from_millis(200)))
        .start()
        .await?;
    let processes = root.processes();

    println!("deposit 5: {:?}", teller.call(Deposit(5), second).await?);
    println!("deposit 7: {:?}", teller.call(Deposit(7), second).await?);
    println!("12 squared: {:?}", squares.call(12, second).await?);
    print(&processes, "All is well");

    processes.inject("ledger", Fault::Panic);
    println!("deposit into a ledger that panics: {:?}", teller.call(Deposit(9), second).await);
    restarted(&processes, "teller", 1).await;
    println!("deposit 1, to a new ledger: {:?}", teller.call(Deposit(1), second).await?);
    print(&processes, "The ledger panicked; the teller builds on it, and was restarted with it");

    println!("a question that panics its worker: {:?}", squares.call(u64::MAX, second).await);
    println!("3 squared: {:?}", squares.call(3, second).await?);
    processes.inject("heart", Fault::Hang);
    restarted(&processes, "heart", 1).await;
    processes.kill("bank");
    restarted(&processes, "bank", 1).await;
    println!("deposit 2, after the whole bank was killed: {:?}", teller.call(Deposit(2), second).await?);
    print(&processes, "A worker panicked, the heart hung, and the bank was killed");

    println!("stopped: {}", root.stop().await);
    Ok(())
}

fn square(ask: Ask<u64, u64>) {
    ask.answer(|n| n.checked_mul(n).expect("a small number"));
}

async fn restarted(processes: &Processes, name: &str, times: u64) {
    until(|| processes.get(name).filter(|process| process.restarts >= times)).await;
}

fn print(processes: &Processes, title: &str) {
    println!("\n{title}:");
    for process in processes.list() {
        let depth = process.path.matches('/').count();
        let name = format!("{}{}", "  ".repeat(depth), process.name);
        let exit = process.last_exit.map_or(String::new(), |exit| format!("  last: {exit}"));
        println!(
            "  {name:<16} {:<10} {:<8} handled {:<3} restarts {}{exit}",
            process.kind.as_str(),
            process.state.as_str(),
            process.handled,
            process.restarts,
        );
    }
    println!();
}
