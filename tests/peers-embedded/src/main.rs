//! EmberKV beside ekv, sequential-storage and littlefs on one simulated NOR flash: what a write and a
//! read cost, how blocks wear, and what is left when the power fails.
//!
//! ```text
//! cargo run --release -- [--quick] [--only NAME,..] [--json FILE]
//! ```
//!
//! Needs a C compiler and libclang for littlefs (Debian: `apt-get install gcc libclang-dev`).
//!
//! Rules of the comparison:
//! * one chip for all: 256 blocks of 4 KiB, words of 4 bytes, 45 ms to erase a block, 0.05 ms and
//!   0.4 ms for 256 bytes to program, 5 us and 8 MB/s to read (`nor`);
//! * a write is durable when its call returns: a sync after each of EmberKV's, a transaction for
//!   each of ekv's, a closed file for each of littlefs's;
//! * each store is set up as its documentation says (`stores/*`), and works in one session;
//! * figures are of the steady state: the device has been round once before anything counts.
//!
//! Names for `--only`: the stores, and `updates`, `wear`, `power`. Exit status 1: a store failed
//! where no power did, or EmberKV lost something.
//!
//! Reading order: `nor`, `power` (the medium), `store` (what a store must offer), `stores/*`, `sweep`,
//! `workloads/*`. The flash suite of the main workspace runs the same sweep over EmberKV alone.

mod nor;
mod power;
mod report;
mod rng;
mod store;
mod stores;
mod sweep;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::report::Table;
use crate::store::{Family, Outcome};
use crate::stores::ekv::Ekv;
use crate::stores::ember::Ember;
use crate::stores::littlefs::Littlefs;
use crate::stores::sequential::{Cached, Uncached};
use crate::sweep::Scale;
use crate::workloads::{power as cuts, updates, wear};

/// Measures embedded key-value stores side by side.
#[derive(Parser)]
struct Options {
    /// Little of everything: shows that it works.
    #[arg(long)]
    quick: bool,
    /// Only these stores and workloads.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Also writes the tables to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const WORKLOADS: [&str; 3] = ["updates", "wear", "power"];

fn families<const B: usize, const C: usize>() -> Vec<Box<dyn Family<B, C>>> {
    let mut families: Vec<Box<dyn Family<B, C>>> =
        vec![Box::new(Ember::SMALL), Box::new(Uncached), Box::new(Cached), Box::new(Littlefs)];
    if B == ekv::config::PAGE_SIZE {
        families.insert(1, Box::new(Ekv));
    }
    families
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("peers-embedded: EmberKV failed in {failed} cases");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("peers-embedded: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Those that `--only` names, or all.
fn chosen<const B: usize, const C: usize>(options: &Options) -> Vec<Box<dyn Family<B, C>>> {
    let named = |name: &str| options.only.iter().any(|only| only == name);
    let mut families = families();
    if options.only.iter().any(|only| !WORKLOADS.contains(&only.as_str())) {
        families.retain(|family| named(family.name()));
    }
    families
}

fn run(options: &Options) -> Outcome<u64> {
    let known: Vec<&str> = families::<4096, 256>().iter().map(|family| family.name()).collect();
    let is_known = |name: &str| known.contains(&name) || WORKLOADS.contains(&name);
    if let Some(name) = options.only.iter().find(|name| !is_known(name)) {
        let names = [known.join(", "), WORKLOADS.join(", ")].join(", ");
        return Err(format!("--only {name}: not one of {names}"));
    }
    let some = options.only.iter().any(|only| WORKLOADS.contains(&only.as_str()));
    let wants = |name: &str| !some || options.only.iter().any(|only| only == name);
    let mut tables = Vec::new();
    let mut failed = 0;
    let mut show = |table: Table| {
        print!("{}", report::text(&table));
        tables.push(table);
    };
    if wants("updates") {
        let count = if options.quick { 2_000 } else { 20_000 };
        let scale = updates::Scale { updates: count, gets: count / 4, deletes: 50 };
        for keys in [100, 1000] {
            show(updates::run(&chosen(options), keys, scale)?);
        }
    }
    if wants("wear") {
        let count = if options.quick { 20_000 } else { 1_000_000 };
        show(wear::run(&chosen(options), count)?);
    }
    if wants("power") {
        let scale =
            if options.quick { Scale { seeds: 2, every: 7 } } else { Scale { seeds: 6, every: 1 } };
        let (table, ours) = cuts::run::<4096, 16>(&chosen(options), scale)?;
        show(table);
        failed += ours;
        let (table, ours) = cuts::run::<1024, 32>(&chosen(options), scale)?;
        show(table);
        failed += ours;
    }
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report::json(&tables));
        let json = json.map_err(|error| error.to_string())?;
        std::fs::write(path, json).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(failed)
}
