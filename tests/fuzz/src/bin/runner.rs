//! The fuzz targets on a stable toolchain: replays the corpus, then mutates it for some seconds, from a seed.
//!
//! ```text
//! runner [--seconds N] [--seed S] [--target NAME] [--replay FILE --target NAME] [--keep COUNT]
//! ```
//! Time is shared between the targets. A failing input is written to `artifacts/TARGET-HASH` and printed; so is one that takes
//! more than ten seconds. There is no coverage here: cargo-fuzz has that. `--keep` writes so many fresh inputs into the
//! corpus, to begin one.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use emberkv_fuzz::{TARGETS, Target};
use emberkv_tests::sim::rng::{Rng, digest};

/// An input that takes longer counts as a hang.
const HANG: Duration = Duration::from_secs(10);
/// Longest input.
const INPUT_BYTES: u64 = 400;

/// The input that is running, and since when.
type Running = Arc<Mutex<Option<(&'static str, Vec<u8>, Instant)>>>;

struct Options {
    seconds: u64,
    seed: u64,
    target: Option<String>,
    replay: Option<PathBuf>,
    keep: usize,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seconds: 10, seed: 1, target: None, replay: None, keep: 0 };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("not a number: {value}"));
        match name.as_str() {
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = number()?,
            "--target" => options.target = Some(value),
            "--replay" => options.replay = Some(value.into()),
            "--keep" => options.keep = number()? as usize,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(name: &str) -> Result<Vec<Vec<u8>>, String> {
    let folder = home().join("corpus").join(name);
    let mut inputs = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        inputs.insert(path, bytes);
    }
    Ok(inputs.into_values().collect())
}

fn save(folder: &str, name: &str, input: &[u8]) -> String {
    let folder = home().join(folder);
    let path = folder.join(format!("{name}{:016x}", digest(input) as u64));
    let saved = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
    match saved {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("not saved ({error})"),
    }
}

/// Runs one input; false if it broke an invariant.
fn run((name, entry): Target, input: &[u8], running: &Running) -> bool {
    *running.lock().expect("the watch does not panic") =
        Some((name, input.to_vec(), Instant::now()));
    let result = catch_unwind(|| entry(input));
    *running.lock().expect("the watch does not panic") = None;
    if result.is_ok() {
        return true;
    }
    let path = save("artifacts", &format!("{name}-"), input);
    eprintln!("{name}: FAILED on {} bytes: {path}", input.len());
    eprintln!("again: cargo run --release --bin runner -- --target {name} --replay {path}");
    false
}

/// An input made from those that there are.
fn mutated(rng: &mut Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let pick = |rng: &mut Rng| match inputs.len() {
        0 => Vec::new(),
        count => inputs[rng.index(count)].clone(),
    };
    let mut input = pick(rng);
    if input.is_empty() || rng.one_in(4) {
        let longest = if rng.one_in(3) { INPUT_BYTES } else { INPUT_BYTES / 8 };
        input = vec![0; 1 + rng.below(longest) as usize];
        rng.fill(&mut input);
    }
    for _ in 0..rng.below(6) {
        let at = rng.index(input.len());
        match rng.below(6) {
            0 => input[at] ^= 1 << rng.below(8),
            1 => input[at] = rng.next() as u8,
            2 => input.insert(at, rng.next() as u8),
            3 if input.len() > 1 => drop(input.remove(at)),
            4 => input[at] = [0, 1, 0x7f, 0x80, 0xff, 0x10][rng.index(6)],
            _ => {
                let other = pick(rng);
                let from = rng.index(other.len());
                input.truncate(at + 1);
                input.extend_from_slice(&other[from.min(other.len())..]);
            }
        }
    }
    input.truncate(INPUT_BYTES as usize);
    input
}

fn fuzz(
    target: Target,
    options: &Options,
    time: Duration,
    running: &Running,
) -> Result<bool, String> {
    let (name, _) = target;
    let inputs = corpus(name)?;
    let start = Instant::now();
    for input in &inputs {
        if !run(target, input, running) {
            return Ok(false);
        }
    }
    let (replayed, mut rng) = (start.elapsed(), Rng::new(options.seed));
    let start = Instant::now();
    let mut runs: u64 = 0;
    while start.elapsed() < time {
        let input = mutated(&mut rng, &inputs);
        if !run(target, &input, running) {
            return Ok(false);
        }
        if runs < options.keep as u64 {
            save("corpus", &format!("{name}/"), &input);
        }
        runs += 1;
    }
    println!(
        "{name}: {} inputs of the corpus in {replayed:.1?}, then {runs} in {:.1?}",
        inputs.len(),
        start.elapsed()
    );
    Ok(true)
}

fn watch(running: &Running) {
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let guard = running.lock().expect("the runner does not panic while it holds this");
        if let Some((name, input, since)) = guard.as_ref()
            && since.elapsed() > HANG
        {
            let path = save("artifacts", &format!("{name}-hang-"), input);
            eprintln!("{name}: HANGS on {} bytes: {path}", input.len());
            std::process::exit(1);
        }
    }
}

fn all(options: &Options) -> Result<bool, String> {
    let wanted = |target: &&Target| options.target.as_deref().is_none_or(|name| name == target.0);
    let targets: Vec<Target> = TARGETS.iter().filter(wanted).copied().collect();
    if targets.is_empty() {
        return Err("no such target".to_owned());
    }
    let running = Running::default();
    let watched = Arc::clone(&running);
    std::thread::spawn(move || watch(&watched));
    if let Some(path) = &options.replay {
        let input = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok(targets.iter().all(|&target| run(target, &input, &running)));
    }
    let time = Duration::from_millis(options.seconds * 1000 / targets.len() as u64);
    for target in targets {
        if !fuzz(target, options, time, &running)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn main() -> ExitCode {
    match options().and_then(|options| all(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("runner: {what}");
            ExitCode::from(2)
        }
    }
}
