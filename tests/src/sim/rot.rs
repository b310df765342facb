//! Rot: bytes of a healthy image are damaged. Every key then has its right value or answers `Corrupted`; never an older
//! value, never "missing", never a panic.
//!
//! One exception is documented: the very last flush group before a crash cannot be told from a torn one, so in an
//! image that was not closed its damage may read as the state before it.

use emberkv_core::Error;

use super::bench::Bench;
use super::device::SimDevice;
use super::engine::{Engine, Kv, Opening};
use super::failure::Problem;
use super::history::{History, State};
use super::oplog::{AtomKind, OpKind};
use super::plan::to_hex;
use super::profile::Setup;
use super::rng::digest;
use super::timeline;
use super::verify::KEY_NAMES;

/// One damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rot {
    /// One byte is XORed.
    Flip {
        /// Where.
        at: u32,
        /// With what.
        mask: u8,
    },
    /// A range is overwritten with one byte.
    Fill {
        /// First byte.
        start: u32,
        /// One past the last.
        end: u32,
        /// With what.
        byte: u8,
    },
    /// The device lost its end.
    Cut {
        /// Segments' worth of bytes that are left.
        segments: u32,
    },
}

/// What the damaged images answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct RotCounts {
    /// Everything was right.
    pub unharmed: u64,
    /// `Corrupted` or the truth about a cut device, from `open`.
    pub refused: u64,
    /// `Corrupted` from a read.
    pub detected: u64,
    /// The documented exception.
    pub excused: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Unharmed,
    Refused,
    Detected,
    Excused,
}

/// Builds the image of `tape` and damages it in every way of `damages`, which is told where the first segment starts.
///
/// # Errors
/// The first wrong answer.
pub fn campaign<E: Engine>(
    tape: &[u8],
    bug: Option<&'static str>,
    damages: impl Fn(&Setup, u32) -> Vec<Rot>,
) -> Result<RotCounts, Problem> {
    let mut bench = Bench::<E>::new(bug);
    bench.play(tape, None)?;
    let exception = Exception::of(&bench);
    let mut counts = RotCounts::default();
    let mut medium = SimDevice::default();
    // What `format` writes first is the first segment's header.
    let log = &bench.device.log;
    let first_segment =
        log.atoms.iter().find(|atom| atom.kind == AtomKind::Program).map_or(0, |atom| atom.offset);
    for rot in damages(&bench.setup, first_segment) {
        let outcome = timeline::catch(|| one::<E>(&mut bench, &mut medium, rot, &exception));
        let problem = match outcome {
            Ok(Ok(verdict)) => {
                match verdict {
                    Verdict::Unharmed => counts.unharmed += 1,
                    Verdict::Refused => counts.refused += 1,
                    Verdict::Detected => counts.detected += 1,
                    Verdict::Excused => counts.excused += 1,
                }
                continue;
            }
            Ok(Err(problem)) => problem,
            Err(panic) => Problem::new("panic", timeline::panic_text(panic.as_ref())),
        };
        let what =
            format!("{} (engine {} tape {} rot {rot:?})", problem.what, E::NAME, to_hex(tape));
        return Err(Problem::new(problem.class, what));
    }
    Ok(counts)
}

/// What the last flush group wrote, and the legal states without it; empty after a clean close.
struct Exception {
    ranges: Vec<(u32, u32)>,
    bounds: (u32, u32),
}

impl Exception {
    fn of<E: Engine>(bench: &Bench<E>) -> Self {
        let log = &bench.device.log;
        let upper = bench.history.upper;
        let mut exception = Self { ranges: Vec::new(), bounds: (upper, upper) };
        if log
            .ops
            .iter()
            .rev()
            .find(|op| op.kind.is_device_op())
            .is_none_or(|op| op.phase != super::oplog::Phase::Run)
        {
            return exception;
        }
        let flushes: Vec<usize> =
            (0..log.ops.len()).filter(|&index| log.ops[index].kind == OpKind::Flush).collect();
        let from = if flushes.len() >= 2 { flushes[flushes.len() - 2] } else { 0 };
        for op in &log.ops[from..] {
            for atom in &log.atoms[op.first as usize..op.end as usize] {
                exception.ranges.push((atom.offset, atom.offset + atom.bytes));
            }
            exception.bounds.0 = exception.bounds.0.min(op.lower);
        }
        exception
    }

    fn covers(&self, rot: Rot) -> bool {
        let (start, end) = match rot {
            Rot::Flip { at, .. } => (at, at + 1),
            Rot::Fill { start, end, .. } => (start, end),
            Rot::Cut { .. } => return false,
        };
        self.ranges.iter().any(|range| range.0 < end && range.1 > start)
    }
}

