//! Opening a store after a clean close, and after its process was killed.
//!
//! A killed process leaves what it gave to the kernel: this is the recovery of a crashed program,
//! not of a power cut. Page caches are emptied before the open, where the user may.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::{Contender, Headline, Plan, Table, fill};
use crate::data::{expect, key, verify_sample};
use crate::host;
use crate::measure::Figure;
use crate::peer::{Family, Outcome, Setup};

/// Its name on the command line.
pub const NAME: &str = "open";

/// What the filling child prints when its fill is durable.
const READY: &str = "ready";

const VALUE_BYTES: usize = 100;

/// Puts behind the last sync, which the kill interrupts.
const PUTS_NOT_SYNCED: u64 = 1_000;

const CLEAN: &str = "open after clean close, ms";

const KILLED: &str = "open after SIGKILL, ms";

const HEADLINES: &[Headline] = &[Headline::less(CLEAN), Headline::less(KILLED)];

/// The process that fills a store until it is killed; killed at the latest when dropped.
struct Filler(Child);

impl Drop for Filler {
    fn drop(&mut self) {
        // Both fail only if the child is gone already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens every store after both ends.
///
/// # Errors
/// Those of the stores; wrong values.
pub fn run(plan: &Plan) -> Outcome<Vec<Table>> {
    let mut dropped = true;
    let columns = plan.rounds(&plan.stores(), |_, contender, _| {
        let Contender::Store(family) = contender else { unreachable!("only stores are opened") };
        let clean = after_clean_close(plan, family, &mut dropped)?;
        let killed = after_kill(plan, family, &mut dropped)?;
        Ok(vec![
            Figure { label: CLEAN, value: clean.open_ms },
            Figure { label: "  first get then, us", value: clean.first_get_us },
            Figure { label: KILLED, value: killed.open_ms },
            Figure { label: "  first get after that, us", value: killed.first_get_us },
        ])
    })?;
    let cold = if dropped { "page cache empty" } else { "NOT COLD: page cache kept, not root" };
    Ok(vec![Table {
        workload: NAME,
        title: format!("opening {} keys of {VALUE_BYTES} B, {cold}", plan.scale.keys),
        notes: vec![format!("killed with {PUTS_NOT_SYNCED} puts behind the last sync")],
        row: "cold".to_owned(),
        headlines: HEADLINES,
        columns,
        timelines: Vec::new(),
    }])
}

struct Opened {
    open_ms: f64,
    first_get_us: f64,
}

fn timed_open(plan: &Plan, family: &dyn Family, setup: &Setup) -> Outcome<Opened> {
    let mut opened = Opened { open_ms: 0.0, first_get_us: 0.0 };
    let started = Instant::now();
    family.session(setup, &mut |peer| {
        opened.open_ms = started.elapsed().as_secs_f64() * 1e3;
        let before_get = Instant::now();
        expect(peer, &plan.values, setup.keys / 2, VALUE_BYTES)?;
        opened.first_get_us = before_get.elapsed().as_secs_f64() * 1e6;
        verify_sample(peer, &plan.values, setup.keys, VALUE_BYTES)
    })?;
    Ok(opened)
}

fn after_clean_close(plan: &Plan, family: &dyn Family, dropped: &mut bool) -> Outcome<Opened> {
    let directory = host::fresh_directory()?;
    let setup = plan.setup(directory.path(), plan.scale.keys, VALUE_BYTES);
    family.session(&setup, &mut |peer| fill::puts(peer, &plan.values, setup.keys, VALUE_BYTES))?;
    *dropped &= host::drop_page_cache();
    timed_open(plan, family, &setup)
}

fn after_kill(plan: &Plan, family: &dyn Family, dropped: &mut bool) -> Outcome<Opened> {
    let directory = host::fresh_directory()?;
    let setup = plan.setup(directory.path(), plan.scale.keys, VALUE_BYTES);
    let child = Command::new(std::env::current_exe()?)
        .arg("--fill-until-killed")
        .arg(directory.path())
        .args(["--only", family.name(), "--keys", &setup.keys.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut filler = Filler(child);
    let output = filler.0.stdout.take().ok_or("the filling process has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    if line.trim() != READY {
        return Err("the filling process failed".into());
    }
    drop(filler);
    *dropped &= host::drop_page_cache();
    timed_open(plan, family, &setup)
}

/// The child: fills the store in `directory`, syncs, puts some more, says so and waits for its end.
///
/// # Errors
/// Those of the store; that nobody killed it.
pub fn fill_until_killed(plan: &Plan, directory: &Path) -> Outcome<()> {
    let family = plan.families.first().ok_or("no store named")?;
    let setup = plan.setup(directory, plan.scale.keys, VALUE_BYTES);
    family.session(&setup, &mut |peer| {
        fill::puts(peer, &plan.values, setup.keys, VALUE_BYTES)?;
        for index in 0..PUTS_NOT_SYNCED.min(setup.keys) {
            // The same values again: whether these survive or not, the data is as expected.
            peer.put(&key(index), plan.values.of(index, VALUE_BYTES))?;
        }
        println!("{READY}");
        std::io::stdout().flush()?;
        // The parent holds the other end of the pipe: this returns when the parent is gone.
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Err("the parent went away".into())
    })
}
