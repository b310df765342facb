//! Tables for people, JSON for programs.

use std::fmt::Write;

use serde_json::{Value, json};

/// Width of the labels.
const LABEL_CHARS: usize = 38;

/// One table: a column for each store.
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) lines: Vec<(String, Vec<Value>)>,
    pub(crate) notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        let (columns, lines, notes) = (Vec::new(), Vec::new(), Vec::new());
        Self { title: title.into(), columns, lines, notes }
    }

    /// A column, whose cells are labelled alike in every column. Missing ones stay empty.
    pub(crate) fn push_column(&mut self, name: &'static str, cells: Vec<(String, Value)>) {
        let before = self.columns.len();
        self.columns.push(name);
        for (label, cell) in cells {
            match self.lines.iter_mut().find(|(known, _)| *known == label) {
                Some((_, line)) => line.push(cell),
                None => {
                    let mut line = vec![Value::Null; before];
                    line.push(cell);
                    self.lines.push((label, line));
                }
            }
        }
        for (_, line) in &mut self.lines {
            line.resize(before + 1, Value::Null);
        }
    }
}

/// A table as text.
pub(crate) fn text(table: &Table) -> String {
    let width = table.columns.iter().map(|name| name.len()).max().unwrap_or(0).max(11) + 2;
    let mut out = format!("\n{}\n{:LABEL_CHARS$}", table.title, "");
    for name in &table.columns {
        let _ = write!(out, "{name:>width$}");
    }
    out.push('\n');
    for (label, cells) in &table.lines {
        let _ = write!(out, "{label:LABEL_CHARS$}");
        for cell in cells {
            let _ = write!(out, "{:>width$}", shown(cell));
        }
        out.push('\n');
    }
    for note in &table.notes {
        let _ = writeln!(out, "  {note}");
    }
    out
}

fn shown(cell: &Value) -> String {
    match cell {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => number(other.as_f64().unwrap_or(f64::NAN)),
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        whole if whole.fract() == 0.0 => format!("{value:.0}"),
        small if small < 0.1 => format!("{value:.5}"),
        small if small < 10.0 => format!("{value:.3}"),
        middle if middle < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Everything, for programs.
pub(crate) fn json(tables: &[Table]) -> Value {
    let table = |table: &Table| {
        let lines: Vec<Value> = table
            .lines
            .iter()
            .map(|(label, cells)| json!({ "label": label, "cells": cells }))
            .collect();
        json!({
            "title": table.title,
            "columns": table.columns,
            "lines": lines,
            "notes": table.notes,
        })
    };
    json!({ "tables": tables.iter().map(table).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::{Table, json, text};

    #[test]
    fn a_store_without_a_figure_has_an_empty_cell() {
        let mut table = Table::new("title");
        table.push_column("one", vec![("a".into(), 1.25.into()), ("b".into(), 7.into())]);
        table.push_column("two", vec![("b".into(), "0 / 9".into()), ("c".into(), 0.01.into())]);
        let text = text(&table);
        let line = |label| text.lines().find(|line| line.starts_with(label)).expect("a line");
        assert!(line("a").contains("1.250") && line("a").ends_with('-'), "{text}");
        assert!(line("b").contains('7') && line("b").ends_with("0 / 9"), "{text}");
        assert!(line("c").contains('-') && line("c").ends_with("0.01000"), "{text}");
        assert_eq!(json(&[table])["tables"][0]["lines"][0]["cells"][1], serde_json::Value::Null);
    }
}
