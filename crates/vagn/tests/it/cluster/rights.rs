//! Brokers with the settings of `deploy/nats`: nodes can do all that they must over TLS, and their user nothing else.

use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::doctor::{check, doctor};
use super::nodes::{Cluster, SHARDS};
use super::streams::wait_stopped;
use super::tls::{Authority, store_and_answer};
use crate::brokers::Brokers;
use crate::source::workspace;
use crate::vagn::LIMIT;

/// Copies the settings, with a second account made as account.conf says, and passwords.
fn copy_settings(to: &Path) {
    let from = workspace().join("deploy/nats");
    std::fs::copy(from.join("broker.conf"), to.join("broker.conf")).unwrap();
    let text = std::fs::read_to_string(from.join("account.conf")).unwrap();
    let (head, account) = text.split_once("accounts {").unwrap();
    let (account, _) = account.rsplit_once('}').unwrap();
    let other = account
        .replace("VAGN_FLEET", "VAGN_OTHER")
        .replace("fleet", "other")
        .replace("user: vagn", "user: other")
        .replace("user: admin", "user: other-admin");
    std::fs::write(to.join("account.conf"), format!("{head}accounts {{{account}{other}}}\n")).unwrap();
    let passwords = std::fs::read_to_string(from.join("passwords.conf.example")).unwrap();
    std::fs::write(
        to.join("passwords.conf"),
        passwords.replace("CHANGE-ME-1", "hush").replace("CHANGE-ME-2", "hush-hush"),
    )
    .unwrap();
}

/// A user at a broker, and what the broker refuses it.
struct User {
    client: Client,
    refusals: mpsc::Receiver<String>,
}

impl User {
    async fn connect(address: &str, ca: &Path, user: &str, password: &str) -> Self {
        let (sender, refusals) = mpsc::channel(16);
        let client = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
            .add_root_certificates(ca.to_owned())
            .custom_inbox_prefix("_INBOX.answer.test")
            .request_timeout(Some(LIMIT))
            .event_callback(move |event| {
                let sender = sender.clone();
                async move {
                    if let Event::ServerError(error) = event {
                        sender.send(error.to_string()).await.unwrap();
                    }
                }
            })
            .connect(address)
            .await
            .unwrap();
        Self { client, refusals }
    }

    /// Asks JetStream.
    async fn ask(&self, subject: &str, body: Value) -> Value {
        // Brokers refuse a body where none belongs.
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.client.request(format!("$JS.API.{subject}"), body.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Fails unless the broker refuses to take this.
    async fn check_refused(&mut self, subject: &'static str) {
        self.client.publish(subject, "{}".into()).await.unwrap();
        self.check_violation(subject).await;
    }

    async fn check_violation(&mut self, subject: &str) {
        let said = timeout(LIMIT, self.refusals.recv()).await.expect(subject).unwrap();
        let said = said.to_ascii_lowercase();
        assert!(
            said.contains("permissions violation") && said.contains(&subject.to_ascii_lowercase()),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_work_with_the_rights_of_deploy_nats_and_their_user_has_no_others() {
    let (settings, certs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    copy_settings(settings.path());
    let own = Authority::new("brokers");
    ["n1", "n2", "n3"].into_iter().for_each(|broker| own.sign(certs.path(), broker));
    let ca = own.write(certs.path(), "ca.pem");
    let paths = [certs.path(), settings.path()].map(|path| path.to_str().unwrap());
    let brokers = Brokers::start_with(&["--certs", paths[0], "--settings", paths[1]]);
    let address = brokers.addresses()[0].clone();
    let list = brokers.list().replace("tls://", "tls://vagn:hush@");
    let further = format!("ca = {ca:?}\n");

    let mut cluster = Cluster::start_over(brokers, &list, &further).await;
    store_and_answer(&cluster).await;
    // A new epoch, and a node that comes back: streams are made and deleted, records changed, shards followed anew.
    let user = User::connect(&address, &ca, "vagn", "hush").await;
    let said = user.ask("STREAM.DELETE.vagn-fleet-0-1", Value::Null).await;
    assert_eq!(said["success"], json!(true), "{said}");
    wait_stopped(&cluster, 0).await;
    cluster.repair(0);
    cluster.kill(0);
    cluster.start_again(0);
    cluster.wait_whole().await;
    for broker in 1..=3 {
        let log = cluster.brokers.log(broker);
        assert!(!log.contains("Violation"), "{log}");
    }

    // The doctor, as the same user, has nothing to find.
    let dir = TempDir::new().unwrap();
    let config = format!("[cluster]\nshards = {SHARDS}\n{further}");
    let mut found = doctor(&list, cluster.brokers.monitors(), &config, dir.path());
    for _ in 0..20 {
        // A stream that was just made may lag for a moment.
        if found.1.iter().all(|line| line.starts_with("ok")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        found = doctor(&list, cluster.brokers.monitors(), &config, dir.path());
    }
    let (code, lines) = found;
    assert!(code == Some(0) && lines.iter().all(|line| line.starts_with("ok")), "{lines:#?}");
    check(&lines, &["NATS 2.", "over TLS"]);
    check(&lines, &["sync_interval: always at n1, n2, n3"]);
    check(&lines, &["TLS for nodes at n1, n2, n3"]);
    check(&lines, &["TLS for routes between brokers at n1, n2, n3"]);

    // Streams of another data set are in another account: they are not seen, and cannot be deleted.
    let other = User::connect(&address, &ca, "other", "hush").await;
    let stream = "vagn-other-0-1";
    let made = json!({"name": stream, "subjects": ["vagn.other.shard.0.1"], "num_replicas": 3, "storage": "file", "max_bytes": 1 << 24});
    let said = other.ask(&format!("STREAM.CREATE.{stream}"), made).await;
    assert!(said.get("error").is_none(), "{said}");
    let mut node = User::connect(&address, &ca, "vagn", "hush").await;
    let said = node.ask(&format!("STREAM.DELETE.{stream}"), Value::Null).await;
    assert_eq!(said["error"]["err_code"], 10059, "{said}");
    let said = other.ask(&format!("STREAM.INFO.{stream}"), Value::Null).await;
    assert_eq!(said["config"]["name"], stream, "{said}");

    // Within its own account a node does what nodes do.
    for subject in [
        "$JS.API.STREAM.UPDATE.vagn-fleet-1-0",
        "$JS.API.STREAM.MSG.DELETE.vagn-fleet-1-0",
        "$JS.API.STREAM.SNAPSHOT.vagn-fleet-1-0",
        "$JS.API.STREAM.LEADER.STEPDOWN.vagn-fleet-1-0",
        "$JS.API.CONSUMER.DURABLE.CREATE.vagn-fleet-1-0.spy",
        "$JS.API.STREAM.MSG.GET.vagn-fleet-1-0",
        "vagn.other.shard.0.1",
        "$KV.vagn-other.assignment",
        "$SYS.REQ.SERVER.PING",
    ] {
        node.check_refused(subject).await;
    }
    for subject in [">", "vagn.fleet.shard.>", "vagn.other.to.>", "_INBOX.>"] {
        let _subscriber = node.client.subscribe(subject).await.unwrap();
        node.check_violation(subject).await;
    }
    drop(cluster);
}
