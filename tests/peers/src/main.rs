//! EmberKV (the blocking store and `Db`) side by side with candystore, fjall, RocksDB, LMDB, redb and
//! sled, in one run: the same data, the same durability, the same cache, the device as the yardstick.
//!
//! ```text
//! cargo run --release -- [--quick] [--only NAME,..] [--keys N] [--rounds N] [--plot DIR] [--json FILE]
//! ```
//!
//! Set-up: a C++ compiler and libclang for RocksDB's bindings (Debian: `apt-get install g++
//! libclang-dev`); its first build takes about ten minutes on two cores. Run it as root on a quiet
//! machine, or the cold workloads are not cold and bytes written are everybody's. The system's temp
//! folder (`TMPDIR`) must lie on the medium to be measured, with 16 GB free.
//!
//! Rules of the comparison:
//! * 16-byte keys in no order, compression off everywhere; where threads are measured they share one
//!   open store, and the blocking store takes part with one;
//! * the given cache for each store; RocksDB and fjall have a 64 MiB write buffer on top, and all but
//!   EmberKV the kernel's page cache (rocksdb-direct: for its log only; LMDB: nothing else);
//! * "durable" is what each store documents to survive a power cut; the table says how it was asked
//!   for. sled's is not: it is shown, and is no measure for the others;
//! * without sync, the peers hand each put to the kernel (redb keeps it until its sync), EmberKV
//!   keeps it in its pool; the sync at the end is in the time. Where keys are put once, EmberKV's
//!   file is filled with zeros when it is created, which is shown beside the rates and not in them;
//!   those of the others grow during the run;
//! * rounds are interleaved, tables show medians; every workload is checked by a sample, every get
//!   in full. A closing table per workload says how many times better than the best peer each is.
//!
//! Reading order: `peer` (what a store must offer), `stores/*` (how each is configured), `threads`,
//! `workloads/*`, `measure`, `closing`.

mod closing;
mod data;
mod device;
mod host;
mod measure;
mod peer;
mod plot;
mod report;
mod stores;
mod threads;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser};

use crate::data::Values;
use crate::peer::Outcome;
use crate::workloads::{
    Plan, Scale, Table, bare, deleted, durable, fill, gets, open, overwrite, ycsb,
};

/// Measures EmberKV side by side with other stores.
#[derive(Parser)]
struct Options {
    /// Small data and one round: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Only these stores and workloads.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Keys of the large data sets.
    #[arg(long, value_parser = clap::value_parser!(u64).range(10_000..=20_000_000))]
    keys: Option<u64>,
    /// Rounds, of which medians are shown.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: Option<u64>,
    /// Draws each table, and the latencies over time, as SVG files in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    plot: Option<PathBuf>,
    /// Also writes everything, round by round, to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// For the workload `open`: the process that is killed.
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    fill_until_killed: Option<PathBuf>,
    /// For the workload `overwrite`: the process of one store.
    #[command(flatten)]
    alone: Alone,
}

/// What the parent tells the process that overwrites.
#[derive(Args)]
struct Alone {
    #[arg(long, hide = true, value_name = "PATTERN", requires = "directory")]
    overwrite_alone: Option<String>,
    #[arg(long, hide = true)]
    directory: Option<PathBuf>,
    #[arg(long, hide = true)]
    churn_keys: Option<u64>,
    #[arg(long, hide = true)]
    overwrites: Option<u64>,
    #[arg(long, hide = true)]
    idle_ms: Option<u64>,
}

impl Alone {
    fn change(&self, scale: &mut Scale) {
        scale.churn_keys = self.churn_keys.unwrap_or(scale.churn_keys);
        scale.overwrites = self.overwrites.unwrap_or(scale.overwrites);
        scale.idle = self.idle_ms.map_or(scale.idle, Duration::from_millis);
    }
}

/// A workload: its name and what runs it.
type Workload = (&'static str, fn(&Plan) -> Outcome<Vec<Table>>);

const WORKLOADS: &[Workload] = &[
    (bare::NAME, bare::run),
    #[cfg(feature = "ember")]
    (workloads::engine::NAME, workloads::engine::run),
    (durable::NAME, durable::run),
    (fill::NAME, fill::run),
    (overwrite::NAME, overwrite::run),
    (gets::CACHED, gets::run_cached),
    (gets::COLD, gets::run_cold),
    (open::NAME, open::run),
    (ycsb::NAME, ycsb::run),
    (deleted::NAME, deleted::run),
];

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    let (plan, workloads) = choose(options)?;
    if let Some(directory) = &options.fill_until_killed {
        return open::fill_until_killed(&plan, directory);
    }
    if let (Some(pattern), Some(directory)) =
        (&options.alone.overwrite_alone, &options.alone.directory)
    {
        return overwrite::alone(&plan, pattern, directory);
    }
    let host = host::description();
    let clock_ns = measure::clock_ns();
    println!(
        "{host}; a clock reading costs {clock_ns:.0} ns; medians of {} rounds",
        plan.scale.rounds
    );
    if options.quick {
        println!("QUICK: small data, for a look only");
    }
    let mut tables = Vec::new();
    for (name, workload) in workloads {
        let started = Instant::now();
        let measured = workload(&plan).map_err(|error| format!("{name}: {error}"))?;
        for table in &measured {
            print!("{}", report::text(table));
        }
        print!("{}", closing::text(&measured));
        println!("\n{name}: {:.0} s", started.elapsed().as_secs_f64());
        if let Some(directory) = &options.plot {
            plot::write(directory, &measured)?;
        }
        tables.extend(measured);
    }
    if let Some(path) = &options.json {
        let json = report::json(&host, clock_ns, &plan.scale, &tables);
        std::fs::write(path, serde_json::to_string_pretty(&json)?)?;
    }
    Ok(())
}

/// What takes part: a name given with `--only` is a store or a workload, and of each kind none
/// means all.
fn choose(options: &Options) -> Outcome<(Plan, Vec<Workload>)> {
    let mut families = stores::all();
    let mut workloads = WORKLOADS.to_vec();
    let is_store = |name: &str| stores::all().iter().any(|family| family.name() == name);
    let is_workload = |name: &str| WORKLOADS.iter().any(|(workload, _)| *workload == name);
    if let Some(name) = options.only.iter().find(|name| !is_store(name) && !is_workload(name)) {
        let stores = families.iter().map(|family| family.name());
        let names: Vec<&str> = stores.chain(WORKLOADS.iter().map(|(name, _)| *name)).collect();
        return Err(format!("--only {name}: not one of {}", names.join(", ")).into());
    }
    let named = |name: &str| options.only.iter().any(|only| only == name);
    if options.only.iter().any(|name| is_store(name)) {
        families.retain(|family| named(family.name()));
    }
    if options.only.iter().any(|name| is_workload(name)) {
        workloads.retain(|(name, _)| named(name));
    }
    let mut scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    if let Some(keys) = options.keys {
        scale.keys = keys;
    }
    if let Some(rounds) = options.rounds {
        scale.rounds = rounds as usize;
    }
    options.alone.change(&mut scale);
    Ok((Plan { families, scale, values: Values::new() }, workloads))
}
