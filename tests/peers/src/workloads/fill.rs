//! Puts without a sync of their own, then one sync at the end that counts as well.

use std::time::Instant;

use super::{BY_RATE, Contender, Plan, Table};
use crate::data::{Key, Values, key, verify_sample};
use crate::host;
use crate::measure::{Figure, creating};
use crate::peer::{Outcome, Peer};
use crate::threads::{self, Crew};

/// Its name on the command line.
pub const NAME: &str = "fill";

/// Puts per batch, where batches are measured.
const BATCH_PUTS: u64 = 1_000;

/// One way of filling.
#[derive(Clone, Copy)]
struct Way {
    keys: u64,
    value_bytes: usize,
    puts_per_call: u64,
    threads: u64,
}

impl Way {
    fn crew(&self) -> Crew {
        Crew {
            threads: self.threads,
            calls_each: (self.keys / self.puts_per_call / self.threads).max(1),
            ops_per_call: self.puts_per_call,
        }
    }
}

/// Fills with 100 B, with 100 B in batches and with 1 KiB; the single puts also from two threads.
///
/// # Errors
/// Those of the stores; wrong values.
pub fn run(plan: &Plan) -> Outcome<Vec<Table>> {
    let keys = plan.scale.keys;
    let small = Way { keys, value_bytes: 100, puts_per_call: 1, threads: 1 };
    let large = Way { keys: (keys / 4).max(1), value_bytes: 1024, ..small };
    [
        small,
        Way { threads: 2, ..small },
        Way { puts_per_call: BATCH_PUTS, ..small },
        large,
        Way { threads: 2, ..large },
    ]
    .into_iter()
    .map(|way| table(plan, way))
    .collect()
}

fn table(plan: &Plan, way: Way) -> Outcome<Table> {
    let crew = way.crew();
    let columns = plan.rounds(&plan.stores_for(way.threads), |_, contender, _| {
        let Contender::Store(family) = contender else {
            unreachable!("only stores are asked to fill")
        };
        let directory = host::fresh_directory()?;
        let setup = plan.setup(directory.path(), crew.ops(), way.value_bytes);
        let mut figures = Vec::new();
        let before_open = Instant::now();
        family.session(&setup, &mut |peer| {
            let creating = creating(before_open);
            figures = timed_fill(peer, &plan.values, way)?;
            figures.push(creating);
            verify_sample(peer, &plan.values, crew.ops(), way.value_bytes)
        })?;
        Ok(figures)
    })?;
    let (grouping, note) = match way.puts_per_call {
        1 => ("", "latencies are those of single puts; the last sync counts for ops/s only"),
        _ => (", batches of 1,000", "latencies are those of batches; candystore has none"),
    };
    let row = format!("{} B{grouping}, {}", way.value_bytes, crew.describe());
    Ok(Table {
        workload: NAME,
        title: format!("{} puts of {row}, then one sync", crew.ops()),
        row,
        notes: vec![note.to_owned()],
        headlines: BY_RATE,
        columns,
        timelines: Vec::new(),
    })
}

fn timed_fill(peer: &dyn Peer, values: &Values, way: Way) -> Outcome<Vec<Figure>> {
    let crew = way.crew();
    let ran = threads::run(peer, &crew, |view, thread| {
        let peer = view.peer();
        let mut pairs: Vec<(Key, &[u8])> = Vec::with_capacity(way.puts_per_call as usize);
        move |call| {
            let first = crew.index(thread, call) * way.puts_per_call;
            if way.puts_per_call == 1 {
                return peer.put(&key(first), values.of(first, way.value_bytes));
            }
            pairs.clear();
            let range = first..first + way.puts_per_call;
            pairs.extend(range.map(|index| (key(index), values.of(index, way.value_bytes))));
            peer.put_batch(&pairs)
        }
    })?;
    let before_sync = Instant::now();
    peer.sync()?;
    let sync_ms = before_sync.elapsed().as_secs_f64() * 1e3;
    let mut figures = ran.figures_until_now()?;
    figures.push(Figure { label: "the sync, ms", value: sync_ms });
    Ok(figures)
}

/// Puts the first `keys` values, syncs and looks at a sample: the start of other workloads.
///
/// # Errors
/// Those of the store; wrong values.
pub fn puts(peer: &dyn Peer, values: &Values, keys: u64, value_bytes: usize) -> Outcome<()> {
    for index in 0..keys {
        peer.put(&key(index), values.of(index, value_bytes))?;
    }
    peer.sync()?;
    verify_sample(peer, values, keys, value_bytes)
}
