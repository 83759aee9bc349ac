//! Draws a plot as SVG: lines with points, axes with round ticks, a legend. Nothing but text comes in or goes out.

use std::fmt::Write;

use crate::section::{Axis, Plot};
use crate::stats::short;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 54.0;
const LEGEND_LINE: f64 = 18.0;

/// Colours that can be told apart with colour blindness too (Okabe and Ito); in print the marks tell them apart.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d1f"];

/// Draws the plot as an SVG document.
pub fn svg(plot: &Plot) -> String {
    let legend = plot.series.len() as f64 * LEGEND_LINE;
    let x = scale(plot, 0, &plot.x);
    let y = scale(plot, 1, &plot.y);
    let height = HEIGHT + legend;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>{0}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\" font-weight=\"bold\" fill=\"#222\">{0}</text>\n",
        escape(&plot.title)
    );
    axes(&mut svg, plot, &x, &y);
    for (number, series) in plot.series.iter().enumerate() {
        let points = series.points.iter().filter(|point| x.shows(point[0]) && y.shows(point[1]));
        let points: Vec<_> = points.map(|point| (across(x.share(point[0])), up(y.share(point[1])))).collect();
        line(&mut svg, number, &points);
        name(&mut svg, number, &series.name);
    }
    svg + "</svg>\n"
}

fn across(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn up(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}

fn axes(svg: &mut String, plot: &Plot, x: &Scale, y: &Scale) {
    let right = WIDTH - RIGHT;
    let floor = HEIGHT - BOTTOM;
    for tick in x.ticks() {
        let at = across(x.share(tick));
        put(
            svg,
            &format!(
                "<path d=\"M{at:.1} {TOP}V{floor}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444\">{}</text>\n",
                floor + 16.0,
                short(tick)
            ),
        );
    }
    for tick in y.ticks() {
        let at = up(y.share(tick));
        put(
            svg,
            &format!(
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{}</text>\n",
                LEFT - 6.0,
                at + 4.0,
                short(tick)
            ),
        );
    }
    put(svg, &format!("<path d=\"M{LEFT} {TOP}V{floor}H{right}\" fill=\"none\" stroke=\"#444\"/>\n"));
    put(
        svg,
        &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222\">{}</text>\n",
            (LEFT + right) / 2.0,
            floor + 36.0,
            escape(&labelled(&plot.x))
        ),
    );
    put(
        svg,
        &format!(
            "<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\" fill=\"#222\">{}</text>\n",
            (TOP + floor) / 2.0,
            escape(&labelled(&plot.y))
        ),
    );
}

fn labelled(axis: &Axis) -> String {
    if axis.log { format!("{} (logarithmic)", axis.label) } else { axis.label.clone() }
}

fn line(svg: &mut String, number: usize, points: &[(f64, f64)]) {
    let colour = COLOURS[number % COLOURS.len()];
    let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    put(
        svg,
        &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            path.join(" ")
        ),
    );
    for &(x, y) in points {
        mark(svg, number, x, y);
    }
}

/// Draws a circle, square or diamond.
fn mark(svg: &mut String, number: usize, x: f64, y: f64) {
    let colour = COLOURS[number % COLOURS.len()];
    let shape = match number % 3 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\""),
        1 => format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"", x - 4.0, y - 4.0),
        _ => format!("<path d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\"", y - 5.0),
    };
    put(svg, &format!("{shape} fill=\"{colour}\"/>\n"));
}

fn name(svg: &mut String, number: usize, name: &str) {
    let y = HEIGHT + number as f64 * LEGEND_LINE - 4.0;
    mark(svg, number, LEFT + 6.0, y - 4.0);
    put(svg, &format!("<text x=\"{}\" y=\"{y:.1}\" fill=\"#222\">{}</text>\n", LEFT + 18.0, escape(name)));
}

fn put(svg: &mut String, text: &str) {
    svg.write_str(text).expect("a string takes all that is written to it");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Places of values along an axis.
#[derive(Debug, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    /// Distance from one tick to the next; not used if the axis is logarithmic.
    step: f64,
    log: bool,
}

