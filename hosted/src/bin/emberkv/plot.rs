//! Latency over time as a picture: one panel for each phase, time to the right, microseconds
//! upwards by powers of ten.

use std::fmt::Write as _;
use std::time::Duration;

use crate::latency::{Course, MOMENTS};

const LEFT: f64 = 70.0;
const PANEL_WIDTH: f64 = 960.0;
const PANEL_HEIGHT: f64 = 150.0;
const GAP: f64 = 44.0;
/// The lowest and the highest line: 0.1 microseconds and one second.
const DECADES: (i32, i32) = (-1, 6);

/// Height above the panel's lower edge.
fn height(length: Duration) -> f64 {
    let micros = (length.as_secs_f64() * 1e6).max(1e-9);
    let (low, high) = (f64::from(DECADES.0), f64::from(DECADES.1));
    ((micros.log10() - low) / (high - low)).clamp(0.0, 1.0) * PANEL_HEIGHT
}

/// The picture.
pub(crate) fn svg(phases: &[(&str, &Course)]) -> String {
    let total = GAP + phases.len() as f64 * (PANEL_HEIGHT + GAP);
    let width = LEFT + PANEL_WIDTH + 20.0;
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(
        text,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>"#
    );
    for (index, (name, course)) in phases.iter().enumerate() {
        let top = GAP + index as f64 * (PANEL_HEIGHT + GAP);
        panel(&mut text, name, course, top);
    }
    text.push_str("</svg>\n");
    text
}

fn panel(text: &mut String, name: &str, course: &Course, top: f64) {
    let base = top + PANEL_HEIGHT;
    let _ = writeln!(
        text,
        r#"<text x="{LEFT}" y="{:.0}">{name}: longest (dark) and mean (light) of each moment</text>"#,
        top - 8.0
    );
    for decade in DECADES.0..=DECADES.1 {
        let y = base - height(Duration::from_secs_f64(10_f64.powi(decade) / 1e6));
        let label = match decade {
            ..=2 => format!("{} us", 10_f64.powi(decade)),
            3..=5 => format!("{} ms", 10_f64.powi(decade - 3)),
            _ => format!("{} s", 10_f64.powi(decade - 6)),
        };
        let _ = writeln!(
            text,
            r##"<path d="M{LEFT} {y:.1}h{PANEL_WIDTH}" stroke="#ddd"/><text x="{:.0}" y="{:.1}" text-anchor="end">{label}</text>"##,
            LEFT - 6.0,
            y + 4.0
        );
    }
    let step = PANEL_WIDTH / MOMENTS as f64;
    let (mut longest, mut mean) = (String::new(), String::new());
    for (index, moment) in course.moments.iter().enumerate() {
        let Some(middle) = moment.mean() else { continue };
        let x = LEFT + (index as f64 + 0.5) * step;
        let (high, low) = (base - height(moment.longest), base - height(middle));
        let _ = write!(longest, "M{x:.1} {high:.1}v{:.1}", (low - high).max(0.5));
        let _ = write!(mean, "{}{x:.1} {low:.1}", if mean.is_empty() { 'M' } else { 'L' });
    }
    let _ = writeln!(text, r##"<path d="{longest}" stroke="#345" stroke-width="{step:.1}"/>"##);
    let _ = writeln!(text, r##"<path d="{mean}" stroke="#6ad" fill="none"/>"##);
}

#[cfg(test)]
mod tests {
    use super::{PANEL_HEIGHT, height, svg};
    use crate::latency::Course;
    use std::time::Duration;

    #[test]
    fn heights_grow_by_decades_and_stay_in_the_panel() {
        let step = height(Duration::from_millis(1)) - height(Duration::from_micros(100));
        assert!((step - PANEL_HEIGHT / 7.0).abs() < 1e-6);
        assert!(height(Duration::from_secs(100)) <= PANEL_HEIGHT);
        assert!(height(Duration::ZERO) >= 0.0);
    }

    #[test]
    fn a_phase_without_operations_is_an_empty_panel() {
        let course = Course::new(Duration::from_secs(1));
        let picture = svg(&[("put", &course)]);
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(picture.contains(r#"<path d="" "#));
    }
}
