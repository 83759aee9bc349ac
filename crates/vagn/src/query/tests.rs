//! Questions to the pool.

use std::sync::atomic::{AtomicUsize, Ordering};

use vagn_otp::{Root, Strategy, Supervisor};

use super::*;

async fn start() -> (Queries, Root) {
    let (queries, child) = pool(1, 8, 0, Duration::from_secs(10), Arc::new(Fleet::new(1)));
    let root = Supervisor::new("test", Strategy::OneForOne).child(child).start().await.unwrap();
    (queries, root)
}

#[tokio::test]
async fn a_question_whose_worker_crashes_is_asked_once_more_and_not_twice() {
    let (queries, _root) = start().await;
    for (crashes, expected) in [(1, Ok(7)), (2, Err(Unanswered::Pool(CallError::Crashed)))] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let answer = queries.find("test", move |_| {
            assert!(count.fetch_add(1, Ordering::Relaxed) >= crashes, "a crash for the test");
            Ok(7)
        });
        assert_eq!(answer.await, expected);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn a_fleet_with_a_gap_has_no_answer() {
    let (queries, _root) = start().await;
    let answer = queries.find("test", |fleet| fleet.len().map(drop)).await;
    assert_eq!(answer, Err(Unanswered::NotReady));
}
