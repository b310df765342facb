//! The crash simulator's command line: `replay`, `soak`, `hunt`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use emberkv_tests::sim;
use emberkv_tests::sim::canaries::{self, CANARIES, Hunt};
use emberkv_tests::sim::engine::Engine;
use emberkv_tests::sim::exhaust::Range;
use emberkv_tests::sim::profile::PROFILES;
use emberkv_tests::sim::shrink::shrink;
use emberkv_tests::sim::soak::{Campaign, run};
use emberkv_tests::sim::toy::TOY_BUGS;
use emberkv_tests::sim::{Below, Case, Ember, Sim, Toy};

const HELP: &str = "\
sim replay '<line>'                 run one failure again, with its timeline
sim shrink '<line>' [--seconds N]   make it smaller
sim soak [--minutes N] [--images N] [--seed S] [--workers N] [--ledger FILE] [--engine ember|toy]
         [--profile NAME] [--bug NAME] [--no-shrink] [--ignore CLASS,CLASS]
sim exhaust [--length N] [--workers N]   every sequence of so many operations on fresh and aged stores, four media
sim hunt [--engine ember|toy] [--bug NAME]   find the seeded bugs (build with --features canaries for ember)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("replay") => with_line(&arguments, replay::<Ember>, replay::<Toy>),
        Some("shrink") => with_line(&arguments, shrunk::<Ember>, shrunk::<Toy>),
        Some("soak") if is_toy(&arguments) => soak::<Toy>(&arguments),
        Some("soak") => soak::<Ember>(&arguments),
        Some("exhaust") => exhaust(&arguments),
        Some("hunt") if is_toy(&arguments) => {
            hunt::<Toy>(&arguments, &TOY_BUGS.map(|bug| (bug, Hunt::Crash)))
        }
        Some("hunt") => hunt::<Ember>(&arguments, &CANARIES),
        _ => Err(HELP.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), String>;

fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}

fn number(arguments: &[String], name: &str, default: u64) -> Result<u64, String> {
    let Some(text) = option(arguments, name) else { return Ok(default) };
    text.parse().map_err(|_| format!("{name} needs a number, not {text}"))
}

fn is_toy(arguments: &[String]) -> bool {
    option(arguments, "--engine") == Some("toy")
}

/// The seeded bug of that name, as the static text that engines compare with.
fn bug_named(name: Option<&str>) -> Result<Option<&'static str>, String> {
    let Some(name) = name else { return Ok(None) };
    let known = TOY_BUGS
        .iter()
        .copied()
        .chain(CANARIES.iter().map(|(bug, _)| *bug))
        .find(|bug| *bug == name);
    known.map(Some).ok_or_else(|| format!("no seeded bug {name}"))
}

fn with_line(
    arguments: &[String],
    ember: fn(&Case, &[String]) -> Outcome,
    toy: fn(&Case, &[String]) -> Outcome,
) -> Outcome {
    let case = Case::parse(arguments.get(1).ok_or(HELP)?)?;
    match case.engine.as_str() {
        "ember" => ember(&case, arguments),
        "toy" => toy(&case, arguments),
        other => Err(format!("no engine {other}")),
    }
}

fn replay<E: Engine>(case: &Case, _arguments: &[String]) -> Outcome {
    let mut sim = Sim::<E>::new(bug_named(case.bug.as_deref())?);
    sim.timeline = Some(String::new());
    let below = if case.pins.is_empty() { Below::Explore } else { Below::Stop };
    let result = sim.run_case(&case.tape, &case.plan, &case.pins, below);
    println!("{}", sim.timeline.take().unwrap_or_default());
    match result {
        Ok(()) => {
            println!("no violation ({} images)", sim.tally.images);
            Ok(())
        }
        Err(failure) => Err(failure.to_string()),
    }
}

fn shrunk<E: Engine>(case: &Case, arguments: &[String]) -> Outcome {
    let bug = bug_named(case.bug.as_deref())?;
    let below = if case.pins.is_empty() { Below::Explore } else { Below::Stop };
    match Sim::<E>::new(bug).run_case(&case.tape, &case.plan, &case.pins, below) {
        Ok(()) => Err("this line shows no violation".to_owned()),
        Err(failure) => {
            let time = Duration::from_secs(number(arguments, "--seconds", 30)?);
            println!("{}", shrink::<E>(*failure, bug, time));
            Ok(())
        }
    }
}

fn soak<E: Engine>(arguments: &[String]) -> Outcome {
    let profile = match option(arguments, "--profile") {
        Some(name) => Some(
            PROFILES
                .iter()
                .position(|profile| profile.name == name)
                .ok_or_else(|| format!("no profile {name}"))?,
        ),
        None => None,
    };
    let campaign = Campaign {
        seed: number(arguments, "--seed", 1)?,
        workers: number(arguments, "--workers", 2)? as u32,
        images: number(arguments, "--images", u64::MAX)?,
        time: Duration::from_secs(60 * number(arguments, "--minutes", 1)?),
        bug: bug_named(option(arguments, "--bug"))?,
        profile,
        ignore: option(arguments, "--ignore").unwrap_or_default().to_owned().leak(),
    };
    let outcome = run::<E>(&campaign);
    let line = outcome.line(E::NAME, &campaign);
    println!("{}", outcome.tally.table());
    println!("{line}");
    if let Some(path) = option(arguments, "--ledger") {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| format!("{path}: {error}"))?;
        writeln!(file, "{line}").map_err(|error| format!("{path}: {error}"))?;
    }
    if let Some(failure) = outcome.failure {
        println!("{failure}");
        if arguments.iter().any(|argument| argument == "--no-shrink") {
            return Err("a violation".to_owned());
        }
        return Err(format!(
            "shrunk:\n{}",
            shrink::<E>(*failure, campaign.bug, Duration::from_secs(30))
        ));
    }
    let missing = outcome.tally.missing();
    if profile.is_none() && !missing.is_empty() {
        return Err(format!("marks without hits: {missing:?}"));
    }
    Ok(())
}

fn exhaust(arguments: &[String]) -> Outcome {
    let start = std::time::Instant::now();
    let range = Range {
        length: number(arguments, "--length", 4)? as u32,
        profiles: &["block512", "block512-ecc", "nor1", "nor16-ecc"],
        workers: number(arguments, "--workers", 2)? as usize,
    };
    let tally = sim::exhaust::run::<Ember>(&range).map_err(|failure| failure.to_string())?;
    println!(
        "exhaust length={} tapes={} images={} deep={} seconds={:.0} violations=0",
        range.length,
        tally.tapes,
        tally.images,
        tally.deep(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn hunt<E: Engine>(arguments: &[String], bugs: &[(&'static str, Hunt)]) -> Outcome {
    let only = bug_named(option(arguments, "--bug"))?;
    let mut missed = Vec::new();
    for &(bug, first) in bugs.iter().filter(|(bug, _)| only.is_none_or(|only| only == *bug)) {
        match canaries::hunt::<E>(bug, first, Duration::from_secs(60)) {
            Some(found) => {
                let what = found.what.lines().next().unwrap_or_default();
                println!(
                    "{bug:18} {:?} after {} images, {:.1?}: {what:.100}",
                    found.by, found.images, found.after
                );
            }
            None => {
                println!("{bug:18} NOT FOUND");
                missed.push(bug);
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not found: {missed:?}")) }
}
