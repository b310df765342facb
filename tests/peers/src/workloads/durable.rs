//! Durable single puts: every put returns when it is on the medium.

use std::time::Instant;

use super::{Contender, Plan, Table};
use crate::data::{key, verify_sample};
use crate::device::{Barrier, DeviceFile};
use crate::host;
use crate::measure::{Figure, Meter, creating};
use crate::peer::{Family, Outcome};

/// Its name on the command line.
pub const NAME: &str = "durable";

const VALUE_BYTES: usize = 100;

/// Puts new keys, one durable put each, next to bare durable overwrites.
///
/// # Errors
/// Those of the stores; wrong values.
pub fn run(plan: &Plan) -> Outcome<Vec<Table>> {
    let directory = host::fresh_directory()?;
    let file = DeviceFile::create(directory.path(), plan.scale.cold_bytes())?;
    let contenders = plan.device_and_stores();
    let columns = plan.rounds(&contenders, |_, contender, _| match contender {
        Contender::Bare(_) => file.overwrite(Barrier::Dsync, plan.scale.durable_puts),
        Contender::Store(family) => puts(plan, family),
    })?;
    let how = |family: &dyn Family| format!("{}: {}", family.name(), family.durable_by());
    let mut notes = vec!["device: 4 KiB O_DIRECT|O_DSYNC overwrite of written space".to_owned()];
    notes.extend(plan.families.iter().map(|family| how(family.as_ref())));
    Ok(vec![Table {
        workload: NAME,
        title: format!("durable puts of {VALUE_BYTES} B, 1 thread, new keys"),
        notes,
        columns,
    }])
}

fn puts(plan: &Plan, family: &dyn Family) -> Outcome<Vec<Figure>> {
    let directory = host::fresh_directory()?;
    let count = plan.scale.durable_puts;
    let mut setup = plan.setup(directory.path(), count, VALUE_BYTES);
    setup.durable_puts = count;
    let mut figures = Vec::new();
    let before_open = Instant::now();
    family.session(&setup, &mut |peer| {
        let creating = creating(before_open);
        let mut meter = Meter::start(count);
        for index in 0..count {
            peer.put_durable(&key(index), plan.values.of(index, VALUE_BYTES))?;
            meter.tick();
        }
        figures = meter.finish(1)?;
        figures.push(creating);
        verify_sample(peer, &plan.values, count, VALUE_BYTES)
    })?;
    Ok(figures)
}
