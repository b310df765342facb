//! Error injection: every read, write and flush of a workload fails once, and from there on for ever. The store must
//! answer with typed errors, never panic; once the device works again it must open, with all that was acknowledged.

use emberkv_core::DeviceErrorKind;

use super::bench::Bench;
use super::engine::Engine;
use super::failure::Problem;
use super::fault::{BadBlock, Fault, FaultKind, Worn};
use super::plan::to_hex;
use super::rng::Rng;
use super::session::{SessionEnd, Start, Weather};
use super::tape::{TapeReader, generate};
use super::timeline;

/// Counts of a campaign.
#[derive(Clone, Copy, Debug, Default)]
pub struct Injected {
    /// Runs with one fault each.
    pub runs: u64,
    /// Of these, runs in which the fault struck.
    pub struck: u64,
    /// Reopens afterwards.
    pub reopens: u64,
    /// Of these, on devices that stay broken, sessions that ended early.
    pub stopped: u64,
}

/// The fixed workloads: setup and operations. The first ones are written by hand, the rest come from seeds.
#[must_use]
pub fn workloads() -> Vec<Vec<u8>> {
    let by_hand: [&[u8]; 5] = [
        // put, sync, overwrite, sync, delete, sync, close, get
        &[0, 0, 0, 0x00, 20, 0, 0x50, 0x00, 30, 1, 0x50, 0x30, 0x50, 0x80, 0x60],
        // a batch, kill, another batch, close
        &[4, 0, 0, 0x40, 2, 0, 9, 1, 30, 10, 0x50, 0x90, 0x40, 1, 3, 40, 2, 9, 0x50, 0x80, 0x70],
        // a big value, a stream, sync, everything read
        &[1, 0, 0, 0x20, 90, 1, 0x50, 0xb5, 70, 2, 0x50, 0x70, 0x80, 0x70],
        // many small durable puts on ECC flash
        &[6, 4, 0, 0x01, 9, 1, 0x03, 9, 2, 0x05, 9, 3, 0x07, 9, 1, 0x31, 0x80, 0x01, 8, 1, 0x70],
        // puts without sync, close at once
        &[3, 0, 0, 0x02, 60, 1, 0x04, 60, 2, 0x12, 200, 3, 0x80, 0x70, 0x32, 0x80, 0x70],
    ];
    let mut all: Vec<Vec<u8>> = by_hand.iter().map(|tape| tape.to_vec()).collect();
    for seed in 0..15 {
        let mut tape = generate(0x1001 + seed, Some(seed as usize % 8));
        tape.truncate(64);
        all.push(tape);
    }
    all
}

/// Runs one workload with every fault.
///
/// # Errors
/// The first violation; the text names workload, fault and operation.
pub fn campaign<E: Engine>(
    tape: &[u8],
    bug: Option<&'static str>,
    stride: u32,
) -> Result<Injected, Problem> {
    let mut bench = Bench::<E>::new(bug);
    bench.play(tape, None)?;
    let totals = bench.device.totals;
    let mut counts = Injected::default();
    for (kind, count) in [
        (FaultKind::Read, totals.reads),
        (FaultKind::Write, totals.writes),
        (FaultKind::Flush, totals.flushes),
    ] {
        for at in (0..count).step_by(stride.max(1) as usize) {
            for sticky in [false, true] {
                let error = match (kind, sticky) {
                    (FaultKind::Read, false) => DeviceErrorKind::Transient,
                    (FaultKind::Write, true) => DeviceErrorKind::Media,
                    _ => DeviceErrorKind::Other,
                };
                let fault = Fault { kind, at, sticky, error };
                let outcome = timeline::catch(|| one::<E>(&mut bench, tape, fault, &mut counts));
                let problem = match outcome {
                    Ok(Ok(())) => continue,
                    Ok(Err(problem)) => problem,
                    Err(panic) => Problem::new("panic", timeline::panic_text(panic.as_ref())),
                };
                let what = format!(
                    "{} (engine {} tape {} fault {fault:?})",
                    problem.what,
                    E::NAME,
                    to_hex(tape)
                );
                return Err(Problem::new(problem.class, what));
            }
        }
    }
    Ok(counts)
}

