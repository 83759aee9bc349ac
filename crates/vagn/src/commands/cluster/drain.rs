//! `vagn cluster drain`: has the node of this machine give away its shards, and waits until others have them.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::{ask, items};
use crate::commands::{counted, say};
use crate::config::Span;
use crate::control::ControlRequest;

/// Pause between two looks at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vagn cluster drain --data-dir /var/lib/vagn && systemctl stop vagn    # on the machine that goes\n\n\
The node gives its shards to other nodes that store, one by one: it leaves a shard only once two others have all of it. Until it is stopped it takes \
reports and answers questions, while /readyz says `leaving`, so that balancers turn away from it. A restart needs none of this: a node that is stopped \
keeps its shards, and goes on where it was.\n\n\
Where the limit passes, or the command is ended, the node goes on giving away; run it again to wait on. What is begun is taken back by a restart of the service. \
Incidents stay in the data directory: resolve those that are open before you remove it.\n\n\
Exit codes: 0 the node owns nothing; 1 it still owns shards at the limit, or the service is not a node of a cluster, or failed; 64 wrong usage; 69 no service runs, or its node is starting."
)]
pub(super) struct DrainArgs {
    /// Longest wait until others have all.
    #[arg(long, value_name = "TIME", default_value = "10m")]
    within: Span,
    /// Data directory of the service.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
}

/// Asks the node to leave, and waits until it owns nothing.
///
/// # Errors
/// It still owns shards at the limit, or it cannot be asked.
pub(super) fn run(args: &DrainArgs) -> anyhow::Result<()> {
    let until = Instant::now() + args.within.0;
    ask(&args.data_dir, &ControlRequest::ClusterDrain {})?;
    let mut before = None;
    loop {
        let shown = ask(&args.data_dir, &ControlRequest::ClusterStatus {})?;
        let left = left(&shown);
        if let Some((name, shards)) = &left {
            if shards.is_empty() {
                return say(&format!("{name} owns no shard any more; stop its service\n"));
            }
            if before != Some(shards.len()) {
                let left = counted(shards.len() as u64, "shard");
                say(&format!("{name} has {left} left to give away\n"))?;
                before = Some(shards.len());
            }
        }
        if left.is_none() {
            // It was started anew meanwhile, and has forgotten it.
            ask(&args.data_dir, &ControlRequest::ClusterDrain {})?;
        }
        if Instant::now() >= until {
            anyhow::bail!("{}", late(left));
        }
        sleep(LOOK_EVERY);
    }
}

/// Returns the name of the node that was asked and the shards that it owns, once it shows that it leaves.
fn left(shown: &Value) -> Option<(String, Vec<String>)> {
    // The node that is asked comes first. Before it knows the shards it may own some.
    let own = items(shown, "members").next().filter(|member| member["leaves"] == true)?;
    items(shown, "shards").next()?;
    let owns = |shard: &&Value| items(shard, "owners").any(|owner| owner["node"] == own["name"]);
    let shards = items(shown, "shards").filter(owns).map(|shard| shard["shard"].to_string()).collect();
    Some((own["name"].as_str().unwrap_or("-").to_owned(), shards))
}

fn late(left: Option<(String, Vec<String>)>) -> String {
    let of = left.map_or("its shards are not known yet".to_owned(), |(_, shards)| {
        format!("it still owns shards {}", shards.join(", "))
    });
    format!(
        "the node goes on giving away, and {of}: two other nodes that store must have all of each; `vagn cluster status` shows what they lack. \
         Run it again to wait on, or start the service again to take it back"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_has_left_once_it_says_that_it_leaves_and_owns_nothing() {
        let shown = |leaves: bool, owners: &[&str]| {
            let owners: Vec<_> = owners.iter().map(|node| json!({"node": node, "full": true})).collect();
            json!({"members": [{"name": "a", "leaves": leaves}, {"name": "b", "leaves": false}],
                "shards": [{"shard": 7, "owners": owners}]})
        };
        assert_eq!(left(&shown(false, &["b", "c"])), None, "it was not told yet");
        assert_eq!(left(&shown(true, &["a", "b", "c"])), Some(("a".into(), vec!["7".into()])));
        assert_eq!(left(&shown(true, &["b", "c"])), Some(("a".into(), vec![])));
        assert_eq!(left(&json!({"members": [{"name": "a", "leaves": true}], "shards": []})), None);
        assert!(late(left(&shown(true, &["a"]))).contains("shards 7"));
    }
}
