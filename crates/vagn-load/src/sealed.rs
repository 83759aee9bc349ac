//! Reports in envelopes, each sealed by the key of its vehicle.

use std::path::Path;
use std::time::Duration;

use vagn_seal::Lane;
use vagn_wire::decode;

use crate::keys::Keys;
use crate::sequences::Sequences;
use crate::source::{Next, Source};
use crate::trace::TraceError;
use crate::wrapping::{SealError, Wrapping};

/// Form in which an envelope is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A datagram by itself.
    Datagram,
    /// A msgpack `bin`, in a stream.
    Bin,
}

/// Keys, and the sequences that they used.
pub struct Sealing {
    keys: Keys,
    sequences: Sequences,
    /// Key of the report that was sealed last.
    last: Option<usize>,
}

impl Sealing {
    /// Reads a key file, and begins sequences above `now_ms` and what is kept beside it.
    ///
    /// # Errors
    /// When it cannot be read, or the sequences cannot be kept.
    pub fn open(key_file: &Path, now_ms: u64) -> Result<Self, SealError> {
        let keys = Keys::read(key_file)?;
        let sequences = Sequences::open(key_file, keys.len(), now_ms)?;
        Ok(Self { keys, sequences, last: None })
    }

    /// Returns the keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Appends an envelope with this report to `out`.
    ///
    /// # Errors
    /// When no key speaks for its vehicle, or the sequence cannot be kept.
    pub fn seal(&mut self, report: &[u8], lane: Lane, out: &mut Vec<u8>) -> Result<(), SealError> {
        let vehicle_id = decode(report).map_err(SealError::NoReport)?.vehicle_id;
        let key = self.keys.of(vehicle_id).ok_or_else(|| SealError::NoKey(vehicle_id.as_str().into()))?;
        self.last = Some(key);
        self.keys.get(key).seal(self.sequences.take(key)?, report, lane, out);
        Ok(())
    }

    /// Returns an envelope with this report, in the form in which it is sent.
    ///
    /// # Errors
    /// When no key speaks for its vehicle, or the sequence cannot be kept.
    pub fn seal_framed(&mut self, report: &[u8], lane: Lane, framing: Framing) -> Result<Vec<u8>, SealError> {
        let (mut envelope, mut framed) = (Vec::new(), Vec::new());
        self.seal(report, lane, &mut envelope)?;
        frame(&envelope, framing, &mut framed);
        Ok(framed)
    }
}

impl Wrapping for Sealing {
    fn wrap(&mut self, report: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut datagram = Vec::new();
        self.seal(report, Lane::Call, &mut datagram)?;
        Ok(datagram)
    }

    fn unwrap(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let opened = self.keys.get(self.last?).open_answer(datagram);
        opened.ok().map(|(_, answer)| answer)
    }
}

/// A source whose reports are sealed. Those of a vehicle without a key are left out and counted.
pub struct Sealed<'a, S> {
    source: &'a mut S,
    sealing: Sealing,
    framing: Framing,
    report: Vec<u8>,
    envelope: Vec<u8>,
    keyless: Keyless,
}

/// Reports that were left out, because no key speaks for their vehicles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyless {
    /// Number of them.
    pub reports: u64,
    /// Vehicle of the first one.
    pub first: Option<Box<str>>,
}

impl<'a, S: Source> Sealed<'a, S> {
    /// Seals what `source` gives.
    pub fn new(source: &'a mut S, sealing: Sealing, framing: Framing) -> Self {
        Self { source, sealing, framing, report: vec![], envelope: vec![], keyless: Keyless::default() }
    }

    /// Reports so far that were left out.
    pub fn keyless(&self) -> &Keyless {
        &self.keyless
    }

    /// Seals the report that was given last; false when its vehicle has no key.
    fn seal(&mut self, lane: Lane) -> Result<bool, SealError> {
        self.envelope.clear();
        match self.sealing.seal(&self.report, lane, &mut self.envelope) {
            Err(SealError::NoKey(vehicle_id)) => {
                self.keyless.reports += 1;
                self.keyless.first.get_or_insert(vehicle_id);
                Ok(false)
            }
            sealed => sealed.map(|()| true),
        }
    }
}

impl<S: Source> Source for Sealed<'_, S> {
    fn next(&mut self, elapsed: Duration, out: &mut Vec<u8>) -> Result<Next, TraceError> {
        loop {
            self.report.clear();
            let next = self.source.next(elapsed, &mut self.report)?;
            let Next::Report { emergency } = next else { return Ok(next) };
            if self.seal(if emergency { Lane::Call } else { Lane::Ordinary })? {
                frame(&self.envelope, self.framing, out);
                return Ok(next);
            }
        }
    }

    fn total(&self) -> Option<u64> {
        self.source.total()
    }
}