/// Runs one workload with every block of `step` bytes worn out, in each way, from `first` on. The block stays bad: the store
/// must open again, show what was acknowledged, and take puts as long as it has room beside the block.
///
/// # Errors
/// The first violation; the text names workload and block.
pub fn bad_blocks<E: Engine>(tape: &[u8], bug: Option<&'static str>) -> Result<Injected, Problem> {
    let mut bench = Bench::<E>::new(bug);
    bench.play(tape, None)?;
    let (capacity, step) = (bench.device.bytes.len() as u32, bench.setup.segment_bytes);
    let mut counts = Injected::default();
    for start in (0..capacity).step_by(step as usize) {
        for worn in [Worn::Programs, Worn::Erases] {
            let bad = BadBlock { range: start..start + step, worn };
            let outcome =
                timeline::catch(|| worn_out::<E>(&mut bench, tape, bad.clone(), &mut counts));
            let problem = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(problem)) => problem,
                Err(panic) => Problem::new("panic", timeline::panic_text(panic.as_ref())),
            };
            let what = format!("{} (tape {} {bad:x?})", problem.what, to_hex(tape));
            return Err(Problem::new(problem.class, what));
        }
    }
    Ok(counts)
}

fn worn_out<E: Engine>(
    bench: &mut Bench<E>,
    tape: &[u8],
    bad: BadBlock,
    counts: &mut Injected,
) -> Result<(), Problem> {
    counts.runs += 1;
    bench.play_worn(tape, None, Some(bad.clone()))?;
    counts.struck += u64::from(bench.device.fault_hit);
    if bench.history.upper == 0 && bench.device.bounds == (0, 0) {
        return Ok(());
    }
    for turn in 0..3 {
        if turn == 0 {
            // Later sessions are not recorded: they end without a close.
            bench.cut_power(&mut Rng::for_place(&[u64::from(bad.range.start), turn]));
        } else {
            bench.device.power_on();
        }
        counts.reopens += 1;
        let then = [0x70, 0x01, 5, 0, 0xdf, 2, 30, 200, 0x70, 0x50];
        match bench.session(&mut TapeReader::new(&then, 0), Start::Open, Weather::Faulty)? {
            SessionEnd::TapeEnd => {}
            SessionEnd::Stopped => counts.stopped += 1,
            end @ SessionEnd::PowerCut(_) => {
                return Err(Problem::new("harness", format!("unexpected end {end:?}")));
            }
        }
    }
    Ok(())
}

fn one<E: Engine>(
    bench: &mut Bench<E>,
    tape: &[u8],
    fault: Fault,
    counts: &mut Injected,
) -> Result<(), Problem> {
    counts.runs += 1;
    bench.play(tape, Some(fault))?;
    counts.struck += u64::from(bench.device.fault_hit);
    if bench.history.upper == 0 && bench.device.bounds == (0, 0) {
        // The fault struck inside `format`: there need not be a store.
        return Ok(());
    }
    bench.device.fault = None;
    if bench.device.rules.flush_failed || fault.at % 2 == 1 {
        bench.cut_power(&mut Rng::for_place(&[u64::from(fault.at), u64::from(fault.sticky)]));
    } else {
        bench.device.power_on();
    }
    counts.reopens += 1;
    // Iterate, put with sync, iterate: the healed store is read completely and works.
    let then = [0x70, 0x01, 5, 0, 0x70];
    match bench.session(&mut TapeReader::new(&then, 0), Start::Open, Weather::Fair)? {
        SessionEnd::TapeEnd => Ok(()),
        end => Err(Problem::new("harness", format!("unexpected end {end:?}"))),
    }
}
