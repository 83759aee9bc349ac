//! The keeper over a model of the bucket, on a clock that stands still unless it is waited for.

mod model;

use std::sync::Arc;
use std::time::Duration;

use redb::backends::InMemoryBackend;
use tokio::time::{Instant, sleep, timeout};
use vagn_flow::clock::{Clock, ManualClock};
use vagn_flow::readiness::{Purpose, Readiness};
use vagn_registry::{Kind, Registry};

use self::model::{Model, To};
use super::copier::{self, PROVEN_AFTER, TakesNothing};
use super::keeper::{Keeper, KeeperParts};
use super::outlook::{CopyMetrics, NUMBER, REGISTRY};

const NOW_MS: i64 = 1_795_860_000_000;

/// A node with its keeper.
struct Node {
    registry: Registry,
    keeper: Keeper<Model>,
    readiness: Arc<Readiness>,
    clock: Arc<ManualClock>,
}

impl Node {
    fn new(model: &Model, name: &str, key: Option<&[u8; 32]>) -> Self {
        let registry = Registry::open_on(InMemoryBackend::new(), None).unwrap();
        let registry = registry.shared_by(Arc::new(To(model.clone()))).unwrap();
        Self::over(registry, model, name, key)
    }

    /// The node as it is after a restart.
    fn restarted(self, model: &Model, name: &str) -> Self {
        Self::over(self.registry, model, name, None)
    }

    fn over(registry: Registry, model: &Model, name: &str, key: Option<&[u8; 32]>) -> Self {
        let (clock, readiness) = (Arc::new(ManualClock::at(NOW_MS)), Arc::<Readiness>::default());
        let keeper = Keeper::new(
            model.clone(),
            KeeperParts {
                registry: registry.clone(),
                name: name.into(),
                wrapped_by: Registry::key_mark(key),
                clock: clock.clone(),
                readiness: readiness.clone(),
                blocks: Purpose::FLEET,
                metrics: CopyMetrics::new(registry.clone(), clock.clone()),
            },
        );
        Self { registry, keeper, readiness, clock }
    }

    /// Runs the keeper until it is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Registry) -> bool) {
        let wait = async {
            while !is_so(&self.registry) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let ended = tokio::select! {
            ended = self.keeper.run() => panic!("it ended: {ended:?}"),
            waited = timeout(Duration::from_secs(60), wait) => waited,
        };
        assert!(ended.is_ok(), "not so: {what}: {:?}", self.readiness.report());
    }

    /// Runs the keeper for this time.
    async fn runs(&self, time: Duration) {
        let ended = timeout(time, self.keeper.run()).await;
        assert!(ended.is_err(), "it ended: {ended:?}");
    }

    fn names(&self) -> Vec<String> {
        let listed = self.registry.list(Kind::Token).unwrap();
        listed.into_iter().map(|(key, _)| key.into_string()).collect()
    }
}

fn has(name: &'static str) -> impl Fn(&Registry) -> bool {
    move |registry| registry.get(Kind::Token, name).unwrap().is_some()
}

