//! The cost of a hop: time per message, for each way to pass one on.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use tokio::runtime::Runtime;
use vagn_otp::{
    Actor, Addr, Ask, ChildSpec, Context, Handle, Policy, Pool, Queue, QueueSubscriber, Root, Strategy,
    Supervisor, Topic,
};

const LONG: Duration = Duration::from_secs(60);

struct Sum(u64);

impl Actor for Sum {}

impl Handle<u64> for Sum {
    type Reply = u64;

    async fn handle(&mut self, n: u64, _: &mut Context<Self>) -> u64 {
        self.0 += n;
        self.0
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    // One worker, so that sender and actor share a core: work is measured, and not waiting.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads can be had");
    actors(&mut criterion, &runtime);
    queues(&mut criterion);
    topics(&mut criterion);
    criterion.final_summary();
}

fn actors(criterion: &mut Criterion, runtime: &Runtime) {
    let (near, near_spec) = ChildSpec::actor("near", 1024, || Sum(0));
    let (far, far_spec) = ChildSpec::actor("far", 1024, || Sum(0));
    let (pool, pool_spec) =
        Pool::<Ask<u64, u64>>::builder("pool").child(|_| |ask: Ask<u64, u64>| ask.answer(|n| n));
    let root: Root = runtime.block_on(async {
        let tree = Supervisor::new("root", Strategy::OneForOne);
        let tree = tree.child(near_spec).child(far_spec.on_thread()).child(pool_spec);
        tree.start().await.expect("nothing in it can fail to start")
    });
    let mut group = criterion.benchmark_group("hop");
    for (place, sum) in [("same thread", near), ("thread of its own", far)] {
        group.bench_function(format!("tell, actor on the {place}"), |bench| {
            bench.iter_custom(|count| runtime.block_on(tell(&sum, count)));
        });
        group.bench_function(format!("call, actor on the {place}"), |bench| {
            bench.iter_custom(|count| runtime.block_on(call(&sum, count)));
        });
    }
    group.bench_function("call, pool", |bench| {
        bench.iter_custom(|count| {
            runtime.block_on(async {
                let begun = Instant::now();
                for n in 0..count {
                    pool.call(n, LONG).await.expect("the pool is there");
                }
                begun.elapsed()
            })
        });
    });
    group.finish();
    runtime.block_on(root.stop());
}

async fn tell(sum: &Addr<Sum>, count: u64) -> Duration {
    let begun = Instant::now();
    for n in 0..count {
        sum.tell(n, LONG).await.expect("the actor is there");
    }
    sum.call(0, LONG).await.expect("the actor is there");
    begun.elapsed()
}

async fn call(sum: &Addr<Sum>, count: u64) -> Duration {
    let begun = Instant::now();
    for n in 0..count {
        sum.call(n, LONG).await.expect("the actor is there");
    }
    begun.elapsed()
}

fn queues(criterion: &mut Criterion) {
    let queue = Queue::new(1024);
    let mut group = criterion.benchmark_group("hop");
    group.bench_function("queue, push and pop, one thread", |bench| {
        bench.iter(|| {
            queue.try_push(1_u64).ok();
            black_box(queue.try_pop())
        });
    });
    group.bench_function("queue, push and pop, two threads", |bench| {
        bench.iter_custom(|count| {
            let begun = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for n in 0..count {
                        queue.push_blocking(n, LONG).ok();
                    }
                });
                for _ in 0..count {
                    black_box(queue.pop_blocking(LONG).ok());
                }
            });
            begun.elapsed()
        });
    });
}

fn topics(criterion: &mut Criterion) {
    let topic = Topic::new("numbers");
    let queues: Vec<Queue<u32>> = (0..2).map(|_| Queue::new(1024)).collect();
    for queue in &queues {
        topic.subscribe("all", QueueSubscriber::new(queue, Policy::DropOldest, |n: &u32| Some(*n)));
    }
    topic.subscribe("none", QueueSubscriber::new(&queues[0], Policy::DropOldest, |_: &u32| None));
    let mut group = criterion.benchmark_group("hop");
    group.bench_function("topic, publish to two queues, a third skips it", |bench| {
        bench.iter(|| topic.publish(black_box(&7)));
    });
}
