//! Cuts the power of an emulated board again and again, and checks after each cut that nothing that
//! was acknowledged is lost, nothing that was not begun is there, and that the host's tools agree.
//!
//! `harness --board MACHINE --firmware FILE --emberkv FILE --work DIR [--cuts N] [--seed N]
//! [--inspect-every N] [--qemu PROGRAM] [--canary early-acks]`
//!
//! A failure prints the seed and keeps the image.

mod board;
mod emulator;
mod random;
mod session;
mod tear;
mod tools;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use board::Board;
use emulator::Machine;
use random::Random;
use session::{Known, Plan, live};

/// Operations of the first life, and of the last one.
const FIRST: u32 = 40;
const LAST: u32 = 400;

struct Arguments {
    board: Board,
    firmware: PathBuf,
    emberkv: PathBuf,
    work: PathBuf,
    qemu: String,
    cuts: u64,
    seed: u64,
    inspect_every: u64,
    canary: Option<String>,
}

fn arguments() -> Result<Arguments, String> {
    let mut given = HashMap::new();
    let mut words = env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} wants a value"))?;
        given.insert(name, value);
    }
    let mut take = |name: &str| given.remove(&format!("--{name}"));
    let need =
        |name: &str, value: Option<String>| value.ok_or_else(|| format!("--{name} is missing"));
    let number = |name: &str, value: Option<String>, default: u64| match value {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("--{name} wants a number")),
    };
    let board = need("board", take("board"))?;
    let arguments = Arguments {
        board: Board::parse(&board).ok_or_else(|| format!("unknown board {board}"))?,
        firmware: need("firmware", take("firmware"))?.into(),
        emberkv: need("emberkv", take("emberkv"))?.into(),
        work: need("work", take("work"))?.into(),
        qemu: take("qemu").unwrap_or_else(|| "qemu-system-arm".to_owned()),
        cuts: number("cuts", take("cuts"), 20)?,
        seed: number("seed", take("seed"), 1)?,
        inspect_every: number("inspect-every", take("inspect-every"), 1)?.max(1),
        canary: take("canary"),
    };
    match given.keys().next() {
        None => Ok(arguments),
        Some(name) => Err(format!("what is {name}?")),
    }
}

fn run(arguments: &Arguments) -> Result<String, String> {
    let begin = Instant::now();
    fs::create_dir_all(&arguments.work).map_err(|error| error.to_string())?;
    let name = arguments.board.machine();
    let image = arguments.work.join(format!("{name}.image"));
    let control = arguments.work.join(format!("{name}.control"));
    arguments.board.blank(&image).map_err(|error| error.to_string())?;
    let machine = Machine {
        board: arguments.board,
        program: &arguments.qemu,
        firmware: &arguments.firmware,
        image: &image,
        control: &control,
        canary: arguments.canary.as_deref(),
    };
    let mut random = Random::new(arguments.seed);
    let mut known = Known::default();
    live(&machine, &mut known, Plan::Until(FIRST), arguments.seed, None)?;
    let (mut opened, mut torn, mut inspected) = (0_u64, 0_u64, 0_u64);
    let mut host = Some(tools::inspect(&arguments.emberkv, arguments.board, &image, known.acked)?);
    for cut in 0..arguments.cuts {
        let plan = Plan::random(&mut random, arguments.board.supply_max());
        let at = |what: String| format!("cut {cut}, {plan:?}: {what}");
        let ended = live(&machine, &mut known, plan, random.number(), host.as_ref()).map_err(at)?;
        opened += u64::from(ended.state.is_some());
        if let Some(in_flight) = ended.in_flight {
            in_flight.tear(&image, &mut random).map_err(|error| error.to_string())?;
            torn += 1;
        }
        host = None;
        if cut % arguments.inspect_every == 0 {
            let state = tools::inspect(&arguments.emberkv, arguments.board, &image, known.acked)
                .map_err(at)?;
            if state.count > known.started {
                return Err(at(format!("LOST: the host's tools found {}, {known:?}", state.count)));
            }
            host = Some(state);
            inspected += 1;
        }
    }
    let until = known.started + LAST;
    let ended = live(&machine, &mut known, Plan::Until(until), arguments.seed, host.as_ref())?;
    let state = tools::inspect(&arguments.emberkv, arguments.board, &image, until)?;
    if state.count != until {
        return Err(format!("closed at {until}, and the host's tools found {}", state.count));
    }
    for line in &ended.figures {
        println!("{name}: {line}");
    }
    fs::remove_file(&image).map_err(|error| error.to_string())?;
    Ok(format!(
        "{} cuts ({opened} after a complete open, {torn} in the middle of a write or erase), {until} \
         operations, {inspected} images inspected by the host's tools, 0 losses, {:.0} s",
        arguments.cuts,
        begin.elapsed().as_secs_f64()
    ))
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("harness: {what}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(summary) => {
            println!("{}: {summary}", arguments.board.machine());
            ExitCode::SUCCESS
        }
        Err(what) => {
            let board = arguments.board.machine();
            eprintln!("harness: {board}, seed {}: {what}", arguments.seed);
            ExitCode::FAILURE
        }
    }
}
