//! Answers over UDP: those of the original, and acks of alarms.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_as_the_original_did_when_asked_to() {
    let running = Plan { reply: Reply::Original, ..Plan::default() }.run(collector().0).await;
    let vehicles = [vehicle(running.udp), vehicle(running.udp)];
    let two = [report("bus", None), report("tram", None)].concat();
    for payload in
        [&b""[..], b"noise", b"\\n", &[0; 3_000], &two, &report("bus", None), &emergency("bus", None)]
    {
        vehicles.iter().for_each(|vehicle| assert!(vehicle.send(payload).is_ok()));
        for vehicle in vehicles.iter().filter(|_| payload.len() > 5 && payload.len() < 3_000) {
            let mut reply = [0; 16];
            let length = vehicle.recv(&mut reply).unwrap();
            assert_eq!(&reply[..length], b"\\n", "to {payload:x?}");
        }
    }
    for vehicle in &vehicles {
        vehicle.set_nonblocking(true).unwrap();
        assert!(vehicle.recv(&mut [0; 16]).is_err(), "what is no report was answered");
    }
    assert_eq!(running.intake.metric("vagn_udp_replies_refused_total{reason=\"no_report\"}"), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_answer_as_the_original_do_not_answer_each_other() {
    let plan = || Plan { reply: Reply::Original, ..Plan::default() };
    let (one, other) = (plan().run(collector().0).await, plan().run(collector().0).await);
    // From the other server's own port, as if it were forged.
    (one.forge)(&report("bus", None), other.udp);
    until(|| one.intake.reports.received.get() == 1).await;
    // It was refused there, so nothing more is under way.
    let refused =
        |running: &Running| running.intake.metric("vagn_udp_replies_refused_total{reason=\"no_report\"}");
    until(|| refused(&one) == 1).await;
    assert_eq!((other.intake.reports.received.get(), refused(&other)), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_gets_only_so_many_answers_of_the_original_at_a_time() {
    let running = Plan { reply: Reply::Original, ..Plan::default() }.run(collector().0).await;
    let vehicle = vehicle(running.udp);
    let too_many = || running.intake.metric("vagn_udp_replies_refused_total{reason=\"too_many\"}");
    while too_many() == 0 {
        (0..100).for_each(|_| assert!(vehicle.send(&report("bus", None)).is_ok()));
    }
}

/// An alarm that asks for an answer, with its flag last or not, so that it takes either socket.
fn asking(flag_last: bool) -> Vec<u8> {
    match flag_last {
        true => emergency("bus", Some(7)),
        false => b"\x83\xa2ID\xa3bus\xa9Emergency\xc3\xa3Seq\x07".to_vec(),
    }
}

/// Doors at `listen` are answered from, whichever address of theirs `vehicle` sends to.
async fn check_answers(listen: &str, vehicles: &[&str]) {
    for (steered, flag_last) in [(true, true), (true, false), (false, true), (false, false)] {
        let plan = Plan { listen: listen.into(), steered, ..Plan::default() };
        let running = plan.run(intake(answer)).await;
        for local in vehicles {
            let local: SocketAddr = local.parse().unwrap();
            let socket = UdpSocket::bind(SocketAddr::new(local.ip(), 0)).unwrap();
            // A connected socket takes nothing from any other address.
            socket.connect(SocketAddr::new(local.ip(), running.udp.port())).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let quiet = [report("bus", Some(7)), emergency("bus", None), b"noise".to_vec()];
            quiet.iter().for_each(|payload| assert!(socket.send(payload).is_ok()));
            socket.send(&asking(flag_last)).unwrap();
            let mut heard = [0; 200];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], asking(flag_last), "{listen} {local} {steered} {flag_last}");
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut heard).is_err(), "what does not ask was answered");
        }
        running.root.stop().await;
        assert_eq!(running.intake.doors.faults("udp_ack"), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_alarms_that_ask_are_answered_from_either_socket() {
    check_answers("127.0.0.1:0", &["127.0.0.1:0"]).await;
    check_answers("[::1]:0", &["[::1]:0"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_at_all_addresses_answers_from_the_one_that_was_spoken_to() {
    check_answers("0.0.0.0:0", &["127.0.0.1:0", "127.0.0.77:0"]).await;
    check_answers("[::]:0", &["[::1]:0", "127.0.0.77:0"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_that_asks_is_answered_twice_where_the_original_answered() {
    let plan = Plan { reply: Reply::Original, ..Plan::default() };
    let running = plan.run(intake(answer)).await;
    let vehicle = vehicle(running.udp);
    vehicle.send(&asking(true)).unwrap();
    let mut lengths = [0; 2].map(|_: usize| vehicle.recv(&mut [0; 200]).unwrap());
    lengths.sort_unstable();
    assert_eq!(lengths, [2, asking(true).len()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_sent_is_counted() {
    let (intake, batches) = collector();
    let running = Plan::default().run(intake).await;
    vehicle(running.udp).send(&asking(true)).unwrap();
    let batch = batches.recv_timeout(PATIENCE).unwrap();
    batch.reply_to(0).unwrap().answer(&[0; 70_000]);
    assert_eq!(running.intake.doors.faults("udp_ack"), 1);
}