/// Appends an envelope in the form in which it is sent.
fn frame(envelope: &[u8], framing: Framing, out: &mut Vec<u8>) {
    let len = u16::try_from(envelope.len()).expect("a report is at most some hundred bytes long");
    match (framing, u8::try_from(len)) {
        (Framing::Datagram, _) => {}
        (Framing::Bin, Ok(len)) => out.extend([0xc4, len]),
        (Framing::Bin, Err(_)) => {
            out.push(0xc5);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend_from_slice(envelope);
}

#[cfg(test)]
mod tests {
    use vagn_seal::{Envelope, Epoch, KeyId, KeyInForce, KeyTable, Secret, Speaker};
    use vagn_wire::{Position, Report, VehicleId, encode};

    use super::*;
    use crate::keys::tests::line;

    /// Reports of these vehicles, the first of them an alarm.
    struct Reports(Vec<&'static str>);

    impl Source for Reports {
        fn next(&mut self, _: Duration, out: &mut Vec<u8>) -> Result<Next, TraceError> {
            let Some(id) = self.0.pop() else { return Ok(Next::End) };
            let emergency = id == "bus-7";
            let report = Report::new(VehicleId::new(id).unwrap(), Position::new(59.3, 18.1).unwrap());
            encode(&Report { emergency, ..report }, out);
            Ok(Next::Report { emergency })
        }

        fn total(&self) -> Option<u64> {
            None
        }
    }

    fn sealing(dir: &Path) -> Sealing {
        let file = dir.join("keys");
        std::fs::write(&file, line("\"vehicle_id\":\"bus-7\"", 7) + &line("\"vehicle_id\":\"bus-8\"", 8))
            .unwrap();
        Sealing::open(&file, 1_000).unwrap()
    }

    fn table() -> KeyTable {
        let table = KeyTable::default();
        for (number, id) in [(7, "bus-7"), (8, "bus-8")] {
            let speaker = Speaker::Vehicle(VehicleId::new(id).unwrap());
            let epochs = [(Epoch::FIRST, Secret([number; 32]))];
            table.put(&KeyInForce { key_id: KeyId([number; 8]), speaker, epochs: &epochs });
        }
        table
    }

    #[test]
    fn seals_each_report_by_the_key_of_its_vehicle() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = Reports(vec!["bus-8", "tram", "bus-7", "bus-8"]);
        let mut sealed = Sealed::new(&mut source, sealing(dir.path()), Framing::Datagram);
        let (table, mut seen, mut buffer) = (table(), Vec::new(), Vec::new());
        loop {
            let mut out = Vec::new();
            let Next::Report { emergency } = sealed.next(Duration::ZERO, &mut out).unwrap() else { break };
            assert_eq!(out.last() == Some(&0xc3), emergency);
            let opened = table.open(&out, &mut buffer).unwrap();
            let own = table.may_speak(opened.key_id, decode(opened.reports).unwrap().vehicle_id);
            seen.push((opened.sequence, emergency, own));
        }
        assert_eq!(seen, [(1_001, false, true), (1_001, true, true), (1_002, false, true)]);
        assert_eq!(*sealed.keyless(), Keyless { reports: 1, first: Some("tram".into()) });
    }

    #[test]
    fn an_envelope_in_a_stream_is_the_content_of_a_bin() {
        let check = |len: usize, want: &[u8]| {
            let mut out = Vec::new();
            frame(&vec![7; len], Framing::Bin, &mut out);
            assert_eq!((&out[..want.len()], out.len()), (want, want.len() + len));
        };
        check(100, &[0xc4, 100]);
        check(255, &[0xc4, 255]);
        check(256, &[0xc5, 1, 0]);
    }

    #[test]
    fn opens_only_sealed_answers_to_the_key_that_asked() {
        let dir = tempfile::tempdir().unwrap();
        let mut sealing = sealing(dir.path());
        let (table, mut report) = (table(), Vec::new());
        Reports(vec!["bus-7"]).next(Duration::ZERO, &mut report).unwrap();
        let datagram = sealing.wrap(&report).unwrap();
        assert_eq!(Envelope::parse(&datagram).unwrap().lane, Lane::Call);
        let answer = |number| {
            let mut out = Vec::new();
            assert!(table.seal_answer(KeyId([number; 8]), Epoch::FIRST, 5, b"\x80", &mut out));
            out
        };
        assert_eq!(sealing.unwrap(&answer(7)), Some(b"\x80".to_vec()));
        assert_eq!(sealing.unwrap(&answer(8)), None);
        assert_eq!(sealing.unwrap(b"\x80"), None);
    }
}
