//! The verb `check`: verifies every checksum, changes nothing, and lists what is damaged.
//!
//! A store that is too damaged to be opened is reported in the same form, as far as open came.

use std::path::Path;

use emberkv_core::{Access, CheckSummary, Corruption};
use serde_json::{Value, json};

use crate::args;
use crate::failure::{At, Failure, Outcome, shown};
use crate::host::Host;
use crate::output::Output;

/// `check`
pub(crate) fn check(host: &Host, arguments: &args::Report) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    let mut report = Reporter { output: Output::stdout()?, path, json: arguments.json, damages: 0 };
    let result = host.with_store(path, Access::ReadOnly, |mut store| {
        let mut told = Ok(());
        let summary = store.check(|damage| {
            if told.is_ok() {
                told = report.damage(Some(damage), &damage.to_string());
            }
        });
        told?;
        summary.at(path)
    });
    match result {
        Ok(summary) => report.end(Some(&summary)),
        Err(Failure::Damaged { what, at, .. }) => {
            report.damage(at, &what)?;
            report.end(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Writes damages as they are found: a wholly rotten store has too many to collect.
struct Reporter<'p> {
    output: Output,
    path: &'p Path,
    json: bool,
    damages: u64,
}

impl Reporter<'_> {
    /// The beginning of the JSON object: not before it is known that there is something to report.
    fn begin(&mut self) -> Result<(), Failure> {
        let path = Value::from(self.path.to_string_lossy());
        self.output.bytes(format!("{{\"path\":{path},\"damages\":[").as_bytes())
    }

    fn damage(&mut self, at: Option<Corruption>, text: &str) -> Result<(), Failure> {
        self.damages += 1;
        if !self.json {
            return self.output.line(text);
        }
        if self.damages == 1 {
            self.begin()?;
        }
        let damage = json!({
            "segment": at.and_then(|at| at.segment).map(|segment| segment.0),
            "offset": at.map(|at| at.offset.0),
            "what": at.map_or_else(|| text.to_owned(), |at| at.what.to_string()),
        });
        let comma = if self.damages > 1 { "," } else { "" };
        self.output.bytes(format!("{comma}{damage}").as_bytes())
    }

    /// `summary` is missing where the store could not even be opened.
    fn end(mut self, summary: Option<&CheckSummary>) -> Result<Outcome, Failure> {
        let clean = self.damages == 0;
        if self.json {
            if clean {
                self.begin()?;
            }
            let rest = json!({
                "clean": clean,
                "opened": summary.is_some(),
                "segments": summary.map(|summary| summary.segments),
                "groups": summary.map(|summary| summary.groups),
                "records": summary.map(|summary| summary.records),
                "bytes": summary.map(|summary| summary.bytes),
            });
            // The object continues the one that `begin` opened.
            self.output.bytes(b"],")?;
            self.output.line(&rest.to_string()[1..])?;
        } else {
            let verdict = match self.damages {
                0 => "no damage".to_owned(),
                1 => "1 damage".to_owned(),
                damages => format!("{damages} damages"),
            };
            let extent = match summary {
                Some(summary) => format!(
                    "verified {} records ({} bytes) in {} groups of {} segments",
                    summary.records, summary.bytes, summary.groups, summary.segments
                ),
                None => "the store cannot be opened".to_owned(),
            };
            self.output.line(&format!("{}: {extent}: {verdict}", shown(self.path)))?;
        }
        self.output.finish()?;
        Ok(if clean { Outcome::Done } else { Outcome::Negative })
    }
}
