//! The status of a cluster for people: brokers, nodes, calls for help, shards.

use std::fmt::Write;

use serde_json::Value;

/// Renders the status.
pub(super) fn of(shown: &Value) -> String {
    let mut text = String::new();
    brokers(shown, &mut text);
    text.push('\n');
    let members: Vec<_> = items(shown, "members").map(member).collect();
    rows(&mut text, ["NODE", "ZONE", "STATE"], &members);
    text.push('\n');
    calls(&shown["trail"], &mut text);
    text.push('\n');
    let shards: Vec<_> = items(shown, "shards").map(shard).collect();
    if shards.is_empty() {
        text.push_str("shards: not known yet\n");
    } else {
        rows(&mut text, ["SHARD", "OWNERS", "HERE", "APPLIED", "LAG"], &shards);
    }
    text
}

fn brokers(shown: &Value, text: &mut String) {
    let connected = shown["brokers_connected"].as_u64().unwrap_or(0);
    let names: Vec<_> = items(shown, "brokers").filter_map(Value::as_str).collect();
    let names = if names.is_empty() { "none tried yet".to_owned() } else { names.join(", ") };
    writeln!(text, "brokers: {connected} of 2 connections ({names})")
        .expect("a string takes all that is written");
    for broker in items(shown, "brokers_behind") {
        let (name, what) = (broker["broker"].as_str().unwrap_or("-"), streams(broker));
        writeln!(text, "broker {name}: no copy that keeps up of the streams of {what}")
            .expect("a string takes all that is written");
    }
    let silent = streams(&shown["streams_silent"]);
    if !silent.is_empty() {
        writeln!(text, "no broker answers for the streams of {silent}")
            .expect("a string takes all that is written");
    }
}

/// Says streams in words.
fn streams(missed: &Value) -> String {
    let shards: Vec<_> = items(missed, "shards").map(word).collect();
    let shards = match shards.len() {
        0 => None,
        1 => Some(format!("shard {}", shards[0])),
        _ => Some(format!("shards {}", shards.join(", "))),
    };
    let calls = (missed["trail"] == true).then(|| "calls for help".to_owned());
    shards.into_iter().chain(calls).collect::<Vec<_>>().join(" and ")
}

/// Who leads calls for help, and what of them waits here.
fn calls(trail: &Value, text: &mut String) {
    let seconds = trail["silent_ms"].as_u64().unwrap_or(0) / 1_000;
    let leader = match (&trail["stopped"], &trail["leader"]) {
        (Value::String(why), _) => format!("this node follows their trail no more: {why}"),
        (_, Value::String(name)) => format!("led by {name}"),
        _ => format!("no leader heard for {seconds} s; each node makes the calls that it takes"),
    };
    let term = trail["term"].as_u64().filter(|_| trail["leader"].is_string());
    let term = term.map_or_else(String::new, |term| format!(" (term {term})"));
    let mut states = vec![format!("{leader}{term}")];
    if trail["differs"] == true {
        states.push("other settings here".to_owned());
    }
    if trail["copies"] == true {
        states.push("incidents of another node are copied here".to_owned());
    }
    for (key, what) in [
        ("waiting_alarms", "alarms wait for their record here"),
        ("alarms_without_room", "of these have no room at the leader"),
        ("called_alone", "are called about by this node alone"),
        ("unsaved_groups", "changes of incidents are not on the disk here"),
    ] {
        let count = trail[key].as_u64().unwrap_or(0);
        if count > 0 {
            states.push(format!("{count} {what}"));
        }
    }
    for key in ["store_fault", "kept_fault"] {
        states.extend(trail[key].as_str().map(str::to_owned));
    }
    writeln!(text, "calls for help: {}", states.join("; ")).expect("a string takes all that is written");
}

fn items<'a>(shown: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    shown[name].as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.replace('_', " "),
        value => value.to_string(),
    }
}

