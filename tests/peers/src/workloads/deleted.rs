//! Deleting nine keys of ten, and what the store still occupies after being left alone.

use std::time::Instant;

use super::{Contender, Headline, Plan, Table};
use crate::data::{KEY_BYTES, expect, key};
use crate::host;
use crate::measure::{Figure, RATE, rate};
use crate::peer::{Family, Outcome, Peer, Space};
use crate::workloads::fill;

/// Its name on the command line.
pub const NAME: &str = "deleted";

const VALUE_BYTES: usize = 1024;

/// One key of so many stays.
const KEPT_OF: u64 = 10;

const SETTLED: &str = "disk / live, settled";

const HEADLINES: &[Headline] = &[Headline::less(SETTLED), Headline::more(RATE)];

/// Fills, deletes and waits.
///
/// # Errors
/// Those of the stores; wrong values, deleted keys that are there.
pub fn run(plan: &Plan) -> Outcome<Vec<Table>> {
    let keys = plan.scale.churn_keys;
    // The blocking store has no threads that would tidy up.
    let columns = plan.rounds(&plan.stores_for(2), |_, contender, _| {
        let Contender::Store(family) = contender else { unreachable!("only stores delete") };
        delete_most(plan, family)
    })?;
    Ok(vec![Table {
        workload: NAME,
        row: "90 %".to_owned(),
        title: format!(
            "{keys} keys of {VALUE_BYTES} B, nine of ten deleted, then {:?} idle",
            plan.scale.idle
        ),
        notes: vec!["disk: blocks of all files of the store; live: keys and values".to_owned()],
        headlines: HEADLINES,
        columns,
        timelines: Vec::new(),
    }])
}

fn is_kept(index: u64) -> bool {
    index.is_multiple_of(KEPT_OF)
}

fn delete_most(plan: &Plan, family: &dyn Family) -> Outcome<Vec<Figure>> {
    let directory = host::fresh_directory()?;
    let keys = plan.scale.churn_keys;
    let mut setup = plan.setup(directory.path(), keys, VALUE_BYTES);
    setup.space = Space::Live;
    let live = keys.div_ceil(KEPT_OF) * (KEY_BYTES + VALUE_BYTES) as u64;
    let mut figures = Vec::new();
    family.session(&setup, &mut |peer| {
        fill::puts(peer, &plan.values, keys, VALUE_BYTES)?;
        let disk = || host::occupied_bytes(directory.path()) as f64 / live as f64;
        let started = Instant::now();
        for index in (0..keys).filter(|index| !is_kept(*index)) {
            peer.delete(&key(index))?;
        }
        peer.sync()?;
        let deletes = rate(keys - keys.div_ceil(KEPT_OF), started.elapsed());
        let at_once = disk();
        std::thread::sleep(plan.scale.idle);
        figures = vec![
            Figure { label: RATE, value: deletes },
            Figure { label: "disk / live, at once", value: at_once },
            Figure { label: SETTLED, value: disk() },
        ];
        verify(peer, plan, keys)
    })?;
    Ok(figures)
}

fn verify(peer: &dyn Peer, plan: &Plan, keys: u64) -> Outcome<()> {
    for index in (0..keys).step_by(7) {
        if is_kept(index) {
            expect(peer, &plan.values, index, VALUE_BYTES)?;
        } else if peer.get(&key(index), &mut |_| ())? {
            return Err(format!("key {index} is there although it was deleted").into());
        }
    }
    Ok(())
}
