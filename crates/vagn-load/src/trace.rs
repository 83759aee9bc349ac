//! Recorded traces: CSV, plain or compressed with Zstandard, read row by row.
//!
//! Columns are found by name: `vehicle_id`, `timestamp_ms` (since 1970), `lat`, `lon` and, if they are there, `speed_mps` and
//! `heading_deg`; others are skipped. An empty field is unknown. Recorded values are not corrected, with one exception:
//! a speed of 113.995 m/s is 255 mph, a byte of all ones, which many trackers send for "unknown".

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use thiserror::Error;
use vagn_wire::{Position, Report, VehicleId};

/// First bytes of a file compressed with Zstandard (RFC 8878, 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// 255 mph in m/s: not a speed but the byte for "unknown".
const UNKNOWN_SPEED_MPS: f32 = 113.995;

/// Reason why a trace cannot be read, or not further.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// A required column is missing.
    #[error(
        "the first line names no column {0}; expected vehicle_id,timestamp_ms,lat,lon[,speed_mps,heading_deg]"
    )]
    Column(&'static str),
    /// It cannot be read: not CSV, cut off, or damaged.
    #[error("cannot read the trace")]
    Read(#[from] csv::Error),
    /// A report cannot be sealed.
    #[error(transparent)]
    Seal(#[from] crate::wrapping::SealError),
}

/// Rows that are no report, and were skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unusable {
    /// Number of these rows.
    pub rows: u64,
    /// Line of the first one, counted from 1, and its fault.
    pub first: Option<(u64, &'static str)>,
}

/// A trace that is being read.
pub struct Trace {
    reader: csv::Reader<Box<dyn Read + Send>>,
    columns: Columns,
    record: csv::ByteRecord,
    unusable: Unusable,
}

struct Columns {
    vehicle_id: usize,
    timestamp_ms: usize,
    lat: usize,
    lon: usize,
    speed_mps: Option<usize>,
    heading_deg: Option<usize>,
}

impl Trace {
    /// Opens a file. Its first bytes tell if it is compressed.
    ///
    /// # Errors
    /// When it cannot be opened or begins unlike a trace.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let named = |source| TraceError::Open { path: path.to_owned(), source };
        let mut file = BufReader::with_capacity(64 * 1024, File::open(path).map_err(named)?);
        if file.fill_buf().map_err(named)?.starts_with(&ZSTD_MAGIC) {
            Self::new(zstd::stream::read::Decoder::with_buffer(file).map_err(named)?)
        } else {
            Self::new(file)
        }
    }

    /// Reads plain CSV.
    ///
    /// # Errors
    /// When it begins unlike a trace.
    pub fn new(text: impl Read + Send + 'static) -> Result<Self, TraceError> {
        let text: Box<dyn Read + Send> = Box::new(text);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text);
        let columns = Columns::find(reader.byte_headers()?)?;
        Ok(Self { reader, columns, record: csv::ByteRecord::new(), unusable: Unusable::default() })
    }

    /// Reads the next row that is a report, with its time in `event_time_ms`; `None` at the end.
    ///
    /// # Errors
    /// When the trace cannot be read further. A row that is no report is counted and skipped.
    pub fn next_row(&mut self) -> Result<Option<Report<'_>>, TraceError> {
        loop {
            if !self.reader.read_byte_record(&mut self.record)? {
                return Ok(None);
            }
            match self.columns.report(&self.record) {
                Ok(_) => break,
                Err(wrong) => self.skip(wrong),
            }
        }
        // Read again, because a borrow from inside the loop could not leave it.
        Ok(self.columns.report(&self.record).ok())
    }

    /// Rows so far that were no report.
    pub fn unusable(&self) -> &Unusable {
        &self.unusable
    }

    fn skip(&mut self, wrong: &'static str) {
        let line = self.record.position().map_or(0, csv::Position::line);
        self.unusable.rows += 1;
        self.unusable.first.get_or_insert((line, wrong));
    }
}

impl Columns {
    fn find(header: &csv::ByteRecord) -> Result<Self, TraceError> {
        Ok(Self {
            vehicle_id: required(header, "vehicle_id")?,
            timestamp_ms: required(header, "timestamp_ms")?,
            lat: required(header, "lat")?,
            lon: required(header, "lon")?,
            speed_mps: place(header, "speed_mps"),
            heading_deg: place(header, "heading_deg"),
        })
    }

