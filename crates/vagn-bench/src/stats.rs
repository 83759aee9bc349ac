//! Repetitions and distributions, and how they are written.

/// Least, median and most of some repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Least of the values.
    pub min: f64,
    /// Median; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// Most of the values.
    pub max: f64,
}

impl Spread {
    /// Takes the spread of the values; all NaN when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self { min: f64::NAN, median: f64::NAN, max: f64::NAN };
        };
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        Self { min, median, max }
    }

    /// Writes `median (min–max)`, each shown by `show`.
    pub fn show(&self, show: impl Fn(f64) -> String) -> String {
        let [min, median, max] = [self.min, self.median, self.max].map(show);
        if min == max { median } else { format!("{median} ({min}–{max})") }
    }
}

/// Finds the value that `share` (0 to 1) of the values do not exceed; NaN when there are none. Sorts them.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Writes a count with its digits in groups of three: `1 234 567`.
pub fn grouped(count: f64) -> String {
    let digits = format!("{:.0}", count.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    if count < 0.0 && digits != "0" { format!("-{text}") } else { text }
}

/// Writes three digits and a letter for the size: `5 k`, `968 k`, `1.43 M`.
pub fn short(value: f64) -> String {
    let size = value.abs();
    let (scaled, letter) = match size {
        _ if !value.is_finite() => return "–".to_owned(),
        999_500.0.. => (value / 1e6, " M"),
        1000.0.. => (value / 1e3, " k"),
        _ => (value, ""),
    };
    digits(scaled) + letter
}

/// Writes a time in the unit that suits it; given in seconds.
pub fn time(seconds: f64) -> String {
    match seconds.abs() {
        _ if !seconds.is_finite() => "–".to_owned(),
        1.0.. => digits(seconds) + " s",
        1e-3.. => digits(seconds * 1e3) + " ms",
        1e-6.. => digits(seconds * 1e6) + " µs",
        _ => digits(seconds * 1e9) + " ns",
    }
}

/// Writes a share, given from 0 to 1, in per cent.
pub fn percent(share: f64) -> String {
    match share {
        _ if !share.is_finite() => "–".to_owned(),
        0.0 => "0 %".to_owned(),
        0.00..0.00005 => "< 0.01 %".to_owned(),
        _ if share < 0.01 => format!("{:.2} %", share * 100.0),
        _ => format!("{:.1} %", share * 100.0),
    }
}

/// Writes a ratio with two decimals.
pub fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "–".to_owned() }
}

/// Writes three significant digits, without zeros at the end.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        99.95.. => 0,
        9.995.. => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_least_middle_and_most() {
        let check = |values: &[f64], (min, median, max)| {
            assert_eq!(Spread::of(values.iter().copied()), Spread { min, median, max });
        };
        check(&[3.0, 1.0, 2.0], (1.0, 2.0, 3.0));
        check(&[4.0, 1.0, 2.0, 3.0], (1.0, 2.5, 4.0));
        check(&[7.0], (7.0, 7.0, 7.0));
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn shows_the_spread_where_there_is_one() {
        assert_eq!(Spread::of([968e3, 1.01e6, 950e3]).show(short), "968 k (950 k–1.01 M)");
        assert_eq!(Spread::of([5000.0, 5001.0]).show(short), "5 k");
    }

    #[test]
    fn takes_percentiles_by_the_nearest_rank() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let check = |values: &mut [f64], share, want| assert_eq!(percentile(values, share), want);
        check(&mut values, 0.5, 50.0);
        check(&mut values, 0.99, 99.0);
        check(&mut values, 1.0, 100.0);
        check(&mut [5.0], 0.99, 5.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }

    #[test]
    fn writes_numbers_for_people() {
        assert_eq!(grouped(1_234_567.0), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(-1000.0), "-1\u{202f}000");
        assert_eq!(grouped(0.0), "0");
        for (value, want) in [
            (5000.0, "5 k"),
            (968_200.0, "968 k"),
            (1_432_000.0, "1.43 M"),
            (999_700.0, "1 M"),
            (12.0, "12"),
            (0.5, "0.5"),
        ] {
            assert_eq!(short(value), want);
        }
        for (value, want) in
            [(0.8, "800 ms"), (6.0, "6 s"), (150e-6, "150 µs"), (4.2e-9, "4.2 ns"), (0.0006, "600 µs")]
        {
            assert_eq!(time(value), want);
        }
        for (value, want) in
            [(0.0, "0 %"), (0.00001, "< 0.01 %"), (0.0012, "0.12 %"), (0.5, "50.0 %"), (f64::NAN, "–")]
        {
            assert_eq!(percent(value), want);
        }
    }
}
