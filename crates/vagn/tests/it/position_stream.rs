//! The stream of positions, read from the running service: what changes in a box, coming back, deletion, and the stop.

use serde_json::{Value, json};

use crate::vagn::{Vagn, client, eventually, report};

/// A box around Stockholm.
const CITY: &str = "/api/v1/positions/stream?bbox=17.9,59.2,18.2,59.4";

/// An event of a stream.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// A client that reads a stream event by event.
pub(crate) struct Stream {
    response: reqwest::Response,
    rest: String,
    last: Option<String>,
}

impl Stream {
    async fn open(vagn: &Vagn, last: Option<&str>) -> Self {
        Self::of(vagn, CITY, last).await
    }

    /// Opens the stream at this path, behind the event with the id `last`.
    pub(crate) async fn of(vagn: &Vagn, path: &str, last: Option<&str>) -> Self {
        let mut request = client().get(vagn.url(path));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, rest: String::new(), last: last.map(str::to_owned) }
    }

    /// Waits for the next event that is not there for its id alone; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.block().await?;
            if !event.name.is_empty() {
                return Some(event);
            }
        }
    }

    /// Waits for the next event, also one that is there for its id alone.
    pub(crate) async fn block(&mut self) -> Option<Event> {
        while !self.rest.contains("\n\n") {
            let chunk = self.response.chunk().await.ok()??;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let (block, rest) = self.rest.split_once("\n\n").unwrap();
        let mut event = Event::default();
        for (field, value) in block.lines().filter_map(|line| line.split_once(": ")) {
            match field {
                "id" => event.id = Some(value.to_owned()),
                "event" => value.clone_into(&mut event.name),
                "data" => event.data = serde_json::from_str(value).unwrap(),
                _ => {}
            }
        }
        self.last = event.id.clone().or(self.last.take());
        self.rest = rest.to_owned();
        Some(event)
    }
}

#[tokio::test]
async fn a_client_sees_what_changes_in_its_box_and_misses_nothing_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let mut stream = Stream::open(&vagn, None).await;
    assert!(stream.block().await.unwrap().id.is_some(), "a stream begins with an id");

    vagn.send(&report("afar", 10.0, 10.0, false));
    vagn.send(&report("bus 7", 59.3, 18.0, false));
    let event = stream.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data["id"]), ("position", &json!("bus 7")));
    let mut asked = vagn.json("/api/v1/vehicles/bus%207").await;
    let mut told = event.data;
    // The answers are of different moments.
    for feature in [&mut asked, &mut told] {
        assert!(feature["properties"].as_object_mut().unwrap().remove("age_s").is_some());
    }
    assert_eq!(told, asked);

    vagn.send(&report("bus 7", 59.9, 18.0, false));
    let event = stream.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.data), ("left", json!({"id": "bus 7"})));

    let last = stream.last.take().unwrap();
    drop(stream);
    vagn.send(&report("bus 8", 59.3, 18.1, false));
    vagn.wait_settled(4).await;
    let mut stream = Stream::open(&vagn, Some(&last)).await;
    let event = stream.next().await.unwrap();
    // Unless the machine stood still for longer than changes are kept; and then it is told.
    assert!(matches!(event.name.as_str(), "position" | "gap"), "{event:?}");
    assert!(event.name == "gap" || event.data["id"] == "bus 8", "{event:?}");

    let deleted = client().delete(vagn.url("/api/v1/vehicles/bus%208")).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    let event = stream.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.data), ("gone", json!({"id": "bus 8"})));
}

#[tokio::test]
async fn the_streams_are_in_the_process_list_and_the_metrics_and_end_with_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    assert!(vagn.actors().await.to_string().contains("position-streams"));
    let mut stream = Stream::open(&vagn, None).await;
    stream.block().await.unwrap();
    eventually("the stream to be counted", async || vagn.metric("vagn_position_streams").await == 1.0).await;
    let (status, _) = vagn.stop();
    assert!(status.success());
    assert!(stream.next().await.is_none());
}
