//! Reading the text format of Prometheus: `name{label="value"} 1.5`, one sample per line.
//!
//! Only as much of it as this service writes: label values hold neither commas nor escaped quotes.

/// One value of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// Name of the metric, with its suffix.
    pub name: &'a str,
    /// Value of the metric at that time.
    pub value: f64,
    labels: &'a str,
}

impl<'a> Sample<'a> {
    /// Returns the value of a label.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.labels.split(',');
        pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
    }

    /// Returns the value as a count: no fraction, not negative.
    pub fn count(&self) -> u64 {
        self.value as u64
    }

    fn read(line: &'a str) -> Option<Self> {
        let (series, rest) = line.split_once("} ").or_else(|| line.split_once(' '))?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let value = rest.split(' ').next()?.parse().ok()?;
        (name != "#").then_some(Self { name, value, labels })
    }
}

/// Reads all samples of a page. Comments and lines that cannot be read are skipped.
pub fn samples(page: &str) -> impl Iterator<Item = Sample<'_>> {
    page.lines().filter_map(Sample::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_samples_and_skips_the_rest() {
        let page = "# TYPE a counter\n# 5\na_total 5\nb{x=\"one or two\",y=\"/\"} 0.25 1700000000\nc{} NaN\nnoise\n# EOF\n";
        let read: Vec<_> = samples(page).map(|sample| (sample.name, sample.value.to_string())).collect();
        assert_eq!(read, [("a_total", "5".to_owned()), ("b", "0.25".to_owned()), ("c", "NaN".to_owned())]);
    }

    #[test]
    fn finds_a_label_by_its_whole_name() {
        let sample = samples("a{fate_x=\"1\",fate=\"stored\"} 7").next().unwrap();
        assert_eq!((sample.label("fate"), sample.label("ate"), sample.count()), (Some("stored"), None, 7));
    }
}
