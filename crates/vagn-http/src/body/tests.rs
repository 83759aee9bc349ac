//! Bodies that are whole, too long, slow or never finished, and calls for help among them.

use futures_util::stream;

use super::*;
use crate::memory::Memory;

const LIMITS: BodyLimits =
    BodyLimits { one: 8_000, small: 1_000, all: 64_000, within: Duration::from_secs(30) };

fn kind(read: Result<Held, Problem>) -> Kind {
    read.unwrap_err().kind
}

/// The caller behind a connection of its own.
fn caller(memory: &Arc<Memory>, address: &str) -> Caller {
    Caller::new(memory.clone(), address.parse().unwrap())
}

/// A body of which so many bytes are sent, and never the end.
fn half_sent(bytes: usize) -> Body {
    let sent = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![7; bytes]))]);
    Body::from_stream(sent.chain(stream::pending()))
}

/// Begins to read half-sent bodies, each on a connection of its own, and returns what goes on with that.
fn keep_reading<'a>(
    budget: &'a Budget,
    memory: &Arc<Memory>,
    address: &str,
    count: usize,
    bytes: usize,
) -> impl Future<Output = Vec<Kind>> + 'a {
    let callers: Vec<_> = (0..count).map(|_| caller(memory, address)).collect();
    let read = callers
        .into_iter()
        .map(move |caller| async move { kind(budget.read(&caller, half_sent(bytes)).await) });
    futures_util::future::join_all(read)
}

fn refusals(memory: &Memory, reason: &'static str) -> u64 {
    memory.metrics.bodies(reason)
}

#[tokio::test]
async fn reads_up_to_the_limit_and_not_beyond() {
    let budget = Budget::new(LIMITS);
    let read = async |len| budget.read(&Caller::alone(), Body::from(vec![7; len])).await;
    assert_eq!(read(8_000).await.unwrap().bytes, vec![7; 8_000]);
    assert_eq!(kind(read(8_001).await), Kind::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_given_up() {
    let budget = Budget::new(LIMITS);
    assert_eq!(kind(budget.read(&Caller::alone(), half_sent(1)).await), Kind::RequestTimeout);
    assert_eq!(budget.account.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn large_bodies_leave_room_for_small_ones() {
    let (budget, memory) = (Budget::new(LIMITS), Arc::new(Memory::default()));
    let help = caller(&memory, "127.0.0.1");
    let test = async {
        tokio::task::yield_now().await;
        assert_eq!(budget.account.held(), 7 * 8_000);
        assert_eq!(kind(budget.read(&help, Body::from(vec![1; 1_001])).await), Kind::Overloaded);
        assert!(budget.read(&help, Body::from(vec![1; 1_000])).await.is_ok());
    };
    let (kinds, ()) = tokio::join!(keep_reading(&budget, &memory, "127.0.0.1", 9, 8_000), test);
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Overloaded).count(), 2, "{kinds:?}");
    assert_eq!((refusals(&memory, "full"), refusals(&memory, "full_small")), (3, 0));
    assert_eq!((budget.account.held(), memory.metrics.body_bytes.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_small_body_gives_way_to_one_that_comes_at_once() {
    let (budget, memory) = (Budget::new(LIMITS), Arc::new(Memory::default()));
    let help = caller(&memory, "127.0.0.1");
    let test = async {
        tokio::task::yield_now().await;
        assert_eq!(budget.account.held(), LIMITS.all);
        assert_eq!(kind(budget.read(&help, Body::from("help")).await), Kind::Overloaded, "none is slow yet");
        tokio::time::advance(SLOW_AFTER).await;
        for _ in 0..3 {
            assert!(budget.read(&help, Body::from(vec![1; 1_000])).await.is_ok());
        }
    };
    let (kinds, ()) = tokio::join!(keep_reading(&budget, &memory, "127.0.0.1", 64, 1_000), test);
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Overloaded).count(), 1, "{kinds:?}");
    assert_eq!((refusals(&memory, "full_small"), refusals(&memory, "gave_way")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_address_leaves_memory_to_others() {
    let (budget, memory) = (Budget::new(LIMITS), Arc::new(Memory::default()));
    let test = async {
        tokio::task::yield_now().await;
        assert_eq!(budget.account.held(), LIMITS.all / PEERS_MIN);
        let again = caller(&memory, "192.0.2.1");
        assert_eq!(kind(budget.read(&again, Body::from("more")).await), Kind::TooManyRequests);
        let other = caller(&memory, "192.0.2.2");
        assert!(budget.read(&other, Body::from(vec![1; 8_000])).await.is_ok());
    };
    tokio::join!(keep_reading(&budget, &memory, "192.0.2.1", 5, 8_000), test);
    assert_eq!(refusals(&memory, "address"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_connection_holds_no_more_than_one_long_body() {
    let (budget, memory) = (Budget::new(LIMITS), Arc::new(Memory::default()));
    let caller = caller(&memory, "127.0.0.1");
    let test = async {
        tokio::task::yield_now().await;
        assert_eq!(kind(budget.read(&caller, Body::from(vec![1; 1_001])).await), Kind::TooManyRequests);
        assert!(budget.read(&caller, Body::from(vec![1; 1_000])).await.is_ok());
    };
    let (half, ()) = tokio::join!(budget.read(&caller, half_sent(7_000)), test);
    assert_eq!(kind(half), Kind::RequestTimeout);
    assert_eq!(refusals(&memory, "connection"), 1);
    assert!(budget.read(&caller, Body::from(vec![1; 8_000])).await.is_ok(), "its memory came back");
}

#[test]
fn a_coded_body_is_refused_with_the_remedy() {
    for (given, refused) in [
        (&[][..], false),
        (&["identity"], false),
        (&["Identity, identity"], false),
        (&["gzip"], true),
        (&["identity", "br"], true),
        (&["identity, zstd"], true),
        (&[""], true),
    ] {
        let mut headers = HeaderMap::new();
        given.iter().for_each(|value| {
            headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
        });
        let problem = plain(&headers).err();
        assert_eq!(problem.is_some(), refused, "{given:?}");
        if let Some(problem) = problem {
            assert!(problem.detail.contains("without this header"), "{problem:?}");
            let response = axum::response::IntoResponse::into_response(problem);
            assert_eq!(response.headers()[header::ACCEPT_ENCODING], "identity");
        }
    }
}
