//! Messages of a consumer: entries and notices, told apart, with the numbers that show whether one is missing between them.

use async_nats::{HeaderMap, Message};

/// Something that a consumer sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// A message of the stream.
    Entry(Place),
    /// The consumer lives, and has nothing.
    Heartbeat,
    /// A pull is over, with so many of its messages left.
    PullOver { left: u64 },
    /// The consumer is gone, or not where it was.
    Gone,
}

/// Place of a message, as the subject for its acknowledgement tells it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Sequence in the stream.
    pub(crate) sequence: u64,
    /// Number of the delivery by this consumer, from 1 on, without a gap.
    pub(crate) delivery: u64,
    /// Time at which it was stored, ms since 1970.
    pub(crate) time_ms: i64,
}

/// Reads a message of a consumer.
pub(crate) fn pulled(message: &Message) -> Pulled {
    let Some(status) = message.status else {
        return message.reply.as_deref().and_then(place).map_or(Pulled::Gone, Pulled::Entry);
    };
    match status.as_u16() {
        100 => Pulled::Heartbeat,
        // No messages, the end of its time, enough bytes or enough messages.
        404 | 408 => Pulled::PullOver { left: left(message.headers.as_ref()) },
        409 if says(message, "MaxBytes") || says(message, "Batch Completed") => {
            Pulled::PullOver { left: left(message.headers.as_ref()) }
        }
        // Deleted, a change of leader, a shutdown, no responders.
        _ => Pulled::Gone,
    }
}

fn says(message: &Message, text: &str) -> bool {
    message.description.as_deref().is_some_and(|said| said.contains(text))
}

fn left(headers: Option<&HeaderMap>) -> u64 {
    let value = headers.and_then(|headers| headers.get("Nats-Pending-Messages"));
    // Without a number nothing more comes of it.
    value.and_then(|value| value.as_str().parse().ok()).unwrap_or(u64::MAX)
}

/// Reads `$JS.ACK.STREAM.CONSUMER.TIMES.SEQUENCE.DELIVERY.TIME_NS.PENDING`, or the form of eleven and more parts that names domain and account
/// before the stream.
fn place(subject: &str) -> Option<Place> {
    let parts: Vec<&str> = subject.split('.').collect();
    let from = match parts.len() {
        9 => 4,
        11.. => 6,
        _ => return None,
    };
    if parts[..2] != ["$JS", "ACK"] {
        return None;
    }
    let time_ns: u64 = parts.get(from + 3)?.parse().ok()?;
    Some(Place {
        sequence: parts.get(from + 1)?.parse().ok()?,
        delivery: parts.get(from + 2)?.parse().ok()?,
        time_ms: i64::try_from(time_ns / 1_000_000).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use async_nats::StatusCode;
    use bytes::Bytes;

    use super::*;

    fn notice(status: u16, description: &str, headers: &[(&'static str, &str)]) -> Pulled {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| map.insert(*name, *value));
        pulled(&Message {
            subject: "_INBOX.delivery.1".into(),
            reply: None,
            payload: Bytes::new(),
            headers: Some(map),
            status: StatusCode::from_u16(status).ok(),
            description: Some(description.to_owned()),
            length: 0,
        })
    }

    #[test]
    fn the_place_is_read_from_either_form() {
        let expected = Place { sequence: 17, delivery: 3, time_ms: 1_800_000_000_123 };
        for subject in [
            "$JS.ACK.stream.consumer.1.17.3.1800000000123456789.6",
            "$JS.ACK._.hash.stream.consumer.1.17.3.1800000000123456789.6",
            "$JS.ACK.domain.hash.stream.consumer.1.17.3.1800000000123456789.6.token",
        ] {
            assert_eq!(place(subject).as_ref(), Some(&expected), "{subject}");
        }
        for subject in ["", "$JS.ACK.a.b.1.x.3.4.0", "$JS.NAK.a.b.1.2.3.4.0", "$JS.ACK.a.b.1.2.3.4"] {
            assert_eq!(place(subject), None, "{subject}");
        }
    }

    #[test]
    fn notices_say_whether_the_consumer_is_there() {
        assert_eq!(notice(100, "Idle Heartbeat", &[]), Pulled::Heartbeat);
        let over =
            notice(408, "Request Timeout", &[("Nats-Pending-Messages", "5"), ("Nats-Pending-Bytes", "9")]);
        assert_eq!(over, Pulled::PullOver { left: 5 });
        assert_eq!(notice(409, "Batch Completed", &[]), Pulled::PullOver { left: u64::MAX });
        assert_eq!(
            notice(409, "Message Size Exceeds MaxBytes", &[("Nats-Pending-Messages", "2")]),
            Pulled::PullOver { left: 2 }
        );
        for description in ["Consumer Deleted", "Leadership Change", "Server Shutdown"] {
            assert_eq!(notice(409, description, &[]), Pulled::Gone, "{description}");
        }
        assert_eq!(notice(503, "No Responders", &[]), Pulled::Gone);
    }
}
