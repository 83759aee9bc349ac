//! Everything once.

use std::time::Duration;
use vagn_otp::*;

struct Counter(u64);
impl Actor for Counter {}
struct Add(u64);
struct Boom;
impl Handle<Add> for Counter {
    type Reply = u64;
    async fn handle(&mut self, m: Add, _: &mut Context<Self>) -> u64 {
        self.0 += m.0;
        self.0
    }
}
impl Handle<Boom> for Counter {
    type Reply = ();
    async fn handle(&mut self, _: Boom, _: &mut Context<Self>) {
        panic!("boom")
    }
}

#[tokio::test(start_paused = true)]
async fn smoke() {
    quiet_panics();
    let s = Duration::from_secs(1);
    let (addr, spec) = ChildSpec::actor("counter", 8, || Counter(0));
    let (pool, pspec) = Pool::<Ask<u64, u64>>::builder("pool")
        .workers(2)
        .child(|_| |ask: Ask<u64, u64>| ask.answer(|n| n * 2));
    let root = Supervisor::new("root", Strategy::OneForOne)
        .child(spec)
        .child(pspec)
        .child(ChildSpec::task("t", |ctx| async move {
            ctx.ready();
            ctx.stopping().await;
            Ok(())
        }))
        .child(ChildSpec::thread("th", |ctx| {
            ctx.ready();
            while !ctx.sleep(Duration::from_secs(1)) {}
            Ok(())
        }))
        .start()
        .await
        .unwrap();
    assert_eq!(addr.call(Add(2), s).await, Ok(2));
    assert_eq!(addr.call(Boom, s).await, Err(CallError::Crashed));
    assert_eq!(addr.call(Add(3), s).await, Ok(3));
    for info in root.processes().list() {
        eprintln!("{info:?}");
    }
    assert_eq!(root.stop().await, Exit::Stopped);
    assert_eq!(addr.call(Add(3), s).await, Err(CallError::Down));
    drop(pool);
}
