//! The bounded-exhaustive part: every sequence of a few operations, on fresh stores and on aged ones, with every crash point
//! of it. A sequence and its continuations share crash points: each is explored once, by the first of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::engine::Engine;
use super::explore::Sim;
use super::failure::Failure;
use super::marks::Tally;
use super::plan::Plan;
use super::profile::{PROFILES, SETUP_BYTES};

/// The operations: put a, put b with a sync, put a over segments, delete a, batch (a, b, -c), sync, a merge step, take a
/// snapshot, close and open, the program dies.
pub const ALPHABET: [&[u8]; 10] = [
    &[0x00, 20, 1],
    &[0x03, 30, 1],
    &[0x20, 70, 1],
    &[0x30],
    &[0x40, 2, 0, 9, 1, 30, 8 | 2],
    &[0x50],
    &[0xda],
    &[0xd2],
    &[0x80],
    &[0x90],
];

/// What was done before: nothing; just before a roll; deletes and a snapshot pending behind a clean close; a log that went
/// round and is nearly full, with a cycle under way.
pub const AGES: [&[u8]; 4] = [
    &[],
    &[0x12, 255, 1, 0x14, 255, 1, 0x16, 255, 1, 0x50],
    &[0x01, 9, 1, 0x03, 9, 1, 0x31, 0x80, 0x05, 9, 1, 0xd2, 0x07, 9, 1, 0x34],
    &[0xde, 2, 60, 255, 0xdf, 1, 60, 255, 0xdf, 3, 40, 250, 0xd8],
];

/// What to run through.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// Operations of a sequence.
    pub length: u32,
    /// Names of the media.
    pub profiles: &'a [&'a str],
    /// Threads.
    pub workers: usize,
}

/// The tape of a sequence, and from which byte on its crash points are its own.
fn tape_of(profile: usize, age: &[u8], number: usize, length: u32) -> (Vec<u8>, usize) {
    let mut tape = vec![profile as u8, 0, 0];
    debug_assert_eq!(tape.len(), SETUP_BYTES);
    tape.extend_from_slice(age);
    let mut rest = number;
    let mut letters = Vec::new();
    for _ in 0..length {
        letters.push(rest % ALPHABET.len());
        rest /= ALPHABET.len();
    }
    // The letters behind the last one that is not the first of the alphabet are this sequence's alone, and that one.
    let own = letters.iter().rposition(|&letter| letter != 0).unwrap_or(0);
    let mut from = if own == 0 { 0 } else { usize::MAX };
    for (index, &letter) in letters.iter().enumerate() {
        if index == own && own > 0 {
            from = tape.len();
        }
        tape.extend_from_slice(ALPHABET[letter]);
    }
    if own == 0 && letters.first() != Some(&0) {
        // All crash points of what was before belong to the sequence of first letters.
        from = SETUP_BYTES + age.len();
    }
    (tape, from)
}

/// Explores every sequence.
///
/// # Errors
/// The first violation.
pub fn run<E: Engine>(range: &Range<'_>) -> Result<Tally, Box<Failure>> {
    let count = ALPHABET.len().pow(range.length);
    let profiles: Vec<usize> = (0..PROFILES.len())
        .filter(|&index| range.profiles.contains(&PROFILES[index].name))
        .collect();
    let all = profiles.len() * AGES.len() * count;
    let plan = Plan { deep_in: 8, deep_images: 4, extra_in: 16, ..Plan::default() }.encode();
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let found = Mutex::new((Tally::default(), None));
    std::thread::scope(|scope| {
        for _ in 0..range.workers {
            scope.spawn(|| {
                let mut sim = Sim::<E>::new(None);
                let mut failure = None;
                // Each turn takes a sequence.
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= all {
                        break;
                    }
                    let (place, number) = (index / count, index % count);
                    let (profile, age) = (profiles[place / AGES.len()], AGES[place % AGES.len()]);
                    let (tape, from) = tape_of(profile, age, number, range.length);
                    sim.explored_from = from as u32;
                    if let Err(problem) = sim.run(&tape, &plan) {
                        failure = Some(problem);
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                if let Ok(mut found) = found.lock() {
                    found.0.add(&sim.tally);
                    found.1 = found.1.take().or(failure);
                }
            });
        }
    });
    match found.into_inner() {
        Ok((tally, None)) => Ok(tally),
        Ok((_, Some(failure))) => Err(failure),
        Err(poisoned) => Ok(poisoned.into_inner().0),
    }
}

#[cfg(test)]
mod tests {
    use super::{ALPHABET, SETUP_BYTES, tape_of};

    #[test]
    fn the_last_letter_that_counts_begins_what_a_sequence_explores() {
        let (tape, from) = tape_of(0, &[], 0, 3);
        assert_eq!((tape.len(), from), (SETUP_BYTES + 9, 0));
        let (tape, from) = tape_of(0, &[0x50], 3, 3);
        assert_eq!((tape[from], from), (0x30, SETUP_BYTES + 1));
        let (tape, from) = tape_of(0, &[], 3 * ALPHABET.len(), 3);
        assert_eq!((tape[from], from), (0x30, SETUP_BYTES + 3));
    }
}
