//! What a cut destroys of what was in flight: the emulated media keep whole blocks and prefixes,
//! real ones do not.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::random::Random;

/// What was in flight, as the firmware's line `cut MEDIUM ADDRESS LANDED BYTES` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InFlight {
    medium: Medium,
    address: u64,
    landed: usize,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    /// A block of a card: old, new or neither.
    Sd,
    /// A page command of a NOR chip: bits go from 1 to 0.
    Program,
    /// An erase of a NOR chip.
    Erase,
}

impl InFlight {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("cut ")?.split(' ');
        let medium = match words.next()? {
            "sd" => Medium::Sd,
            "program" => Medium::Program,
            "erase" => Medium::Erase,
            _ => return None,
        };
        let mut number = || words.next()?.parse::<u64>().ok();
        let (address, landed, bytes) = (number()?, number()? as usize, number()? as usize);
        Some(Self { medium, address, landed, bytes })
    }

    /// Destroys some of it in the image.
    pub(crate) fn tear(self, image: &Path, random: &mut Random) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(image)?;
        let mut bytes = vec![0; self.bytes];
        file.read_exact_at(&mut bytes, self.address)?;
        match self.medium {
            Medium::Sd => tear_block(&mut bytes, random),
            Medium::Program => {
                // What landed stays; bits of the rest may have gone down.
                let modes = random.below(3);
                for byte in &mut bytes[self.landed..] {
                    *byte &= match modes {
                        0 => 0xFF,
                        1 => random.number() as u8,
                        _ => (random.number() | random.number() | random.number()) as u8,
                    };
                }
            }
            Medium::Erase => tear_erase(&mut bytes, random),
        }
        file.write_all_at(&bytes, self.address)
    }
}

fn tear_block(bytes: &mut [u8], random: &mut Random) {
    let (from, to) = match random.below(4) {
        0 => return,
        1 => (0, bytes.len()),
        2 => (0, random.below(bytes.len() as u64) as usize),
        _ => (random.below(bytes.len() as u64) as usize, bytes.len()),
    };
    for byte in &mut bytes[from..to] {
        *byte = random.number() as u8;
    }
}

fn tear_erase(bytes: &mut [u8], random: &mut Random) {
    let length = bytes.len();
    match random.below(4) {
        0 => {}
        1 => bytes.fill(0xFF),
        2 => bytes[..random.below(length as u64) as usize].fill(0xFF),
        _ => {
            // Each byte old, programmed to 0 first as chips do, erased, or half of that.
            for byte in bytes {
                *byte = match random.below(4) {
                    0 => *byte,
                    1 => 0x00,
                    2 => 0xFF,
                    _ => *byte | random.number() as u8,
                };
            }
        }
    }
}
