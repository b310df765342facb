//! Tables and latencies over time as SVG files: bars and lines, written as text.
//!
//! A table becomes one file with a panel of bars per headline; a store's latencies over time become
//! one file with a logarithmic axis, so that a pause of the store is seen beside its usual puts.

use std::fmt::Write;
use std::path::Path;

use crate::closing::median;
use crate::peer::Outcome;
use crate::report::number;
use crate::workloads::{Better, Headline, Slice, Standing, Table, Timeline};

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 16.0;
/// Room for the names left of the bars, or for the axis.
const NAMES: f64 = 140.0;
/// Room for the numbers right of the bars.
const NUMBERS: f64 = 110.0;
const LINE: f64 = 22.0;
const CURVES: f64 = 300.0;

/// Latencies that the axis reaches from and to, as powers of ten of a microsecond: 0.1 us to 1 s.
const DECADES: [i32; 2] = [-1, 6];

/// Writes the files of all tables; the directory is made if need be, older files of the same names
/// are replaced.
///
/// # Errors
/// Those of the file system.
pub fn write(directory: &Path, tables: &[Table]) -> Outcome<()> {
    std::fs::create_dir_all(directory)?;
    for table in tables {
        let name = slug(&format!("{}-{}", table.workload, table.row));
        std::fs::write(directory.join(format!("{name}.svg")), bars(table))?;
        let slowest = table.timelines.iter().flat_map(|line| &line.slices);
        let end_ms = slowest.map(|slice| slice.end_ms).fold(1.0, f64::max);
        for timeline in &table.timelines {
            let file = format!("{name}-{}-latency.svg", timeline.name);
            std::fs::write(directory.join(file), curves(table, timeline, end_ms))?;
        }
    }
    Ok(())
}

/// Letters and digits, with single hyphens for the rest.
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn picture(height: f64, title: &str, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"14\">{}</text>\n{body}</svg>\n",
        escape(title)
    )
}

fn bars(table: &Table) -> String {
    let mut body = String::new();
    let mut top = 2.0 * LINE;
    for headline in table.headlines {
        top = panel(&mut body, table, headline, top);
    }
    picture(top, &format!("{}: {}", table.workload, table.title), &body)
}

/// The bars of one headline from `top` down; answers where they end.
fn panel(body: &mut String, table: &Table, headline: &Headline, top: f64) -> f64 {
    let bars: Vec<_> = table
        .columns
        .iter()
        .filter_map(|column| Some((column, median(column, headline.label)?)))
        .collect();
    let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let direction = match headline.better {
        Better::More => "more is better",
        Better::Less => "less is better",
    };
    let _ = writeln!(
        body,
        "<text x=\"{MARGIN}\" y=\"{}\" font-weight=\"bold\">{} ({direction})</text>",
        top + 15.0,
        escape(headline.label)
    );
    let mut y = top + LINE;
    for (column, value) in bars {
        let colour = match column.standing {
            Standing::Ours => "#d9541e",
            Standing::Peer => "#4a7ba6",
            Standing::Apart => "#b9c9d8",
            Standing::Bare => "#999999",
        };
        let length = value / most * (WIDTH - NAMES - NUMBERS);
        let base = y + 14.0;
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{NAMES}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{base}\">{}</text>",
            NAMES - 6.0,
            escape(column.name),
            LINE - 4.0,
            NAMES + length + 6.0,
            number(value)
        );
        y += LINE;
    }
    y + LINE / 2.0
}

fn curves(table: &Table, timeline: &Timeline, end_ms: f64) -> String {
    let (left, top) = (NAMES / 2.0, 3.0 * LINE);
    let width = WIDTH - left - MARGIN;
    let x = |slice: &Slice| left + slice.end_ms / end_ms * width;
    let [lowest, highest] = DECADES.map(f64::from);
    let y = |micros: f64| {
        let decade = micros.max(1e-3).log10().clamp(lowest, highest);
        top + (highest - decade) / (highest - lowest) * CURVES
    };
    let mut body = String::new();
    for decade in DECADES[0]..=DECADES[1] {
        let at = y(10_f64.powi(decade));
        let label = match decade {
            ..0 => format!("{} us", 10_f64.powi(decade)),
            0..3 => format!("{} us", 10_u32.pow(decade as u32)),
            3..6 => format!("{} ms", 10_u32.pow(decade as u32 - 3)),
            _ => format!("{} s", 10_u32.pow(decade as u32 - 6)),
        };
        let _ = writeln!(
            body,
            "<line x1=\"{left}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            left + width,
            left - 6.0,
            at + 4.0
        );
    }
    type Curve = (&'static str, &'static str, fn(&Slice) -> f64);
    let kinds: [Curve; 3] = [
        ("max", "#d9541e", |slice| slice.max_us),
        ("p99", "#e0a82e", |slice| slice.p99_us),
        ("p50", "#4a7ba6", |slice| slice.p50_us),
    ];
    for (index, (name, colour, value)) in kinds.into_iter().enumerate() {
        let points: Vec<String> = timeline
            .slices
            .iter()
            .map(|slice| format!("{:.1},{:.1}", x(slice), y(value(slice))))
            .collect();
        let _ = writeln!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>\n\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            left + 60.0 * index as f64,
            2.0 * LINE
        );
    }
    let _ = writeln!(
        body,
        "<text x=\"{left}\" y=\"{0}\">0 s</text>\n\
         <text x=\"{1}\" y=\"{0}\" text-anchor=\"end\">{2:.1} s</text>",
        top + CURVES + 18.0,
        left + width,
        end_ms / 1e3
    );
    let title = format!("{}: {}, {}: latency of puts", timeline.name, table.workload, table.row);
    picture(top + CURVES + 1.5 * LINE, &title, &body)
}

#[cfg(test)]
mod tests {
    use super::{slug, write};
    use crate::host::fresh_directory;
    use crate::measure::{Figure, RATE};
    use crate::workloads::{BY_RATE, Column, Slice, Standing, Table, Timeline};

    #[test]
    fn a_table_and_its_timelines_become_files_with_a_bar_or_a_point_for_each_figure() {
        let column = |name, value| Column {
            name,
            standing: Standing::Peer,
            rounds: vec![vec![Figure { label: RATE, value }]],
        };
        let slice = |end_ms| Slice { end_ms, p50_us: 1.0, p99_us: 10.0, max_us: 1e7 };
        let table = Table {
            workload: "work",
            row: "1 thread, <all>".to_owned(),
            title: "a < b & c".to_owned(),
            notes: Vec::new(),
            headlines: BY_RATE,
            columns: vec![column("one", 50.0), column("two", 100.0)],
            timelines: vec![Timeline { name: "one", slices: vec![slice(10.0), slice(20.0)] }],
        };
        let directory = fresh_directory().expect("a temp folder");
        write(&directory.path().join("new"), &[table]).expect("files");
        let read =
            |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("a file");
        let bars = read("new/work-1-thread-all.svg");
        assert!(bars.contains("a &lt; b &amp; c"), "{bars}");
        // 860 - 140 - 110 for the longest.
        assert!(bars.contains("width=\"305.0\"") && bars.contains("width=\"610.0\""), "{bars}");
        let curves = read("new/work-1-thread-all-one-latency.svg");
        assert_eq!(curves.matches("<polyline").count(), 3);
        // Beyond a second the curve stays at the upper edge.
        assert!(curves.contains("844.0,66.0"), "{curves}");
    }

    #[test]
    fn file_names_have_no_odd_characters() {
        assert_eq!(slug("ycsb-A (50 % updates), 2 threads"), "ycsb-a-50-updates-2-threads");
    }
}
