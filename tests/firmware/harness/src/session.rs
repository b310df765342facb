//! One life of a board: from its boot to the cut, and what may be concluded from its lines.

use std::thread;
use std::time::Duration;

use emberkv_firmware_script::{Count, State};

use crate::emulator::{Emulator, Event, Machine};
use crate::random::Random;
use crate::tear::InFlight;

/// What is known of a medium: states from `acked` to `started` are the only ones that it may hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// The newest state that was acknowledged as durable.
    pub(crate) acked: Count,
    /// The newest operation that was begun.
    pub(crate) started: Count,
}

/// When the power is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan {
    /// So long after the n-th line of a life: at any point of boot, recovery or work.
    After { lines: u64, delay: Duration },
    /// At the n-th byte that is programmed, in the middle of a block, page or erase.
    Supply(u64),
    /// Not at all: the firmware ends by itself at this state.
    Until(Count),
}

impl Plan {
    pub(crate) fn random(random: &mut Random, supply_max: u64) -> Self {
        match random.below(4) {
            // Lines 1 to 80 are said while it boots and verifies.
            0 => Self::After { lines: random.below(90), delay: delay(random) },
            1 => Self::After { lines: 90 + random.below(600), delay: delay(random) },
            // The first few hundred bytes are written by recovery.
            2 => Self::Supply(random.below(2_000)),
            _ => Self::Supply(random.below(supply_max)),
        }
    }
}

fn delay(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(8_000))
}

/// How a life ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The state that the firmware found at boot, if it came so far.
    pub(crate) state: Option<Count>,
    /// What was in flight.
    pub(crate) in_flight: Option<InFlight>,
    /// Lines that tell figures.
    pub(crate) figures: Vec<String>,
}

/// Boots, follows, cuts. `host` is the state that the host's tools found in the image.
pub(crate) fn live(
    machine: &Machine<'_>,
    known: &mut Known,
    plan: Plan,
    seed: u64,
    host: Option<&State>,
) -> Result<Ended, String> {
    let mut words = vec![format!("acked={}", known.acked), format!("seed={}", seed as u32 >> 1)];
    match plan {
        Plan::After { .. } => {}
        Plan::Supply(bytes) => words.push(format!("supply={bytes}")),
        Plan::Until(count) => words.push(format!("until={count}")),
    }
    words.extend(machine.canary.map(str::to_owned));
    let mut emulator = Emulator::boot(machine, &words)?;
    let mut ended = Ended::default();
    let (mut lines, mut cut) = (0_u64, false);
    if let Plan::After { lines: 0, delay } = plan {
        thread::sleep(delay);
        emulator.cut()?;
        cut = true;
    }
    while let Event::Line(line) = emulator.next()? {
        follow(&line, known, &mut ended, host)?;
        lines += 1;
        let now = match plan {
            Plan::After { lines: after, delay } if !cut && lines == after => {
                thread::sleep(delay);
                true
            }
            _ => ended.in_flight.is_some() && !cut,
        };
        if now {
            emulator.cut()?;
            cut = true;
        }
    }
    let status = emulator.wait()?;
    match plan {
        Plan::Until(count) if !status.success() || known.acked != count => {
            Err(format!("the firmware ended with {status} at state {}", known.acked))
        }
        Plan::After { .. } | Plan::Supply(_) if !cut => {
            Err(format!("the firmware ended by itself with {status}"))
        }
        _ => Ok(ended),
    }
}

/// Takes a line into account.
fn follow(
    line: &str,
    known: &mut Known,
    ended: &mut Ended,
    host: Option<&State>,
) -> Result<(), String> {
    let number = |text: &str| text.parse::<Count>().map_err(|_| format!("not a number: {line}"));
    let Some((word, rest)) = line.split_once(' ') else { return Err(format!("what is {line:?}")) };
    match word {
        "start" => {
            let count = number(rest)?;
            if count != known.started + 1 {
                return Err(format!("{line} behind {known:?}"));
            }
            known.started = count;
        }
        "ack" => {
            let count = number(rest)?;
            if !(known.acked..=known.started).contains(&count) {
                return Err(format!("{line} behind {known:?}"));
            }
            known.acked = count;
        }
        "state" => {
            let count = number(rest)?;
            if !(known.acked..=known.started).contains(&count) {
                return Err(format!("LOST: {line}, and {known:?}"));
            }
            if let Some(host) = host.filter(|host| **host != State::at(count)) {
                return Err(format!("{line}, and the host's tools found {}", host.count));
            }
            // What an open shows is durable.
            *known = Known { acked: count, started: count };
            ended.state = Some(count);
        }
        "cut" => {
            let in_flight = InFlight::parse(line).ok_or_else(|| format!("what is {line:?}"))?;
            ended.in_flight = Some(in_flight);
        }
        "FAILED" => return Err(format!("the firmware says: {line}")),
        "boot" | "have" => {}
        _ => ended.figures.push(line.to_owned()),
    }
    Ok(())
}
