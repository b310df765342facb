//! Tables for people, JSON for programs.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::measure::{Figure, RATE, medians};
use crate::workloads::{Column, Scale, Table};

/// The column that others are compared with, where a table has it.
const YARDSTICK: &str = "device";

/// Width of the labels.
const LABEL_CHARS: usize = 28;

/// One table: a line per figure, a column per store, medians over the rounds.
#[must_use]
pub fn text(table: &Table) -> String {
    let columns: Vec<(&str, Vec<Figure>)> =
        table.columns.iter().map(|column| (column.name, medians(&column.rounds))).collect();
    let width = columns.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(12) + 2;
    let mut out = format!("\n{}: {}\n", table.workload, table.title);
    let _ = write!(out, "{:LABEL_CHARS$}", "");
    for (name, _) in &columns {
        let _ = write!(out, "{name:>width$}");
    }
    out.push('\n');
    let lines = columns.iter().map(|(_, figures)| figures.len()).max().unwrap_or(0);
    for line in 0..lines {
        let label =
            columns.iter().find_map(|(_, figures)| figures.get(line)).map_or("", |f| f.label);
        let _ = write!(out, "{label:LABEL_CHARS$}");
        for (_, figures) in &columns {
            let cell = figures.get(line).map_or_else(|| "-".to_owned(), |f| number(f.value));
            let _ = write!(out, "{cell:>width$}");
        }
        out.push('\n');
    }
    if let Some(line) = of_yardstick(&columns, width) {
        out.push_str(&line);
    }
    for note in &table.notes {
        let _ = writeln!(out, "  {note}");
    }
    out
}

/// Each column's rate as a share of the bare device's.
fn of_yardstick(columns: &[(&str, Vec<Figure>)], width: usize) -> Option<String> {
    let rate = |figures: &[Figure]| figures.iter().find(|f| f.label == RATE).map(|f| f.value);
    let (_, yardstick) = columns.iter().find(|(name, _)| *name == YARDSTICK)?;
    let yardstick = rate(yardstick)?;
    let mut line = format!("{:LABEL_CHARS$}", "of the device, %");
    for (_, figures) in columns {
        let share = rate(figures)? / yardstick * 100.0;
        let _ = write!(line, "{share:>width$.0}");
    }
    line.push('\n');
    Some(line)
}

/// Three digits or more, thousands apart.
pub fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 1_000.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let mut out = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    out.push(',');
                }
                out.push(digit);
            }
            out
        }
    }
}

/// Everything, with every round.
#[must_use]
pub fn json(host: &str, clock_ns: f64, scale: &Scale, tables: &[Table]) -> Value {
    json!({
        "host": host,
        "clock_ns": clock_ns,
        "rounds": scale.rounds,
        "cache_bytes": scale.cache_bytes,
        "tables": tables.iter().map(table_json).collect::<Vec<_>>(),
    })
}

fn table_json(table: &Table) -> Value {
    json!({
        "workload": table.workload,
        "title": table.title,
        "notes": table.notes,
        "columns": table.columns.iter().map(column_json).collect::<Vec<_>>(),
    })
}

fn column_json(column: &Column) -> Value {
    json!({
        "name": column.name,
        "median": figures_json(&medians(&column.rounds)),
        "rounds": column.rounds.iter().map(|round| figures_json(round)).collect::<Vec<_>>(),
    })
}

fn figures_json(figures: &[Figure]) -> Value {
    let pairs = figures.iter().map(|figure| (figure.label.to_owned(), json!(figure.value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::{number, text};
    use crate::measure::{Figure, RATE};
    use crate::workloads::{BY_RATE, Column, Standing, Table};

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!(number(1_234_567.2), "1,234,567");
        assert_eq!(number(999.94), "999.9");
        assert_eq!(number(1.5), "1.50");
    }

    #[test]
    fn a_table_shows_medians_and_shares_of_the_device() {
        let column = |name, rates: [f64; 3]| Column {
            name,
            standing: Standing::Peer,
            rounds: rates.map(|value| vec![Figure { label: RATE, value }]).to_vec(),
        };
        let table = Table {
            workload: "durable",
            row: String::new(),
            title: "title".to_owned(),
            headlines: BY_RATE,
            timelines: Vec::new(),
            notes: Vec::new(),
            columns: vec![column("device", [9.0, 1_000.0, 2_000.0]), column("store", [500.0; 3])],
        };
        let text = text(&table);
        assert!(text.contains("1,000"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("of the device") && line.ends_with("50")));
    }
}
