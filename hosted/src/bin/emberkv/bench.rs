//! The verb `bench`: what a store on this medium does, and how evenly. It works on a store of its
//! own in a directory, which is removed in the end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use emberkv::Db;
use serde_json::json;

use crate::args;
use crate::failure::{Failure, Outcome};
use crate::host::Host;
use crate::latency::{Course, Latencies};
use crate::output::Output;
use crate::plot;
use crate::progress;

/// Operations between two looks at the flag that ends a phase.
const STRIDE: u64 = 16;
/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(50);

/// What the threads of a phase do.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Every key once, then one sync.
    Fill,
    /// Random keys again, durable later.
    Overwrite,
    /// Random keys again, each on the medium when its put returns.
    Durable,
    /// Random keys, each value looked at.
    Get,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Fill, Self::Overwrite, Self::Durable, Self::Get];

    const fn name(self) -> &'static str {
        match self {
            Self::Fill => "put, new keys",
            Self::Overwrite => "put, overwriting",
            Self::Durable => "put_durable",
            Self::Get => "get",
        }
    }
}

/// What a phase came to.
struct Phase {
    kind: Kind,
    seconds: f64,
    latencies: Latencies,
    course: Course,
}

/// Splitmix64: neighbours get keys that are far apart.
const fn mix(index: u64) -> u64 {
    let mut state = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

fn key(index: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(index).to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

/// `bench`
pub(crate) fn bench(host: &Host, arguments: &args::Bench) -> Result<Outcome, Failure> {
    let place = &arguments.path;
    let scratch = tempfile::Builder::new()
        .prefix(".emberkv-bench-")
        .tempdir_in(place)
        .map_err(|error| Failure::io(place, "make a directory in", &error))?;
    let path = scratch.path().join("bench.ember");
    let failed = |error: emberkv::Error| Failure::new(&path, error.to_string(), "");
    let db = Db::builder().cache_bytes(host.cache_bytes()).open(&path).map_err(failed)?;
    let mut phases = Vec::new();
    for kind in Kind::ALL {
        phases.push(run(&db, kind, arguments).map_err(failed)?);
    }
    let stats = db.stats().map_err(failed)?;
    db.close().map_err(failed)?;
    if let Some(file) = &arguments.plot {
        let courses: Vec<_> =
            phases.iter().map(|phase| (phase.kind.name(), &phase.course)).collect();
        std::fs::write(file, plot::svg(&courses))
            .map_err(|error| Failure::io(file, "write the picture to", &error))?;
    }
    let mut output = Output::stdout()?;
    match arguments.json {
        true => output.line(&report(arguments, &phases, &stats).to_string())?,
        false => table(&mut output, place, arguments, &phases)?,
    }
    output.finish()?;
    Ok(Outcome::Done)
}

/// Runs one phase on all threads.
fn run(db: &Db, kind: Kind, arguments: &args::Bench) -> Result<Phase, emberkv::Error> {
    let bar = progress::phase(kind.name(), arguments.seconds);
    let is_over = AtomicBool::new(false);
    let length = Duration::from_secs_f64(arguments.seconds);
    let started = Instant::now();
    let (mut latencies, mut course) = (Latencies::default(), Course::new(length));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.threads)
            .map(|thread| {
                let (db, is_over) = (db.clone(), &is_over);
                scope.spawn(move || work(&db, kind, arguments, thread, started, is_over))
            })
            .collect();
        while kind != Kind::Fill && started.elapsed() < length {
            bar.set_position(started.elapsed().as_millis() as u64);
            thread::sleep(TICK.min(length));
        }
        is_over.store(true, Ordering::Relaxed);
        workers.into_iter().try_for_each(|worker| {
            // A panic of a worker is one of this program.
            let (its, course_of) = worker.join().unwrap_or_else(|panic| {
                std::panic::resume_unwind(panic);
            })?;
            latencies.add(&its);
            course.add(&course_of);
            Ok::<(), emberkv::Error>(())
        })
    })?;
    db.sync()?;
    let seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    Ok(Phase { kind, seconds, latencies, course })
}

/// One thread's part of a phase.
fn work(
    db: &Db,
    kind: Kind,
    arguments: &args::Bench,
    thread: u32,
    started: Instant,
    is_over: &AtomicBool,
) -> Result<(Latencies, Course), emberkv::Error> {
    let (keys, threads) = (arguments.keys, u64::from(arguments.threads));
    let mut value = vec![0x5a; arguments.value as usize];
    let mut latencies = Latencies::default();
    let mut course = Course::new(Duration::from_secs_f64(arguments.seconds));
    let mut before = Instant::now();
    for turn in 0.. {
        let own = turn * threads + u64::from(thread);
        let index = match kind {
            Kind::Fill if own >= keys => break,
            Kind::Fill => own,
            _ if turn % STRIDE == 0 && is_over.load(Ordering::Relaxed) => break,
            _ => mix(own ^ 0x0e4b_e44b) % keys,
        };
        let stamp = index.to_le_bytes();
        let stamped = stamp.len().min(value.len());
        value[..stamped].copy_from_slice(&stamp[..stamped]);
        match kind {
            Kind::Fill | Kind::Overwrite => db.put(key(index), &value)?,
            Kind::Durable => db.put_durable(key(index), &value)?,
            Kind::Get => {
                let found = db.get(key(index))?;
                assert!(found.as_deref() == Some(&value[..]), "what was put is what is read");
            }
        }
        let now = Instant::now();
        let took = now - before;
        latencies.note(took);
        course.note(now - started, took);
        before = now;
    }
    Ok((latencies, course))
}

fn table(
    output: &mut Output,
    place: &Path,
    arguments: &args::Bench,
    phases: &[Phase],
) -> Result<(), Failure> {
    output.line(&format!(
        "{}: {} keys of 16 bytes, values of {} bytes, {} thread{}",
        crate::failure::shown(place),
        arguments.keys,
        arguments.value,
        arguments.threads,
        if arguments.threads == 1 { "" } else { "s" },
    ))?;
    let head = ["", "per second", "p50 us", "p99 us", "p99.99 us", "longest us"];
    output.line(&format!(
        "{:<18}{:>12}{:>10}{:>10}{:>11}{:>12}",
        head[0], head[1], head[2], head[3], head[4], head[5]
    ))?;
    for phase in phases {
        let micros = |part: f64| phase.latencies.at(part).as_secs_f64() * 1e6;
        output.line(&format!(
            "{:<18}{:>12.0}{:>10.1}{:>10.1}{:>11.1}{:>12.1}",
            phase.kind.name(),
            phase.latencies.count() as f64 / phase.seconds,
            micros(0.5),
            micros(0.99),
            micros(0.9999),
            micros(1.0),
        ))?;
    }
    Ok(())
}

fn report(arguments: &args::Bench, phases: &[Phase], stats: &emberkv::Stats) -> serde_json::Value {
    let phases: Vec<_> = phases
        .iter()
        .map(|phase| {
            let nanos = |part: f64| phase.latencies.at(part).as_nanos() as u64;
            json!({
                "name": phase.kind.name(),
                "ops": phase.latencies.count(),
                "seconds": phase.seconds,
                "p50_ns": nanos(0.5),
                "p99_ns": nanos(0.99),
                "p9999_ns": nanos(0.9999),
                "max_ns": nanos(1.0),
            })
        })
        .collect();
    json!({
        "keys": arguments.keys,
        "value_bytes": arguments.value,
        "threads": arguments.threads,
        "phases": phases,
        "segments_merged": stats.store.segments_merged,
    })
}
