//! The closing table of a workload: every store beside the best peer.

use std::fmt::Write;

use crate::measure::medians;
use crate::workloads::{Better, Column, Headline, Standing, Table};

/// Width of the labels.
const LABEL_CHARS: usize = 52;

/// Width of a column.
const CELL_CHARS: usize = 16;

/// One line per table and headline. A cell says how many times better than the best peer a store
/// is, whichever way the figure is good; the last column names that peer. Nothing without a peer.
#[must_use]
pub fn text(tables: &[Table]) -> String {
    let mut names: Vec<&str> = Vec::new();
    let columns = tables.iter().flat_map(|table| &table.columns);
    for column in columns.filter(|column| column.standing != Standing::Bare) {
        if !names.contains(&column.name) {
            names.push(column.name);
        }
    }
    let lines: Vec<String> = tables
        .iter()
        .flat_map(|table| table.headlines.iter().map(move |headline| (table, headline)))
        .filter_map(|(table, headline)| line(table, headline, &names))
        .collect();
    let Some(first) = tables.first().filter(|_| !lines.is_empty()) else {
        return String::new();
    };
    let mut out = format!("\n{}, times better than the best peer (> 1: better)\n", first.workload);
    let _ = write!(out, "{:LABEL_CHARS$}", "");
    for name in &names {
        let _ = write!(out, "{name:>CELL_CHARS$}");
    }
    out.push_str("  best peer\n");
    out.extend(lines);
    out
}

/// The median of one figure.
pub fn median(column: &Column, label: &str) -> Option<f64> {
    medians(&column.rounds).iter().find(|figure| figure.label == label).map(|figure| figure.value)
}

fn line(table: &Table, headline: &Headline, names: &[&str]) -> Option<String> {
    let value = |name: &str| {
        let column = table.columns.iter().find(|column| column.name == name)?;
        median(column, headline.label)
    };
    let peers = table.columns.iter().filter(|column| column.standing == Standing::Peer);
    let measured = peers.filter_map(|peer| Some((peer.name, median(peer, headline.label)?)));
    let (best_name, best) = match headline.better {
        Better::More => measured.max_by(|a, b| a.1.total_cmp(&b.1)),
        Better::Less => measured.min_by(|a, b| a.1.total_cmp(&b.1)),
    }?;
    let times = |value: f64| match headline.better {
        Better::More => value / best,
        Better::Less => best / value,
    };
    let mut out = format!("{:LABEL_CHARS$}", format!("{}: {}", table.row, headline.label));
    for name in names {
        let cell =
            value(name).map_or_else(|| "-".to_owned(), |value| format!("{:.2}", times(value)));
        let _ = write!(out, "{cell:>CELL_CHARS$}");
    }
    let _ = writeln!(out, "  {best_name}");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::measure::{Figure, RATE};
    use crate::workloads::{Column, Headline, Standing, Table};

    const HEADLINES: &[Headline] = &[Headline::more(RATE), Headline::less("bytes")];

    fn column(name: &'static str, standing: Standing, rate: f64, bytes: f64) -> Column {
        let figures =
            vec![Figure { label: RATE, value: rate }, Figure { label: "bytes", value: bytes }];
        Column { name, standing, rounds: vec![figures] }
    }

    fn table(columns: Vec<Column>) -> Table {
        Table {
            workload: "work",
            row: "row".to_owned(),
            title: String::new(),
            notes: Vec::new(),
            headlines: HEADLINES,
            columns,
            timelines: Vec::new(),
        }
    }

    #[test]
    fn more_and_less_are_compared_with_the_best_peer_that_promises_as_much() {
        let text = text(&[table(vec![
            column("device", Standing::Bare, 900.0, 0.1),
            column("ours", Standing::Ours, 30.0, 2.0),
            column("slow", Standing::Peer, 10.0, 3.0),
            column("cheat", Standing::Apart, 99.0, 0.5),
        ])]);
        let cells = |line: usize| {
            text.lines().nth(line).expect("a line").split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!(cells(2), ["ours", "slow", "cheat", "best", "peer"]);
        assert_eq!(cells(3), ["row:", "ops/s", "3.00", "1.00", "9.90", "slow"]);
        assert_eq!(cells(4), ["row:", "bytes", "1.50", "1.00", "6.00", "slow"]);
    }

    #[test]
    fn without_a_peer_there_is_nothing_to_close_with() {
        assert_eq!(text(&[table(vec![column("ours", Standing::Ours, 1.0, 1.0)])]), "");
        assert_eq!(text(&[]), "");
    }
}