    fn report<'a>(&self, record: &'a csv::ByteRecord) -> Result<Report<'a>, &'static str> {
        let vehicle_id = record.get(self.vehicle_id).unwrap_or_default();
        let vehicle_id = VehicleId::from_bytes(vehicle_id).map_err(|_| "vehicle_id is not an id")?;
        let time_ms = number::<i64>(record, self.timestamp_ms).ok_or("timestamp_ms is not a whole number")?;
        let lat = number(record, self.lat).ok_or("lat is not a number")?;
        let lon = number(record, self.lon).ok_or("lon is not a number")?;
        let position = Position::new(lat, lon).map_err(|_| "lat, lon is not a place on the globe")?;
        Ok(Report {
            event_time_ms: Some(time_ms),
            speed_mps: self.speed_mps.and_then(|place| number(record, place)).filter(is_speed),
            heading_deg: self.heading_deg.and_then(|place| number(record, place)).and_then(heading_deg),
            ..Report::new(vehicle_id, position)
        })
    }
}

fn place(header: &csv::ByteRecord, name: &str) -> Option<usize> {
    header.iter().position(|column| column == name.as_bytes())
}

fn required(header: &csv::ByteRecord, name: &'static str) -> Result<usize, TraceError> {
    place(header, name).ok_or(TraceError::Column(name))
}

fn number<T: std::str::FromStr>(record: &csv::ByteRecord, place: usize) -> Option<T> {
    std::str::from_utf8(record.get(place)?).ok()?.parse().ok()
}

fn heading_deg(heading_deg: f32) -> Option<f32> {
    (0.0..=360.0).contains(&heading_deg).then_some(heading_deg % 360.0)
}

fn is_speed(speed_mps: &f32) -> bool {
    speed_mps.is_finite() && *speed_mps >= 0.0 && (speed_mps - UNKNOWN_SPEED_MPS).abs() > 0.001
}

/// Finds the time of the trace's last row in ms since 1970; `None` when it has no rows. Reads the whole file.
///
/// # Errors
/// As [`Trace::open`] and [`Trace::next_row`].
pub fn last_timestamp_ms(path: &Path) -> Result<Option<i64>, TraceError> {
    let mut trace = Trace::open(path)?;
    let mut last_ms = None;
    while let Some(report) = trace.next_row()? {
        last_ms = last_ms.max(report.event_time_ms);
    }
    Ok(last_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "vehicle_id,timestamp_ms,lat,lon,speed_mps,heading_deg\n";

    fn read(text: String) -> (Vec<String>, Unusable) {
        let mut trace = Trace::new(std::io::Cursor::new(text)).unwrap();
        let mut rows = Vec::new();
        while let Some(report) = trace.next_row().unwrap() {
            rows.push(format!("{} {:?} {:?}", report.vehicle_id, report.speed_mps, report.heading_deg));
        }
        (rows, trace.unusable().clone())
    }

    fn check(row: &str, want: Result<&str, &'static str>) {
        let (rows, unusable) = read(format!("{HEAD}{row}\n"));
        match want {
            Ok(want) => assert_eq!((rows, unusable.rows), (vec![want.to_owned()], 0), "{row}"),
            Err(wrong) => assert_eq!((rows.len(), unusable.first), (0, Some((2, wrong))), "{row}"),
        }
    }

    #[test]
    fn reads_rows_with_and_without_motion() {
        check("bus 1,1,30.2,-97.8,4.5,359", Ok("bus 1 Some(4.5) Some(359.0)"));
        check("bus,-1,30.2,-97.8,,", Ok("bus None None"));
        check("bus,1,30.2,-97.8", Ok("bus None None"));
        check("bus,1,0.0,0.0,0.0,0", Ok("bus Some(0.0) Some(0.0)"));
    }

    #[test]
    fn takes_impossible_values_as_unknown() {
        check("bus,1,30.2,-97.8,113.9952,400", Ok("bus None None"));
        check("bus,1,30.2,-97.8,-3,NaN", Ok("bus None None"));
        check("bus,1,30.2,-97.8,113.9,-1", Ok("bus Some(113.9) None"));
        check("bus,1,30.2,-97.8,,360", Ok("bus None Some(0.0)"));
    }

    #[test]
    fn skips_rows_that_are_no_report_and_names_the_line() {
        check(",1,30.2,-97.8,,", Err("vehicle_id is not an id"));
        check("bus,soon,30.2,-97.8,,", Err("timestamp_ms is not a whole number"));
        check("bus,1,,-97.8,,", Err("lat is not a number"));
        check("bus,1,30.2", Err("lon is not a number"));
        check("bus,1,90.1,-97.8,,", Err("lat, lon is not a place on the globe"));
        check("bus,1,NaN,-97.8,,", Err("lat, lon is not a place on the globe"));
    }

    #[test]
    fn finds_columns_by_name() {
        let (rows, unusable) = read("lon,route,lat,vehicle_id,timestamp_ms\n-97.8,801,30.2,bus,1\n".into());
        assert_eq!((rows.len(), unusable.rows), (1, 0));
        let Err(err) = Trace::new(&b"vehicle_id,lat,lon\n"[..]) else { panic!("there is no time in it") };
        assert!(err.to_string().contains("timestamp_ms"), "{err}");
    }
}