/// Makes an axis that shows all values of one coordinate: from 0, or over whole decades.
fn scale(plot: &Plot, coordinate: usize, axis: &Axis) -> Scale {
    let values = plot.series.iter().flat_map(|series| &series.points).map(|point| point[coordinate]);
    Scale::over(values, axis.log)
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let shown = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (low, high) =
            shown.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        match log {
            _ if high <= 0.0 => Self { low: if log { 0.1 } else { 0.0 }, high: 1.0, step: 0.2, log },
            true => decades(low, high),
            false => {
                let step = step(high);
                Self { low: 0.0, high: (high / step - 1e-9).ceil() * step, step, log }
            }
        }
    }

    fn shows(&self, value: f64) -> bool {
        value.is_finite() && (!self.log || value > 0.0)
    }

    fn share(&self, value: f64) -> f64 {
        match self.log {
            true => (value / self.low).log10() / (self.high / self.low).log10(),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.log {
            return (0..=(self.high / self.step).round() as i32).map(|n| f64::from(n) * self.step).collect();
        }
        let decades = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        // Few decades leave room for steps in between.
        let steps: &[f64] = if self.high / self.low > 1e3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let ticks = decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        ticks.filter(|tick| *tick >= self.low * 0.999 && *tick <= self.high * 1.001).collect()
    }
}

/// Makes a scale from the round value below to the round value above: 1, 2 or 5 times a power of ten.
fn decades(low: f64, high: f64) -> Scale {
    let low = steps(low).into_iter().rev().find(|step| *step <= low * 1.001).unwrap_or(low);
    let high = steps(high).into_iter().find(|step| *step >= high * 0.999).unwrap_or(high);
    Scale { low, high: if high > low { high } else { low * 10.0 }, step: 1.0, log: true }
}

/// Round values in the decade of a value.
fn steps(value: f64) -> [f64; 4] {
    let decade = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * decade)
}

/// Finds a round step, so that there are 4 to 10 of them up to `high`.
fn step(high: f64) -> f64 {
    let decade = 10_f64.powf((high / 4.0).log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|step| step * decade);
    steps.into_iter().find(|step| high / step >= 4.0).unwrap_or(decade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::Series;

    fn plot(points: &[[f64; 2]], log: bool) -> Plot {
        Plot {
            title: "Stored & lost".into(),
            x: Axis { label: "offered/s".into(), log },
            y: Axis { label: "stored/s".into(), log: false },
            series: vec![Series { name: "a < b".into(), points: points.to_vec() }],
        }
    }

    #[test]
    fn ticks_are_round() {
        let check = |values: &[f64], log, want: &[f64]| {
            let ticks = Scale::over(values.iter().copied(), log).ticks();
            let same = |(one, other): (&f64, &f64)| (one - other).abs() <= 1e-9 * other.abs();
            assert!(ticks.len() == want.len() && ticks.iter().zip(want).all(same), "{values:?}: {ticks:?}");
        };
        check(&[3.0, 968.0], false, &[0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        check(&[0.07], false, &[0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]);
        check(&[1.0, 2.0, 4.0, 8.0], true, &[1.0, 2.0, 5.0, 10.0]);
        check(&[5e3, 2.4e6], true, &[5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6]);
        check(&[10.0, 1e6], true, &[10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
        check(&[], false, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(&[], true, &[0.1, 0.2, 0.5, 1.0]);
        check(&[7.0], true, &[5.0, 10.0]);
    }

    #[test]
    fn every_point_lies_within_the_axes() {
        for log in [false, true] {
            let svg = svg(&plot(&[[5e3, 5e3], [1e5, 1e5], [2.4e6, 9.7e5]], log));
            let line = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
            let points: Vec<(f64, f64)> = line
                .split(' ')
                .map(|point| point.split_once(',').unwrap())
                .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
                .collect();
            assert_eq!(points.len(), 3);
            for (x, y) in points {
                assert!(
                    (LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y),
                    "{x} {y}"
                );
            }
        }
    }

    #[test]
    fn leaves_out_what_cannot_be_shown() {
        let svg = svg(&plot(&[[0.0, 1.0], [f64::NAN, 1.0], [10.0, 5.0]], true));
        assert_eq!(svg.matches("<circle").count(), 2, "one point and its name in the legend");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn texts_cannot_break_the_document() {
        let svg = svg(&plot(&[[1.0, 1.0]], false));
        assert!(svg.contains("Stored &amp; lost") && svg.contains("a &lt; b"));
    }
}