fn one<E: Engine>(
    bench: &mut Bench<E>,
    medium: &mut SimDevice,
    rot: Rot,
    exception: &Exception,
) -> Result<Verdict, Problem> {
    let mut setup = bench.setup;
    if let Rot::Cut { segments } = rot {
        setup.segments = segments;
        // The settings of a store of another size may take more, and the superblock still asks for room for all segments.
        bench.arena.resize(2 * E::arena_bytes(&bench.setup), 0);
    }
    medium.copy_medium(&bench.device, &setup);
    medium.power_on();
    match rot {
        Rot::Flip { at, mask } => medium.bytes[at as usize] ^= mask,
        Rot::Fill { start, end, byte } => medium.bytes[start as usize..end as usize].fill(byte),
        Rot::Cut { segments } => medium.bytes.truncate((segments * setup.segment_bytes) as usize),
    }
    medium.reset_counters();
    let expected = *bench.history.current();
    let (history, buffer) = (&bench.history, &mut bench.buffer[..]);
    let outcome = E::open(medium, &mut bench.arena, &setup, Opening::ReadWrite)
        .map(|mut store| read(&mut store, &expected, history, buffer, rot, exception));
    match outcome {
        Ok(verdict) => verdict,
        Err(error) => refused(&error, rot),
    }
}

/// Whether `open` may answer so.
fn refused(error: &Error, rot: Rot) -> Result<Verdict, Problem> {
    let truth = matches!(
        (error, rot),
        (Error::Corrupted(_), _)
            | (Error::DeviceTooSmall { .. } | Error::NotAStore, Rot::Cut { .. })
            | (Error::NotAStore, Rot::Fill { start: 0, .. })
    );
    if truth {
        Ok(Verdict::Refused)
    } else {
        Err(Problem::new("rot-open", format!("open answered: {error} ({error:?})")))
    }
}

/// Reads everything, then merges, then reads everything again: a merge may neither copy damage nor lose what it hides.
fn read<K: Kv>(
    store: &mut K,
    expected: &State,
    history: &History,
    buffer: &mut [u8],
    rot: Rot,
    exception: &Exception,
) -> Result<Verdict, Problem> {
    let first = read_once(store, expected, history, buffer, rot, exception)?;
    if first == Verdict::Excused {
        return Ok(first);
    }
    for _ in 0..64 {
        match store.merge(u64::MAX) {
            Ok(true) => {}
            Ok(false) | Err(Error::Corrupted(_) | Error::Full) => break,
            Err(error) => {
                return Err(Problem::new("rot-merge", format!("merge_step answered: {error}")));
            }
        }
    }
    read_once(store, expected, history, buffer, rot, exception)
        .map_err(|problem| Problem::new(problem.class, format!("after merges: {}", problem.what)))
}

/// Reads everything in both ways; the worst answer.
fn read_once<K: Kv>(
    store: &mut K,
    expected: &State,
    history: &History,
    buffer: &mut [u8],
    rot: Rot,
    exception: &Exception,
) -> Result<Verdict, Problem> {
    let mut seen = State::default();
    let mut detected = false;
    for (key, name) in KEY_NAMES.iter().enumerate() {
        match store.get(name, buffer) {
            Ok(value) => seen.set(key, value.map_or(0, digest)),
            Err(Error::Corrupted(_)) => {
                detected = true;
                seen.set(key, expected.values[key]);
            }
            Err(error) => {
                return Err(Problem::new("rot-read", format!("get of k{key} answered: {error}")));
            }
        }
    }
    if seen != *expected {
        if exception.covers(rot) && history.find(&seen, exception.bounds).is_some() {
            return Ok(Verdict::Excused);
        }
        return Err(Problem::new(
            "rot-silent",
            format!(
                "silently wrong: {} instead of {}",
                history.explain(&seen),
                history.explain(expected)
            ),
        ));
    }
    let mut cursor = K::Cursor::default();
    let mut listed = State::default();
    for _ in 0..=KEY_NAMES.len() {
        match store.next(&mut cursor, buffer) {
            Ok(Some((name, value))) => {
                let key = KEY_NAMES.iter().position(|known| *known == name);
                let right = key.is_some_and(|key| {
                    listed.set(key, digest(value));
                    expected.values[key] == listed.values[key]
                });
                if !right {
                    return Err(Problem::new("rot-silent", "iteration shows a wrong pair"));
                }
            }
            Ok(None) if detected || listed == *expected => break,
            Ok(None) => {
                return Err(Problem::new("rot-silent", "iteration misses keys without an error"));
            }
            Err(Error::Corrupted(_)) => {
                detected = true;
                break;
            }
            Err(error) => {
                return Err(Problem::new("rot-read", format!("iteration answered: {error}")));
            }
        }
    }
    Ok(if detected { Verdict::Detected } else { Verdict::Unharmed })
}