async fn whole(node: &Node) {
    node.until("a copy, and a number", |registry| {
        !registry.awaits_copy() && !registry.nodes().unwrap().is_empty()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_node_begins_the_registry_and_others_copy_it() {
    let model = Model::default();
    let one = Node::new(&model, "one", None);
    assert!(one.registry.awaits_copy());
    whole(&one).await;
    assert!(one.readiness.report().ready);
    model.put("token.anna", Some("{}"));
    one.until("the token", has("anna")).await;
    let two = Node::new(&model, "two", None);
    two.until("the token", |registry| has("anna")(registry) && !registry.awaits_copy()).await;
    model.put("token.anna", None);
    two.until("no token", |registry| !has("anna")(registry)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_goes_on_from_where_its_copy_ends() {
    let model = Model::default();
    let node = Node::new(&model, "one", None);
    whole(&node).await;
    model.put("token.a", Some("{}"));
    node.until("the first", has("a")).await;
    model.put("token.a", None);
    model.put("token.b", Some("{}"));
    node.until("what came meanwhile", |registry| has("b")(registry) && !has("a")(registry)).await;
    let followed = model.state.lock().followed.clone();
    assert!(followed[0] == 1 && followed[1..].iter().all(|from| *from > 1), "{followed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_kept_while_brokers_are_away_and_nothing_is_written() {
    let model = Model::default();
    let node = Node::new(&model, "one", None);
    whole(&node).await;
    model.put("token.anna", Some("{}"));
    node.until("the token", has("anna")).await;
    model.change(|state| state.is_away = true);
    node.runs(Duration::from_secs(10)).await;
    assert_eq!(node.names(), ["anna"]);
    assert!(node.registry.put_if(Kind::Token, "later", 0, Some(b"{}")).is_err());
    node.clock.advance(Duration::from_secs(40));
    node.runs(Duration::from_secs(3)).await;
    let report = node.readiness.report();
    assert!(report.ready && report.warnings[REGISTRY].contains("do not answer"), "{report:?}");
    model.change(|state| state.is_away = false);
    model.put("token.later", Some("{}"));
    node.until("what came meanwhile", has("later")).await;
    assert!(node.readiness.report().warnings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_silent_is_noticed() {
    let model = Model::default();
    let node = Node::new(&model, "one", None);
    whole(&node).await;
    model.change(|state| state.is_silent = true);
    model.put("token.anna", Some("{}"));
    node.runs(Duration::from_secs(1)).await;
    let before = model.state.lock().followed.len();
    let run = async {
        sleep(Duration::from_secs(7)).await;
        model.change(|state| state.is_silent = false);
    };
    let (_, ()) = tokio::join!(node.until("the token", has("anna")), run);
    assert!(model.state.lock().followed.len() > before + 1, "it was followed anew");
}

#[tokio::test(start_paused = true)]
async fn a_copy_over_a_broker_that_is_behind_is_whole_only_once_it_has_what_the_leader_has() {
    let model = Model::default();
    let (node, new) = (Node::new(&model, "one", None), Node::new(&model, "new", None));
    whole(&node).await;
    model.put("token.anna", Some("{}"));
    node.until("the token", has("anna")).await;
    let (before, end) = (node.registry.copied().unwrap().sequence, model.state.lock().last());
    // The token is revoked; the broker of the consumers has neither that nor what came after.
    model.put("token.anna", None);
    model.put("token.later", Some("{}"));
    model.change(|state| state.behind_at = Some(end));
    node.runs(Duration::from_secs(20)).await;
    assert_eq!(node.registry.copied().unwrap().sequence, before, "it does not claim what it has not");
    assert!(node.registry.put_if(Kind::Token, "mine", 0, Some(b"{}")).is_err());
    new.runs(Duration::from_secs(20)).await;
    assert!(new.registry.awaits_copy(), "nor does a new one");
    // One that begins with nothing on its disk takes nothing away.
    model.change(|state| state.behind_at = Some(0));
    node.clock.advance(Duration::from_secs(3 * 86_400));
    node.runs(Duration::from_secs(20)).await;
    assert_eq!(node.names(), ["anna"]);
    model.change(|state| state.behind_at = None);
    for node in [&node, &new] {
        node.until("all", |registry| has("later")(registry) && !has("anna")(registry)).await;
        assert!(node.registry.copied().unwrap().sequence >= end + 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_ends_with_the_bucket_though_brokers_forgot_what_was_removed_last() {
    let model = Model::default();
    let node = Node::new(&model, "one", None);
    whole(&node).await;
    model.put("token.anna", None);
    let end = model.state.lock().last();
    model.change(|state| drop(state.bucket.as_mut().unwrap().objects.remove("token.anna")));
    let new = Node::new(&model, "new", None);
    new.until("all", |registry| !registry.awaits_copy()).await;
    assert!(new.registry.copied().unwrap().sequence >= end);
}

#[tokio::test(start_paused = true)]
async fn brokers_that_lost_all_get_it_back_from_a_node() {
    let model = Model::default();
    let (one, two) = (Node::new(&model, "one", None), Node::new(&model, "two", None));
    whole(&one).await;
    model.put("token.anna", Some("{}"));
    model.put("token.=4120", Some("{}"));
    one.until("the tokens", |registry| registry.count(Kind::Token).unwrap() == 2).await;
    two.until("the tokens", |registry| registry.count(Kind::Token).unwrap() == 2).await;
    model.change(|state| state.bucket = None);
    one.until("another incarnation", |registry| registry.copied().unwrap().incarnation == 2).await;
    two.until("another incarnation", |registry| registry.copied().unwrap().incarnation == 2).await;
    for node in [&one, &two] {
        assert_eq!(node.names(), ["A ", "anna"]);
    }
    model.put("token.later", Some("{}"));
    two.until("what is new", has("later")).await;
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_lost_is_not_made_of_an_old_copy_while_another_node_may_have_a_newer_one() {
    let model = Model::default();
    let (one, old) = (Node::new(&model, "one", None), Node::new(&model, "old", None));
    whole(&one).await;
    model.put("token.anna", Some("{}"));
    one.until("the token", has("anna")).await;
    old.until("the token", has("anna")).await;
    // One node is off while a token is revoked, and is the first that finds the bucket lost.
    model.put("token.anna", None);
    one.until("no token", |registry| !has("anna")(registry)).await;
    model.change(|state| state.bucket = None);
    let old = old.restarted(&model, "old");
    old.runs(Duration::from_secs(30)).await;
    assert!(model.state.lock().bucket.is_none(), "it leaves that to others");
    one.until("a bucket", |registry| registry.copied().unwrap().incarnation == 2).await;
    old.until("no token", |registry| !has("anna")(registry)).await;
    // So does one in the middle of a copy: it has something of both.
    drop(one.registry.begin_copy().unwrap());
    model.change(|state| state.bucket = None);
    one.runs(Duration::from_secs(30)).await;
    assert!(model.state.lock().bucket.is_none(), "it leaves that to others");
    // Where nobody else comes, it is better than none.
    let alone = one.restarted(&model, "one");
    alone.runs(Duration::from_secs(70)).await;
    assert!(model.state.lock().bucket.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_not_replaced_by_a_registry_that_was_begun_without_it() {
    let model = Model::default();
    let node = Node::new(&model, "one", None);
    whole(&node).await;
    model.put("token.anna", Some("{}"));
    node.until("the token", has("anna")).await;
    model.change(|state| state.bucket = None);
    // A new node is there first, and alone.
    let new = Node::new(&model, "new", None);
    whole(&new).await;
    node.clock.advance(Duration::from_secs(40));
    node.runs(Duration::from_secs(5)).await;
    assert_eq!(node.names(), ["anna"]);
    let warnings = node.readiness.report().warnings;
    assert!(warnings[REGISTRY].contains("another registry"), "{warnings:?}");
    assert!(node.registry.put_if(Kind::Token, "later", 0, Some(b"{}")).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_lost_its_end_is_copied_anew() {
    let model = Model::default();
    let node = Node::new(&model, "one", None);
    whole(&node).await;
    model.put("token.a", Some("{}"));
    let end = model.state.lock().bucket.as_ref().unwrap().last;
    model.put("token.b", Some("{}"));
    node.until("both", has("b")).await;
    model.change(|state| {
        let kept = state.bucket.as_mut().unwrap();
        kept.objects.remove("token.b");
        kept.last = end;
    });
    node.until("what is there", |registry| !has("b")(registry) && has("a")(registry)).await;
    assert_eq!(node.registry.copied().unwrap().sequence, end);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_nobody_fills_any_more_is_begun_again() {
    let model = Model::default();
    let node = Node::new(&model, "one", None);
    whole(&node).await;
    model.put("token.anna", Some("{}"));
    node.until("the token", has("anna")).await;
    // Another node brought a part, and died.
    model.begin(&["token.part"]);
    node.runs(Duration::from_secs(25)).await;
    assert_eq!(node.names(), ["anna"], "a part is not copied");
    assert_eq!(model.state.lock().made, 2, "a slow batch is waited for");
    node.until("a whole one", |registry| registry.copied().unwrap().incarnation == 3).await;
    assert_eq!(node.names(), ["anna"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_copy_leaves_a_bucket_that_is_not_whole_to_those_that_have_one() {
    // A node with tokens made the bucket, and died before its first batch or its second.
    for keys in [&[][..], &["token.part"][..]] {
        let model = Model::default();
        let node = Node::new(&model, "one", None);
        whole(&node).await;
        model.put("token.anna", Some("{}"));
        node.until("the token", has("anna")).await;
        model.begin(keys);
        let new = Node::new(&model, "new", None);
        new.runs(Duration::from_secs(120)).await;
        let seen = model.change(|state| (state.made, state.last()));
        assert_eq!(seen, (2, keys.len() as u64), "it neither fills nor removes it");
        node.until("a whole one", |registry| registry.copied().unwrap().incarnation >= 2).await;
        new.until("the token", has("anna")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_becomes_whole_at_last_is_not_removed() {
    let model = Model::default();
    let node = Node::new(&model, "one", None);
    whole(&node).await;
    model.begin(&["token.part"]);
    model.change(|state| state.whole_at = Some(Instant::now() + super::keeper::STUCK_AFTER));
    node.runs(Duration::from_secs(60)).await;
    let seen = model.change(|state| (state.whole_at, state.made, state.last()));
    assert_eq!(seen, (None, 2, 2), "it is not begun again");
}

#[tokio::test(start_paused = true)]
async fn brokers_that_did_not_answer_are_waited_for_anew() {
    let model = Model::default();
    let new = Node::new(&model, "new", None);
    new.runs(Duration::from_millis(1_000)).await;
    model.change(|state| state.is_away = true);
    new.runs(Duration::from_secs(10)).await;
    model.change(|state| state.is_away = false);
    new.runs(Duration::from_millis(1_000)).await;
    assert!(model.state.lock().bucket.is_none(), "others may have been cut off as well");
    whole(&new).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_could_not_enter_itself_tries_again() {
    let model = Model::default();
    whole(&Node::new(&model, "one", None)).await;
    let two = Node::new(&model, "two", None);
    model.change(|state| state.refuses = true);
    two.runs(Duration::from_secs(5)).await;
    let warnings = two.readiness.report().warnings;
    assert!(!two.registry.awaits_copy() && warnings.contains_key(NUMBER), "{warnings:?}");
    // Over the same subscription.
    let run = async {
        sleep(Duration::from_secs(1)).await;
        model.change(|state| state.refuses = false);
    };
    let entered = |registry: &Registry| registry.node_number("two").unwrap().is_some();
    let (_, ()) = tokio::join!(two.until("a number", entered), run);
    // Its entry is lost.
    let key = format!("cluster.node-{}", two.registry.node_number("two").unwrap().unwrap());
    model.put(&key, None);
    let lost = model.state.lock().last();
    let is_newer = |(_, object): (_, vagn_registry::Object)| object.revision > lost;
    two.until("another entry", |registry| {
        entered(registry) && registry.list(Kind::Cluster).unwrap().into_iter().any(is_newer)
    })
    .await;
    two.runs(Duration::from_secs(3)).await;
    assert!(!two.readiness.report().warnings.contains_key(NUMBER));
}

#[tokio::test(start_paused = true)]
async fn nodes_with_another_key_are_named() {
    let model = Model::default();
    let (one, two) = (Node::new(&model, "one", Some(&[7; 32])), Node::new(&model, "two", Some(&[8; 32])));
    whole(&one).await;
    let both = |registry: &Registry| registry.nodes().unwrap().len() == 2;
    two.until("its entry", both).await;
    one.until("the other's entry", both).await;
    one.runs(Duration::from_secs(3)).await;
    for (node, name) in [(&one, "two."), (&two, "two (this one).")] {
        let warnings = node.readiness.report().warnings;
        assert!(warnings["registry, key"].contains(name), "{warnings:?}");
    }
    assert!(two.registry.put_if(Kind::Device, "a", 0, Some(b"{}")).is_err());
}

/// A registry for a copy, and the moment of which it is to be.
fn for_copy() -> (Registry, Arc<dyn Clock>, Instant) {
    let copy = Registry::open_on(InMemoryBackend::new(), None).unwrap();
    let copy = copy.shared_by(Arc::new(TakesNothing)).unwrap();
    (copy, Arc::new(ManualClock::at(NOW_MS)), Instant::now() + PROVEN_AFTER)
}

#[tokio::test(start_paused = true)]
async fn a_copy_has_what_was_written_while_it_was_made_and_writes_nothing() {
    let model = Model::default();
    let node = Node::new(&model, "one", None);
    whole(&node).await;
    model.put("token.anna", Some("{}"));
    let (copy, clock, proven) = for_copy();
    let later = async {
        sleep(PROVEN_AFTER / 2).await;
        model.put("token.bo", Some("{}"));
        model.put("token.anna", None);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        copied = copier::copy(&model, &copy, &clock, proven) => copied.unwrap(),
        () = later => unreachable!("it waits for ever"),
    }
    assert!(Instant::now() >= proven && has("bo")(&copy) && !has("anna")(&copy));
    let last = model.state.lock().last();
    let copied = copy.copied().unwrap();
    assert_eq!((copied.sequence, copied.is_copying), (last, false));
    assert_eq!((copy.nodes().unwrap().len(), copy.node_number("one").unwrap()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn there_is_no_copy_of_what_does_not_come_or_is_not_whole() {
    let model = Model::default();
    let refused = async |model: &Model| {
        let (copy, clock, proven) = for_copy();
        copier::copy(model, &copy, &clock, proven).await.unwrap_err().to_string()
    };
    assert!(refused(&model).await.contains("no whole registry"));
    model.begin(&["token.anna"]);
    assert!(refused(&model).await.contains("no whole registry"));
    let model = Model::default();
    whole(&Node::new(&model, "one", None)).await;
    let last = model.state.lock().last();
    model.put("token.anna", Some("{}"));
    model.change(|state| state.behind_at = Some(last));
    assert!(refused(&model).await.contains("did not send"));
    model.change(|state| state.is_away = true);
    assert!(refused(&model).await.contains("did not tell"));
}
