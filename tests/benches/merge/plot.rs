//! A plot as an SVG image: points over time, the ordinate logarithmic.

use std::fmt::Write as _;

/// A series of points.
pub(crate) struct Series<'a> {
    /// Its name and colour.
    pub(crate) name: &'a str,
    /// Its colour.
    pub(crate) colour: &'a str,
    /// The greatest value of each column.
    pub(crate) columns: &'a [f64],
}

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 50.0;

/// Draws the series; the abscissa goes from 0 to `last` of `unit`.
pub(crate) fn draw(title: &str, unit: &str, last: u64, series: &[Series<'_>]) -> String {
    let all = || series.iter().flat_map(|series| series.columns.iter().copied());
    let most = all().fold(1.0_f64, f64::max).log10().ceil();
    let least = all().filter(|&value| value > 0.0).fold(f64::MAX, f64::min).log10().floor();
    let least = least.min(most - 1.0);
    let y = |value: f64| {
        let share = (value.max(1e-9).log10().max(least) - least) / (most - least);
        TOP + HEIGHT * (1.0 - share)
    };
    let mut svg = String::new();
    let (all_width, all_height) = (WIDTH + LEFT + 30.0, HEIGHT + TOP + 60.0);
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {all_width} {all_height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"16\">{title}</text>\n"
    );
    for power in least as i32..=most as i32 {
        let at = y(10_f64.powi(power));
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\" stroke=\"#ddd\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{} us</text>\n",
            LEFT + WIDTH,
            LEFT - 6.0,
            at + 4.0,
            10_f64.powi(power),
        );
    }
    for (index, series) in series.iter().enumerate() {
        let step = WIDTH / series.columns.len().max(1) as f64;
        let mut points = String::new();
        for (column, &value) in series.columns.iter().enumerate() {
            let _ = write!(points, "{:.1},{:.1} ", LEFT + step * column as f64, y(value));
        }
        let colour = series.colour;
        let _ = write!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1\"/>\n\
             <text x=\"{}\" y=\"40\" fill=\"{colour}\">{}</text>\n",
            LEFT + 260.0 * index as f64,
            series.name,
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{last} {unit}</text>\n</svg>\n",
        LEFT + WIDTH,
        TOP + HEIGHT + 24.0,
    );
    svg
}
