//! The thread itself: it follows the topic only while it must, and tells of what it lost.

use vagn_flow::clock::ManualClock;
use vagn_otp::{Root, Strategy, Supervisor};
use vagn_store::{Changes, OrderNumber};

use super::*;

/// The thread with its topic, and a clock that the test moves.
struct Running {
    positions: Positions,
    streams: PositionStreams,
    clock: Arc<ManualClock>,
    metrics: StreamMetrics,
    _root: Root,
}

impl Running {
    async fn start() -> Self {
        let positions = Positions::new("positions");
        let clock = Arc::new(ManualClock::at(BEGIN_MS));
        let metrics = StreamMetrics::new(&MetricRegistry::new());
        let (streams, child) = streams(StreamParts {
            positions: positions.clone(),
            fleet: Arc::new(TestFleet::new(1).fleet),
            clock: clock.clone(),
            metrics: metrics.clone(),
        });
        let root = Supervisor::new("test", Strategy::OneForOne).child(child).start().await.unwrap();
        Self { positions, streams, clock, metrics, _root: root }
    }

    fn follow(&self) -> StreamFollower {
        let view = StreamView {
            bbox: Client::default().bbox,
            sight: vagn_store::Sight::Exact,
            writer: Arc::new(Lines),
        };
        self.streams.follow(view, None).unwrap()
    }

    /// Lets the clock run until `done`.
    async fn until(&self, mut done: impl FnMut() -> bool) {
        while !done() {
            self.clock.advance(Duration::from_millis(100));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets the clock run until a piece comes that is not there for its id alone.
    async fn next(&self, follower: &mut StreamFollower) -> String {
        loop {
            let piece = self.piece(follower).await;
            if !piece.starts_with("quiet") {
                return piece;
            }
        }
    }

    async fn piece(&self, follower: &mut StreamFollower) -> String {
        let mut next = Box::pin(follower.next());
        let mut piece = None;
        self.until(|| {
            piece = (&mut next).now_or_never();
            piece.is_some()
        })
        .await;
        String::from_utf8(piece.unwrap().unwrap().to_vec()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_is_followed_only_while_a_client_is_there_or_may_come_back() {
    let running = Running::start().await;
    assert!(!running.positions.is_followed());
    for _ in 0..2 {
        let mut follower = running.follow();
        assert!(running.next(&mut follower).await.starts_with("begin"));
        assert!(running.positions.is_followed());
        drop(follower);
        running.until(|| !running.positions.is_followed()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_find_no_room_are_counted_and_a_gap() {
    let running = Running::start().await;
    let mut follower = running.follow();
    assert!(running.next(&mut follower).await.starts_with("begin"));
    // More than the queue has room for, as often as the thread may have looked in between.
    while running.metrics.lost.get() == 0 {
        for end in 0..10_000 {
            let changes = Changes::untold(0, OrderNumber(1), OrderNumber(end)).with_gone(Vec::new());
            running.positions.publish(&Arc::new(changes));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(running.next(&mut follower).await.starts_with("gap|lost_changes"));
}
