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
        client.write_all(&report("bus", Some(1))).await.unwrap();
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
async fn a_client_that_has_reported_keeps_its_connection_however_long_it_is_silent() {
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
