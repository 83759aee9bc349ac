//! An alarm over UDP: sent until the server answers that it is on disk, or the last wait has passed.

use std::{
    io,
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;
use vagn_wire::{StoredAck, decode};

use crate::{
    target::Target,
    udp::{UdpError, open},
    wrapping::{SealError, Wrapping},
};

/// Waits for an answer after the alarm and after each repeat. An alarm that is recorded is answered within milliseconds, so
/// an alarm without an answer after a second was most likely lost.
pub const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(1)];

/// Reason why it is not known if the alarm is on disk.
#[derive(Debug, Error)]
pub enum AlarmError {
    /// The report does not ask for an answer.
    #[error("the report is no call for help with a seq")]
    NotAsking,
    /// It could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It could not be sent.
    #[error(transparent)]
    Udp(#[from] UdpError),
    /// No answer came within all the waits.
    #[error("udp {target} did not say within {} s that the call is recorded; it was sent {times} times", within.as_secs())]
    Unanswered {
        /// Server that did not answer.
        target: Target,
        /// Number of times that the alarm was sent.
        times: usize,
        /// Sum of the waits.
        within: Duration,
    },
}

/// Sends the alarm `report`, and repeats it after each of `waits` until the server answers. Gives the incident that is on
/// disk, if the answer had room for it. Calls `on_repeat` before each repeat, with the wait that has passed.
///
/// # Errors
/// When there was no answer at all, or it could not be sealed.
pub fn raise(
    report: &[u8],
    wrapping: &mut dyn Wrapping,
    target: &Target,
    waits: &[Duration],
    on_repeat: &mut dyn FnMut(Duration),
) -> Result<Option<String>, AlarmError> {
    let asked = decode(report).ok().and_then(|report| StoredAck::asked_by(&report));
    let asked = asked.ok_or(AlarmError::NotAsking)?;
    let address = target.addresses().map_err(UdpError::from)?[0];
    let socket = open(address).map_err(|err| UdpError::Socket(target.clone(), err))?;
    let mut refused = false;
    for (at, wait) in waits.iter().enumerate() {
        let until = Instant::now() + *wait;
        let datagram = wrapping.wrap(report)?;
        refused = send(&socket, &datagram).map_err(|err| UdpError::Send(target.clone(), err))?;
        if let Some(incident) = hear(&socket, wrapping, &asked, until, &mut refused) {
            return Ok(incident);
        }
        if at + 1 < waits.len() {
            on_repeat(*wait);
        }
    }
    if refused {
        return Err(UdpError::Refused(target.clone()).into());
    }
    Err(AlarmError::Unanswered { target: target.clone(), times: waits.len(), within: waits.iter().sum() })
}

/// Sends the alarm; gives true when an earlier one was refused. That is no reason to stop: the server may be about to start.
fn send(socket: &UdpSocket, report: &[u8]) -> io::Result<bool> {
    match socket.send(report) {
        Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        sent => sent.map(|_| false),
    }
}

/// Waits for the answer to this alarm; other datagrams are ignored.
fn hear(
    socket: &UdpSocket,
    wrapping: &dyn Wrapping,
    asked: &StoredAck<'_>,
    until: Instant,
    refused: &mut bool,
) -> Option<Option<String>> {
    let mut slot = [0; vagn_wire::MAX_DATAGRAM];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        match socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut slot)) {
            Ok(len) => {
                let answer = wrapping.unwrap(&slot[..len]).unwrap_or_default();
                let ack = StoredAck::decode(&answer).ok();
                if let Some(ack) = ack.filter(|ack| StoredAck { incident: None, ..*ack } == *asked) {
                    return Some(ack.incident.map(Into::into));
                }
            }
            Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => {
                *refused = true;
                thread::sleep(until.saturating_duration_since(Instant::now()));
            }
            // The time ran out, or a signal interrupted the wait.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrapping::InClear;
    use vagn_wire::{Report, VehicleId, encode};

    const WAIT: [Duration; 3] = [Duration::from_millis(50); 3];

    fn report(seq: Option<u64>) -> Vec<u8> {
        let place = vagn_wire::Position::new(59.33, 18.06).unwrap();
        let report = Report::new(VehicleId::new("bus 7").unwrap(), place);
        let mut bytes = Vec::new();
        encode(&Report { emergency: true, seq, ..report }, &mut bytes);
        bytes
    }

    fn ack(seq: u64) -> Vec<u8> {
        let vehicle_id = VehicleId::new("bus 7").unwrap();
        let mut bytes = Vec::new();
        StoredAck { vehicle_id, seq, incident: Some("i") }.encode(usize::MAX, &mut bytes);
        bytes
    }

    /// Sends to a server that answers its n-th datagram with `answers[n]`; gives the number of repeats too.
    fn check(answers: &[&[Vec<u8>]]) -> (Result<Option<String>, AlarmError>, usize) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = server.local_addr().unwrap().to_string().parse().unwrap();
        let mut repeats = 0;
        let done = thread::scope(|scope| {
            scope.spawn(|| {
                server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                for each in answers {
                    let (len, sender) = server.recv_from(&mut [0; 200]).unwrap();
                    assert_eq!(len, report(Some(7)).len());
                    for answer in *each {
                        assert!(server.send_to(answer, sender).is_ok());
                    }
                }
            });
            raise(&report(Some(7)), &mut InClear, &target, &WAIT, &mut |_| repeats += 1)
        });
        (done, repeats)
    }

    #[test]
    fn is_repeated_until_it_is_answered() {
        let (incident, repeats) = check(&[&[], &[ack(7)]]);
        assert_eq!((incident.unwrap().as_deref(), repeats), (Some("i"), 1));
    }

    #[test]
    fn believes_only_the_answer_to_itself() {
        let others = [ack(8), b"\\n".to_vec(), vec![], b"\xc1".to_vec()];
        let (done, repeats) = check(&[&others, &others, &others]);
        assert!(matches!(done, Err(AlarmError::Unanswered { times: 3, .. })), "{done:?}");
        assert_eq!(repeats, 2);
        let mut all = others.to_vec();
        all.push(ack(7));
        assert!(check(&[&all]).0.is_ok());
    }

    #[test]
    fn says_when_nothing_listens_and_when_nothing_was_asked() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = closed.to_string().parse().unwrap();
        let done = raise(&report(Some(7)), &mut InClear, &target, &WAIT, &mut |_| {});
        assert!(matches!(done, Err(AlarmError::Udp(UdpError::Refused(_)))), "{done:?}");
        let done = raise(&report(None), &mut InClear, &target, &WAIT, &mut |_| {});
        assert!(matches!(done, Err(AlarmError::NotAsking)), "{done:?}");
    }
}
