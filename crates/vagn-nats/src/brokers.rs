//! Two connections to different brokers: one that hangs or ends takes nothing with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{
    Auth, AuthError, Client, ConnectOptions, Message, ReconnectToServer, Server, ServerAddr, Subscriber,
};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tracing::warn;
use vagn_cluster::NodeId;

use crate::account::Account;
use crate::copies::{Copies, Told};
use crate::counts::{Counts, Loss};
use crate::link::{ANSWER_MAX, Link, at_once};
use crate::names::{Names, sender};
use crate::options::Options;
use crate::refusals::Refusals;

/// Messages that wait in a connection for one subscription. What comes beyond is lost, and noticed as a gap.
const SUBSCRIPTION_MAX: usize = 1_024;

/// Commands that wait in a connection until it takes them.
const COMMANDS_MAX: usize = 512;

/// Time between pings. A broker that does not answer two of them is left: a process that is stopped keeps its connections.
const PING: Duration = Duration::from_secs(2);

/// Longest wait for a broker to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Pauses between attempts to connect to a broker: the first, doubled up to the longest.
const RETRY_MS: u64 = 20;
const RETRY_MAX_MS: u64 = 1_000;

/// Pause before a client is made anew that gave up, as after a refused password.
const ANEW: Duration = Duration::from_secs(1);

/// The brokers, over two connections. Clones share them.
#[derive(Debug, Clone)]
pub struct Brokers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    links: [Link; 2],
    /// Address that each connection has or tries.
    places: Mutex<[Option<ServerAddr>; 2]>,
    refusals: Mutex<Refusals>,
    counts: Counts,
    told: Mutex<Told>,
    /// Last number that was given out.
    number: AtomicU64,
}

/// Messages that come over the connections. It must be polled all the time: answers to requests come through it too.
pub struct Incoming {
    links: SelectAll<BoxStream<'static, FromNode>>,
}

/// A message of a node, as it came over one connection.
#[derive(Debug)]
pub(crate) struct FromNode {
    pub(crate) from: NodeId,
    pub(crate) payload: Bytes,
}

impl Brokers {
    /// Begins to connect. It returns at once, and goes on to try for ever: brokers may come later than nodes.
    pub fn connect(options: Options) -> (Self, Incoming) {
        let links =
            [0, 1].map(|at| Link::new(format!("_INBOX.answer.{:x}.{:x}.{at}", options.node.0, options.run)));
        let shared = Shared {
            options,
            links,
            places: Mutex::default(),
            refusals: Mutex::default(),
            counts: Counts::default(),
            told: Mutex::default(),
            number: AtomicU64::new(0),
        };
        let brokers = Self { shared: Arc::new(shared) };
        let links = [0, 1].map(|at| incoming(brokers.clone(), at).boxed());
        (brokers, Incoming { links: stream::select_all(links) })
    }

    /// Returns the counts of messages and requests that were dropped or given up.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Returns the streams of which copies are missed, of those that this node reads.
    pub fn copies(&self) -> Copies {
        self.told().lock().copies(Instant::now())
    }

    pub(crate) fn told(&self) -> &Mutex<Told> {
        &self.shared.told
    }

    /// Returns true while at least one connection stands.
    pub fn is_connected(&self) -> bool {
        self.connections() > 0
    }

    /// Returns the number of connections that stand, of two.
    pub fn connections(&self) -> usize {
        self.shared.links.iter().filter(|link| link.connected().is_some()).count()
    }

    /// Returns the addresses that the connections have, or try.
    pub fn addresses(&self) -> [Option<String>; 2] {
        self.shared.places.lock().clone().map(|place| place.map(|address| address.as_url_str().to_owned()))
    }

    pub(crate) fn names(&self) -> &Names {
        &self.shared.options.names
    }

    pub(crate) fn node(&self) -> NodeId {
        self.shared.options.node
    }

    pub(crate) fn run(&self) -> u64 {
        self.shared.options.run
    }