fn member(member: &Value) -> [String; 3] {
    let mut states = Vec::new();
    let silent_s = member["silent_ms"].as_u64().unwrap_or(0) / 1_000;
    states.push(match member["heard"] == true {
        true => "heard".to_owned(),
        false if member["stops"] == true => format!("stopped in order {silent_s} s ago"),
        false => format!("silent for {silent_s} s"),
    });
    if member["stores"] == false {
        states.push("stores nothing".to_owned());
    }
    if member["leaves"] == true {
        states.push("leaving".to_owned());
    }
    if member["differs"] == true {
        states.push("other settings".to_owned());
    }
    if member["twice"] == true {
        states.push("two processes".to_owned());
    }
    // A name stays as it is, whatever is in it.
    let name = member["name"].as_str().unwrap_or("-").to_owned();
    [name, member["zone"].as_str().unwrap_or("-").to_owned(), states.join(", ")]
}

fn shard(shard: &Value) -> [String; 5] {
    let owners = items(shard, "owners").map(|owner| {
        let name = owner["node"].as_str().unwrap_or("-");
        let state = match (owner["full"] == true, owner["caught_up"] == true) {
            (true, true) => "",
            (true, false) => " (behind or silent)",
            (false, _) => " (copying)",
        };
        format!("{name}{state}")
    });
    let owners: Vec<_> = owners.collect();
    let owners = if owners.is_empty() { "none".to_owned() } else { owners.join(", ") };
    let here = match &shard["stopped"] {
        Value::String(why) => format!("stopped: {why}"),
        _ => word(&shard["stage"]),
    };
    [word(&shard["shard"]), owners, here, word(&shard["applied"]), word(&shard["lag"])]
}

/// Writes a table whose columns are as wide as their widest cell.
fn rows<const N: usize>(text: &mut String, head: [&str; N], rows: &[[String; N]]) {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in all() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shows_brokers_nodes_and_shards() {
        let shown = json!({
            "brokers": ["tls://a.example:4222"],
            "brokers_connected": 1,
            "brokers_behind": [{"broker": "n3", "shards": [0, 1], "trail": true}],
            "streams_silent": {"shards": [1], "trail": false},
            "members": [
                {"name": "north_1", "zone": "north", "heard": true, "stores": true, "silent_ms": 0},
                {"name": "south", "zone": null, "heard": false, "stores": false, "silent_ms": 9_400},
                {"name": "west", "zone": null, "heard": false, "stops": true, "stores": true, "silent_ms": 61_000},
            ],
            "trail": {"leader": "north_1", "term": 7, "silent_ms": 400, "differs": true, "waiting_alarms": 2, "alarms_without_room": 1, "called_alone": 0},
            "shards": [
                {
                    "shard": 0,
                    "owners": [
                        {"node": "north_1", "full": true, "caught_up": true},
                        {"node": "south", "full": true, "caught_up": false},
                    ],
                    "stage": "caught_up",
                    "stopped": null,
                    "applied": 17,
                    "lag": 0,
                },
                {"shard": 1, "owners": [], "stage": null, "stopped": null, "applied": null, "lag": null},
            ],
        });
        let expected = "brokers: 1 of 2 connections (tls://a.example:4222)\n\
            broker n3: no copy that keeps up of the streams of shards 0, 1 and calls for help\n\
            no broker answers for the streams of shard 1\n\
            \n\
            NODE     ZONE   STATE\n\
            north_1  north  heard\n\
            south    -      silent for 9 s, stores nothing\n\
            west     -      stopped in order 61 s ago\n\
            \n\
            calls for help: led by north_1 (term 7); other settings here; 2 alarms wait for their record here; 1 of these have no room at the leader\n\
            \n\
            SHARD  OWNERS                             HERE       APPLIED  LAG\n\
            0      north_1, south (behind or silent)  caught up  17       0\n\
            1      none                               -          -        -\n";
        assert_eq!(of(&shown), expected);
    }

    #[test]
    fn says_of_calls_for_help_that_nobody_leads_and_why() {
        let said = |trail: Value| {
            let mut text = String::new();
            calls(&trail, &mut text);
            text
        };
        assert_eq!(
            said(json!({"leader": null, "term": 7, "silent_ms": 12_900, "called_alone": 1})),
            "calls for help: no leader heard for 12 s; each node makes the calls that it takes; 1 are called about by this node alone\n"
        );
        let stopped =
            said(json!({"leader": null, "stopped": "its stream is gone", "store_fault": "the disk is full"}));
        assert_eq!(
            stopped,
            "calls for help: this node follows their trail no more: its stream is gone; the disk is full\n"
        );
    }
}
