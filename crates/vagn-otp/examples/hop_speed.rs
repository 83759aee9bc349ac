//! What a hop costs: nanoseconds per message, for each way of passing one on.
//!
//! `cargo run --release -p vagn-otp --example hop_speed`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::{Duration, Instant};

use vagn_otp::{
    Actor, Ask, ChildSpec, Context, Handle, Policy, Pool, Queue, QueueSubscriber, Strategy, Supervisor, Topic,
};

const LONG: Duration = Duration::from_secs(60);
const MESSAGES: u32 = 1_000_000;
const CALLS: u32 = 200_000;

struct Sum(u64);

impl Actor for Sum {}

impl Handle<u64> for Sum {
    type Reply = u64;

    async fn handle(&mut self, n: u64, _: &mut Context<Self>) -> u64 {
        self.0 += n;
        self.0
    }
}

/// One worker, so that sender and actor share a core and what is measured is work, not waiting.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sum, sum_spec) = ChildSpec::actor("sum", 1024, || Sum(0));
    let (far, far_spec) = ChildSpec::actor("far", 1024, || Sum(0));
    let (pool, pool_spec) =
        Pool::<Ask<u64, u64>>::builder("pool").child(|_| |ask: Ask<u64, u64>| ask.answer(|n| n));
    let root = Supervisor::new("root", Strategy::OneForOne)
        .child(sum_spec)
        .child(far_spec.on_thread())
        .child(pool_spec)
        .start()
        .await?;

    for _ in 0..2 {
        let begun = Instant::now();
        for n in 0..MESSAGES {
            sum.tell(u64::from(n), LONG).await?;
        }
        sum.call(0, LONG).await?;
        show("tell, same thread", begun, MESSAGES);

        let begun = Instant::now();
        for n in 0..CALLS {
            sum.call(u64::from(n), LONG).await?;
        }
        show("call, same thread", begun, CALLS);

        let begun = Instant::now();
        for n in 0..MESSAGES {
            far.tell(u64::from(n), LONG).await?;
        }
        far.call(0, LONG).await?;
        show("tell, actor on its own thread", begun, MESSAGES);

        let begun = Instant::now();
        for n in 0..CALLS / 10 {
            far.call(u64::from(n), LONG).await?;
        }
        show("call, actor on its own thread", begun, CALLS / 10);

        let begun = Instant::now();
        for n in 0..CALLS / 10 {
            pool.call(u64::from(n), LONG).await?;
        }
        show("call, pool", begun, CALLS / 10);
        queue();
        topic();
        println!();
    }
    root.stop().await;
    Ok(())
}

fn queue() {
    let queue = Queue::new(1024);
    let begun = Instant::now();
    for n in 0..MESSAGES {
        queue.try_push(n).ok();
        std::hint::black_box(queue.try_pop());
    }
    show("queue, push and pop, one thread", begun, MESSAGES);

    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..MESSAGES).for_each(|n| drop(queue.push_blocking(n, LONG))));
        for _ in 0..MESSAGES {
            std::hint::black_box(queue.pop_blocking(LONG).ok());
        }
    });
    show("queue, push and pop, two threads", begun, MESSAGES);
}

fn topic() {
    let topic = Topic::new("numbers");
    let queues: Vec<Queue<u32>> = (0..2).map(|_| Queue::new(1024)).collect();
    for queue in &queues {
        topic.subscribe("all", QueueSubscriber::new(queue, Policy::DropOldest, |n: &u32| Some(*n)));
    }
    topic.subscribe("none", QueueSubscriber::new(&queues[0], Policy::DropOldest, |_: &u32| None));
    let begun = Instant::now();
    for n in 0..MESSAGES {
        topic.publish(&n);
    }
    show("topic, publish to two queues, skip a third", begun, MESSAGES);
}

fn show(what: &str, begun: Instant, count: u32) {
    let ns = begun.elapsed().as_nanos() as f64 / f64::from(count);
    println!("{what:<45} {ns:>8.0} ns");
}