    /// Returns a number that no other consumer or batch of this run has.
    pub(crate) fn number(&self) -> u64 {
        self.shared.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn replicas(&self) -> u8 {
        self.shared.options.replicas
    }

    pub(crate) fn lose(&self, loss: Loss) {
        self.shared.counts.add(loss);
    }

    /// Returns a connection that stands: the preferred one, unless it is not heard and the other one is.
    pub(crate) fn link(&self, prefer: u64) -> Option<&Link> {
        let [one, two] = &self.shared.links;
        let (first, second) = if prefer.is_multiple_of(2) { (one, two) } else { (two, one) };
        let heard = [first, second].into_iter().find(|link| link.is_heard());
        heard.or_else(|| [first, second].into_iter().find(|link| link.connected().is_some()))
    }

    /// Returns the ways for a message to a node: one connection, by turns; for a short one both
    /// where one of them is silent, as its broker may hang.
    pub(crate) fn ways(&self, prefer: u64, is_short: bool) -> Vec<Client> {
        if !is_short || self.shared.links.iter().all(Link::is_fresh) {
            self.link(prefer).and_then(Link::connected).into_iter().collect()
        } else {
            self.clients().collect()
        }
    }

    /// Returns both connections, as far as they stand.
    pub(crate) fn clients(&self) -> impl Iterator<Item = Client> {
        self.shared.links.iter().filter_map(Link::connected)
    }

    /// Waits for a connection, at most so long.
    pub(crate) async fn connected(&self, prefer: u64, within: Duration) -> Option<&Link> {
        let until = Instant::now() + within;
        loop {
            match self.link(prefer) {
                Some(link) => return Some(link),
                None if Instant::now() >= until => return None,
                None => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Asks over a connection, and counts if no answer comes.
    pub(crate) async fn request(
        &self,
        prefer: u64,
        subject: String,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
        until: Instant,
    ) -> Option<Message> {
        let Some(link) = self.link(prefer) else {
            self.lose(Loss::NoConnection);
            return None;
        };
        let answer = link.request(subject, headers, payload, until).await;
        if answer.is_none() {
            self.lose(Loss::NoAnswer);
        }
        answer
    }

    /// Says something without an answer. Nothing waits: false when the connection does not take it at once. Then it is lost on this way.
    pub(crate) fn say(&self, client: &Client, subject: String, payload: Bytes) -> bool {
        matches!(at_once(client.publish(subject, payload)), Some(Ok(())))
    }

    fn connect_options(&self, at: usize) -> ConnectOptions {
        let brokers = self.clone();
        let accounts = self.clone();
        let options = ConnectOptions::with_auth_callback(move |_| std::future::ready(accounts.auth(at)))
            .name(format!("vagn-{:x}-{at}", self.node().0))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ignore_discovered_servers()
            .connection_timeout(CONNECT_MAX)
            .ping_interval(PING)
            .subscription_capacity(SUBSCRIPTION_MAX)
            .client_capacity(COMMANDS_MAX)
            .reconnect_delay_callback(pause)
            .reconnect_to_server_callback(move |servers, _| {
                let chosen = brokers.choose(at, &servers);
                async move { chosen }
            });
        match &self.shared.options.tls {
            Some(config) => options.tls_client_config(config.clone()),
            None => options,
        }
    }

    /// Returns the account of the node at the broker that a connection tries.
    fn auth(&self, at: usize) -> Result<Auth, AuthError> {
        let Options { addresses, accounts, .. } = &self.shared.options;
        let place = self.shared.places.lock()[at].clone();
        let account = addresses.iter().position(|address| Some(address) == place.as_ref());
        Ok(account.and_then(|at| accounts[at].as_ref()).map_or_else(Auth::new, Account::auth))
    }

    /// Chooses a broker that the other connection has not.
    fn choose(&self, at: usize, servers: &[Server]) -> Option<ReconnectToServer> {
        self.shared.refusals.lock().tell(servers, Instant::now());
        let mut places = self.shared.places.lock();
        let other = places[1 - at].clone();
        let others =
            servers.iter().filter(|server| servers.len() == 1 || Some(&server.addr) != other.as_ref());
        let chosen = others.min_by_key(|server| (server.failed_attempts, self.turn(at, &server.addr)))?;
        places[at] = Some(chosen.addr.clone());
        Some(ReconnectToServer { addr: chosen.addr.clone(), delay: Some(pause(chosen.failed_attempts)) })
    }

    /// Returns the place of an address in the order in which a connection tries them: nodes begin at different ones.
    fn turn(&self, at: usize, address: &ServerAddr) -> usize {
        let addresses = &self.shared.options.addresses;
        let begin = self.node().0 as usize % addresses.len() + at;
        let place = addresses.iter().position(|other| other == address).unwrap_or(0);
        (place + 2 * addresses.len() - begin) % addresses.len()
    }
}

fn pause(failures: usize) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => Duration::from_millis((RETRY_MS << failures.min(10)).min(RETRY_MAX_MS)),
    }
}

/// A connection that stands or is being made.
struct Opened {
    answers: Subscriber,
    to_me: Subscriber,
    to_all: Subscriber,
}

/// Returns the messages of one connection, for ever.
fn incoming(brokers: Brokers, at: usize) -> impl futures_util::Stream<Item = FromNode> + Send {
    stream::unfold((brokers, None::<Opened>), move |(brokers, mut opened)| async move {
        loop {
            let Some(open) = &mut opened else {
                opened = brokers.open(at).await;
                continue;
            };
            match open.next(brokers.link_at(at)).await {
                Some(Some(message)) => return Some((message, (brokers, opened))),
                Some(None) => {}
                None => {
                    warn!("connection to brokers gave up, and is made anew");
                    brokers.link_at(at).set(None);
                    opened = None;
                    sleep(ANEW).await;
                }
            }
        }
    })
}

impl Brokers {
    pub(crate) fn link_at(&self, at: usize) -> &Link {
        &self.shared.links[at]
    }

    async fn open(&self, at: usize) -> Option<Opened> {
        let addresses = self.shared.options.addresses.clone();
        let opened = async {
            let client = self.connect_options(at).connect(addresses).await.map_err(|err| err.to_string())?;
            let subscribe =
                async |subject: String| client.subscribe(subject).await.map_err(|err| err.to_string());
            let opened = Opened {
                answers: subscribe(self.link_at(at).answers()).await?,
                to_me: subscribe(self.names().to_me(self.node())).await?,
                to_all: subscribe(self.names().to_all()).await?,
            };
            self.link_at(at).set(Some(client));
            Ok::<_, String>(opened)
        };
        match opened.await {
            Ok(opened) => Some(opened),
            Err(err) => {
                warn!(error = %err, "failed to open a connection to brokers");
                sleep(ANEW).await;
                None
            }
        }
    }
}

impl Opened {
    /// Waits for the next message. `Some(None)` was for the link alone; `None` means that the client has ended.
    async fn next(&mut self, link: &Link) -> Option<Option<FromNode>> {
        let message = tokio::select! {
            answer = self.answers.next() => {
                link.hear();
                link.answered(answer?);
                return Some(None);
            }
            message = self.to_me.next() => message?,
            message = self.to_all.next() => message?,
        };
        link.hear();
        let from = sender(&message.subject);
        Some(from.map(|from| FromNode { from, payload: message.payload }))
    }
}

impl Incoming {
    /// Waits for a message of another node; meanwhile hands answers to the requests that wait.
    pub(crate) async fn next(&mut self) -> FromNode {
        match self.links.next().await {
            Some(message) => message,
            // The streams of the two connections have no end.
            None => std::future::pending().await,
        }
    }

    /// Hands answers to the requests that wait, and drops messages of nodes: for a caller that uses brokers without a node.
    pub async fn serve(mut self) {
        loop {
            self.next().await;
        }
    }
}

/// Returns the end of a request that begins now.
pub(crate) fn answer_by() -> Instant {
    Instant::now() + ANSWER_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(node: u64) -> Brokers {
        let addresses: Vec<String> = (1..=3).map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let options = Options::new(&addresses, "set", NodeId(node), 1).unwrap();
        let (brokers, _) = Brokers::connect(options);
        brokers
    }

    fn server(port: u16, failed_attempts: usize) -> Server {
        let addr = format!("nats://127.0.0.1:{port}").parse().unwrap();
        Server { addr, failed_attempts, did_connect: false, is_discovered: false, last_error: None }
    }

    fn chosen(brokers: &Brokers, at: usize, servers: &[Server]) -> u16 {
        brokers.choose(at, servers).unwrap().addr.port()
    }

    #[test]
    fn the_two_connections_of_a_node_go_to_different_brokers() {
        let servers = [server(1, 0), server(2, 0), server(3, 0)];
        for node in 0..6 {
            let brokers = brokers(node);
            let (one, two) = (chosen(&brokers, 0, &servers), chosen(&brokers, 1, &servers));
            assert_ne!(one, two, "node {node}");
            // The first one's broker is gone: it takes the third.
            let left = servers.clone().map(|mut server| {
                server.failed_attempts = usize::from(server.addr.port() == one);
                server
            });
            assert_eq!(chosen(&brokers, 0, &left), 6 - one - two, "node {node}");
        }
    }

    #[test]
    fn nodes_begin_at_different_brokers() {
        let servers = [server(1, 0), server(2, 0), server(3, 0)];
        let firsts: Vec<u16> = (0..3).map(|node| chosen(&brokers(node), 0, &servers)).collect();
        assert_eq!(firsts, [1, 2, 3]);
    }

    #[test]
    fn a_single_broker_is_used_by_both() {
        let brokers = brokers(1);
        assert_eq!((chosen(&brokers, 0, &[server(1, 5)]), chosen(&brokers, 1, &[server(1, 5)])), (1, 1));
    }
}
