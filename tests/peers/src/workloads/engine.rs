//! The engine itself: EmberKV's store on a device in memory, so that no medium hides what the code
//! costs.

use std::time::Instant;

use super::gets::{DataSet, gets_in_two_passes};
use super::plan::data_bytes;
use super::{BY_RATE, Contender, Plan, Table};
use crate::data::{key, verify_sample};
use crate::measure::{Figure, Meter, RATE, rate};
use crate::peer::{Outcome, Setup};
use crate::stores::{EMBER, memory_session};
use crate::threads::Crew;

/// Its name on the command line.
pub const NAME: &str = "engine";

const VALUE_BYTES: usize = 100;

const PUTS: &str = "puts";
const GETS: &str = "cached gets";

/// Puts a fifth of the keys (200,000) and gets them back; nothing, if EmberKV does not take part.
///
/// # Errors
/// Those of the store; wrong values.
pub fn run(plan: &Plan) -> Outcome<Vec<Table>> {
    if !plan.families.iter().any(|family| family.name() == EMBER) {
        return Ok(Vec::new());
    }
    let keys = (plan.scale.keys / 5).max(1);
    let want_bytes = (2 * data_bytes(keys, VALUE_BYTES)).next_power_of_two();
    let cache_bytes = plan.scale.cache_bytes.max(want_bytes);
    let data = DataSet { keys, value_bytes: VALUE_BYTES, cache_bytes };
    let columns =
        plan.rounds(&[PUTS, GETS].map(Contender::Bare), |_, half, round| match half.name() {
            PUTS => puts(plan, &data),
            _ => gets(plan, &data, round as u64),
        })?;
    Ok(vec![Table {
        workload: NAME,
        title: format!("EmberKV on memory: {keys} keys of {VALUE_BYTES} B, 1 thread"),
        notes: vec!["ops/s without, latencies with a clock reading per operation".to_owned()],
        row: "in memory".to_owned(),
        headlines: BY_RATE,
        columns,
        timelines: Vec::new(),
    }])
}

fn setup(plan: &Plan, data: &DataSet) -> Setup {
    let setup = plan.setup("".as_ref(), data.keys, data.value_bytes);
    Setup { cache_bytes: data.cache_bytes, ..setup }
}

/// Two fresh stores: one for the rate, one for the latencies. The sync at the end counts, as in the
/// fills.
fn puts(plan: &Plan, data: &DataSet) -> Outcome<Vec<Figure>> {
    let setup = setup(plan, data);
    let mut figures = Vec::new();
    memory_session(&setup, &mut |peer| {
        let mut meter = Meter::start(data.keys);
        for index in 0..data.keys {
            peer.put(&key(index), plan.values.of(index, data.value_bytes))?;
            meter.tick();
        }
        peer.sync()?;
        figures = meter.finish(1)?;
        Ok(())
    })?;
    memory_session(&setup, &mut |peer| {
        let started = Instant::now();
        for index in 0..data.keys {
            peer.put(&key(index), plan.values.of(index, data.value_bytes))?;
        }
        peer.sync()?;
        figures[0] = Figure { label: RATE, value: rate(data.keys, started.elapsed()) };
        verify_sample(peer, &plan.values, data.keys, data.value_bytes)
    })?;
    Ok(figures)
}

fn gets(plan: &Plan, data: &DataSet, seed: u64) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    memory_session(&setup(plan, data), &mut |peer| {
        super::fill::puts(peer, &plan.values, data.keys, data.value_bytes)?;
        figures =
            gets_in_two_passes(peer, plan, data, &Crew::sharing(plan.scale.cached_gets, 1), seed)?;
        Ok(())
    })?;
    Ok(figures)
}
