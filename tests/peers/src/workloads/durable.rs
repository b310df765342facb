//! Durable single puts from 1 to 64 threads: every put returns when it is on the medium.

use std::time::Instant;

use super::{BY_RATE, Contender, Plan, Standing, Table};
use crate::data::{key, verify_sample};
use crate::device::{Barrier, DeviceFile};
use crate::host;
use crate::measure::{Figure, creating};
use crate::peer::{Family, Outcome};
use crate::threads::{self, Crew};

/// Its name on the command line.
pub const NAME: &str = "durable";

const VALUE_BYTES: usize = 100;

const THREADS: [u64; 4] = [1, 4, 16, 64];

/// Puts new keys, one durable put each; with one thread next to bare durable overwrites.
///
/// # Errors
/// Those of the stores; wrong values.
pub fn run(plan: &Plan) -> Outcome<Vec<Table>> {
    let directory = host::fresh_directory()?;
    let file = DeviceFile::create(directory.path(), plan.scale.cold_bytes())?;
    THREADS.into_iter().map(|threads| table(plan, &file, threads)).collect()
}

fn table(plan: &Plan, file: &DeviceFile, threads: u64) -> Outcome<Table> {
    let crew = Crew::sharing(plan.scale.durable_puts, threads);
    let contenders = match threads {
        1 => plan.device_and_stores(),
        many => plan.stores_for(many),
    };
    let mut columns = plan.rounds(&contenders, |_, contender, _| match contender {
        Contender::Bare(_) => file.overwrite(Barrier::Dsync, plan.scale.durable_puts),
        Contender::Store(family) => puts(plan, family, &crew),
    })?;
    for (column, contender) in columns.iter_mut().zip(&contenders) {
        if let Contender::Store(family) = contender
            && !family.flushes_the_device()
        {
            column.standing = Standing::Apart;
        }
    }
    let mut notes = Vec::new();
    if threads == 1 {
        notes.push("device: 4 KiB O_DIRECT|O_DSYNC overwrite of written space".to_owned());
        let how = |family: &dyn Family| format!("{}: {}", family.name(), family.durable_by());
        notes.extend(plan.families.iter().map(|family| how(family.as_ref())));
    }
    Ok(Table {
        workload: NAME,
        row: crew.describe(),
        title: format!("durable puts of {VALUE_BYTES} B, {}, new keys", crew.describe()),
        notes,
        headlines: BY_RATE,
        columns,
        timelines: Vec::new(),
    })
}

fn puts(plan: &Plan, family: &dyn Family, crew: &Crew) -> Outcome<Vec<Figure>> {
    let directory = host::fresh_directory()?;
    let mut setup = plan.setup(directory.path(), crew.ops(), VALUE_BYTES);
    setup.durable_puts = crew.ops();
    let mut figures = Vec::new();
    let before_open = Instant::now();
    family.session(&setup, &mut |peer| {
        let creating = creating(before_open);
        let ran = threads::run(peer, crew, |view, thread| {
            move |call| {
                let index = crew.index(thread, call);
                view.peer().put_durable(&key(index), plan.values.of(index, VALUE_BYTES))
            }
        })?;
        figures = ran.figures()?;
        figures.push(creating);
        verify_sample(peer, &plan.values, crew.ops(), VALUE_BYTES)
    })?;
    Ok(figures)
}
