//! Crowds that hold all connections of the TCP door.

use super::*;

type Client = TlsStream<tokio::net::TcpStream>;

impl Running {
    async fn connect_tls_from(&self, address: &str) -> Client {
        self.secure(self.connect_from(address).await).await
    }

    /// Connects from each of these addresses, and reports once.
    async fn report_from(&self, addresses: &[&str]) -> Vec<Client> {
        let mut clients = Vec::new();
        for address in addresses {
            let mut client = self.connect_tls_from(address).await;
            self.report(&mut client).await;
            clients.push(client);
        }
        clients
    }

    async fn report(&self, client: &mut Client) {
        self.report_as("bus", client).await;
    }

    async fn report_as(&self, vehicle_id: &str, client: &mut Client) {
        client.write_all(&report(vehicle_id, Some(1))).await.unwrap();
        assert_eq!(read_fate(client).await, Fate::Stored);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_refused_and_counted() {
    let running = Plan { max_connections: 4, ..Plan::default() }.run(intake(store)).await;
    let of_one_source = running.report_from(&["127.0.0.1"; 2]).await;
    assert!(running.refuses("127.0.0.1").await && running.refused("too_many_of_source") == 1);
    let of_others = running.report_from(&["127.0.0.2", "127.0.0.3"]).await;
    assert!(running.refuses("127.0.0.4").await && running.refused("too_many") >= 1);
    drop((of_one_source, of_others));
    until(|| running.intake.metric("vagn_connections_open") == 0).await;
    running.store_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_is_taken_although_a_silent_crowd_holds_all_connections() {
    let running = Plan { max_connections: 8, ..Plan::default() }.run(intake(store)).await;
    let come = async |count| {
        until(|| running.intake.metric("vagn_connections_open") == count).await;
        running.intake.clock.advance(Duration::from_millis(1));
    };
    let mut silent = Vec::new();
    for address in ["127.0.1.1", "127.0.1.2"].repeat(2) {
        silent.push(running.connect_from(address).await);
        come(silent.len() as u64).await;
    }
    let mut shaken = Vec::new();
    for address in ["127.0.1.3", "127.0.1.4"].repeat(2) {
        shaken.push(running.connect_tls_from(address).await);
        come(4 + shaken.len() as u64).await;
    }
    // One after the other, so that each of the crowd has gone when the next newcomer comes.
    let mut clients = Vec::new();
    for (number, address) in
        ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"].iter().enumerate()
    {
        clients.extend(running.report_from(&[address]).await);
        until(|| running.refused("displaced") == number as u64 + 1).await;
        until(|| running.intake.metric("vagn_connections_open") == 8).await;
    }
    // Those in their handshake were older than those after it.
    for stream in &mut silent {
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
    }
    assert_eq!(shaken[0].read(&mut [0]).await.unwrap(), 0, "the end of TLS");
    running.report(&mut shaken[3]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_vehicle_keeps_its_connection_however_long_it_is_silent() {
    let running = Plan { max_connections: 4, ..Plan::default() }.run(intake(store)).await;
    let mut clients = running.report_from(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]).await;
    let mut silent = running.connect_from("127.0.1.1").await;
    running.intake.clock.advance(Duration::from_secs(3_600));
    clients.extend(running.report_from(&["127.0.0.4"]).await);
    assert!(matches!(silent.read(&mut [0]).await, Ok(0) | Err(_)));
    running.intake.clock.advance(Duration::from_secs(3_600));
    assert!(running.refuses("127.0.0.5").await && running.refused("too_many") == 1);
    for client in &mut clients {
        running.report(client).await;
    }
}

/// Connects strangers from these addresses, each of which reports once.
async fn strangers(running: &Running, addresses: &[&str]) -> Vec<Client> {
    let mut crowd = Vec::new();
    for address in addresses {
        let mut client = running.connect_tls_from(address).await;
        running.report_as(&format!("stranger of {address}"), &mut client).await;
        running.intake.clock.advance(Duration::from_millis(1));
        crowd.push(client);
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_strangers_gives_way_once_they_are_silent_and_who_turns_out_known_stays() {
    let running = Plan { max_connections: 4, ..Plan::default() }.run(intake(store)).await;
    let mut crowd = strangers(&running, &["127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"]).await;
    running.intake.clock.advance(Duration::from_secs(14));
    assert!(running.refuses("127.0.0.1").await && running.refused("too_many") == 1, "they reported just now");
    running.report(&mut crowd[0]).await;
    running.intake.clock.advance(Duration::from_secs(1));
    let newcomers = running.report_from(&["127.0.0.1"]).await;
    until(|| running.refused("displaced_idle") == 1).await;
    until(|| running.intake.metric("vagn_connections_open") == 4).await;
    assert_eq!(crowd[1].read(&mut [0]).await.unwrap(), 0, "the end of TLS, for the oldest of them");
    for at in [0, 2, 3] {
        running.report(&mut crowd[at]).await;
    }
    // Now all are known.
    running.intake.clock.advance(Duration::from_secs(3_600));
    assert!(running.refuses("127.0.0.2").await && running.refused("too_many") == 2);
    drop(newcomers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_keep_their_connections_while_there_is_room() {
    let running = Plan { max_connections: 4, ..Plan::default() }.run(intake(store)).await;
    let mut crowd = strangers(&running, &["127.0.1.1", "127.0.1.2", "127.0.1.3"]).await;
    running.intake.clock.advance(Duration::from_secs(3_600));
    crowd.extend(strangers(&running, &["127.0.1.4"]).await);
    for client in &mut crowd {
        running.report(client).await;
    }
    assert_eq!(running.refused("displaced_idle"), 0);
}
