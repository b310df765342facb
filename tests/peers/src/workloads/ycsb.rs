//! The mixes A, B, C and F of YCSB on one open store, from 2 and from 16 threads.
//!
//! Keys are drawn by Zipf's law with exponent 0.99. A key's value is one of a few, so that readers
//! can check what they get while others write. Every store has the cache of the plan; those over the
//! page cache have the machine's memory besides: run the command in a control group with a memory
//! limit to take that away.

use super::{Column, Contender, Headline, Plan, Table, fill, split};
use crate::data::{Order, Pattern, Zipf, key};
use crate::host;
use crate::measure::{Figure, RATE, TAIL};
use crate::peer::{Family, Outcome, Peer, Space};
use crate::threads::{self, Crew, View};

/// Its name on the command line.
pub const NAME: &str = "ycsb";

const VALUE_BYTES: usize = 1024;

/// Values that a key may have.
const VERSIONS: u64 = 4;

const THREADS: [u64; 2] = [2, 16];

/// Figures of one run: a rate and four latencies.
const FIGURES: usize = 5;

const HEADLINES: &[Headline] = &[Headline::more(RATE), Headline::less(TAIL)];

/// What is done beside reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    Update,
    ReadModifyWrite,
}

struct Mix {
    name: &'static str,
    reads_percent: u64,
    other: Other,
}

const MIXES: [Mix; 4] = [
    Mix { name: "A (50 % updates)", reads_percent: 50, other: Other::Update },
    Mix { name: "B (5 % updates)", reads_percent: 95, other: Other::Update },
    Mix { name: "C (reads)", reads_percent: 100, other: Other::Update },
    Mix { name: "F (50 % read-modify-write)", reads_percent: 50, other: Other::ReadModifyWrite },
];

/// Loads each store once per round and runs all mixes on it.
///
/// # Errors
/// Those of the stores; wrong values.
pub fn run(plan: &Plan) -> Outcome<Vec<Table>> {
    let keys = plan.scale.ycsb_keys;
    let pattern = Pattern::Zipf(Zipf::new(keys));
    let columns = plan.rounds(&plan.stores_for(2), |_, contender, _| {
        let Contender::Store(family) = contender else { unreachable!("only stores run mixes") };
        all_mixes(plan, family, &pattern)
    })?;
    let rows = MIXES.iter().flat_map(|mix| THREADS.map(|threads| (mix, threads)));
    let table = |((mix, threads), columns): ((&Mix, u64), Vec<Column>)| {
        let row = format!("{}, {}", mix.name, threads::describe(threads));
        Table {
            workload: NAME,
            title: format!("YCSB {row}: {keys} keys of {VALUE_BYTES} B, zipf 0.99, no syncs"),
            row,
            notes: vec!["memory: the cache, and for stores over it the page cache".to_owned()],
            headlines: HEADLINES,
            columns,
            timelines: Vec::new(),
        }
    };
    Ok(rows.zip(split(&columns, FIGURES)).map(table).collect())
}

fn all_mixes(plan: &Plan, family: &dyn Family, pattern: &Pattern) -> Outcome<Vec<Figure>> {
    let directory = host::fresh_directory()?;
    let mut setup = plan.setup(directory.path(), plan.scale.ycsb_keys, VALUE_BYTES);
    setup.space = Space::Live;
    let mut figures = Vec::new();
    family.session(&setup, &mut |peer| {
        fill::puts(peer, &plan.values, setup.keys, VALUE_BYTES)?;
        peer.settle()?;
        for mix in &MIXES {
            for threads in THREADS {
                let crew = Crew::sharing(plan.scale.ycsb_ops, threads);
                let ran = threads::run(peer, &crew, |view, thread| {
                    worker(plan, mix, pattern.clone(), view, thread)
                })?;
                figures.extend(ran.figures()?);
                peer.sync()?;
            }
        }
        (0..setup.keys).step_by(97).try_for_each(|index| read(peer, plan, index))
    })?;
    Ok(figures)
}

fn worker<'a>(
    plan: &'a Plan,
    mix: &'a Mix,
    pattern: Pattern,
    view: View<'a>,
    thread: u64,
) -> impl FnMut(u64) -> Outcome<()> + 'a {
    let keys = plan.scale.ycsb_keys;
    let mut order = Order::new(thread);
    let peer = view.peer();
    move |call| {
        let index = pattern.draw(&mut order, keys);
        if order.below(100) < mix.reads_percent {
            return read(peer, plan, index);
        }
        if mix.other == Other::ReadModifyWrite {
            read(peer, plan, index)?;
        }
        let version = call % VERSIONS;
        peer.put(&key(index), plan.values.of(index + version * keys, VALUE_BYTES))
    }
}

fn read(peer: &dyn Peer, plan: &Plan, index: u64) -> Outcome<()> {
    let keys = plan.scale.ycsb_keys;
    let mut same = false;
    peer.get(&key(index), &mut |value| {
        let of = |version| plan.values.of(index + version * keys, VALUE_BYTES);
        same = (0..VERSIONS).any(|version| of(version) == value);
    })?;
    match same {
        true => Ok(()),
        false => Err(format!("key {index} is missing or has a wrong value").into()),
    }
}
