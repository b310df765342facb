//! What becomes of one atom when the power fails, and how that looks on the medium.
//!
//! A fate is a letter and a 16-bit argument (a cut or a seed), so that a whole crash image fits one replay line.

use std::fmt::Write as _;

use super::device::SimDevice;
use super::oplog::{Atom, AtomKind};
use super::profile::Medium;
use super::rng::Rng;

/// What becomes of an atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never reached the medium.
    Absent,
    /// It is there.
    Full,
    /// Its first bytes are there; the argument chooses how many.
    Prefix(u16),
    /// Its last bytes are there.
    Suffix(u16),
    /// Bytes (overwritable) or bit transitions (NOR) of it are there at random.
    Mix(u16),
    /// Its whole tear unit holds garbage, neighbours included. An erase: programmed to zeros in part.
    Garbage(u16),
    /// Its tear unit cannot be read.
    Unreadable(u16),
    /// It reads as if it were there, in this power session only (NOR).
    Weak,
    /// An erase that looks done; each read differs.
    Unstable,
}

impl Fate {
    /// Whether the atom tore.
    #[must_use]
    pub const fn is_torn(self) -> bool {
        !matches!(self, Self::Absent | Self::Full)
    }

    /// The letter and argument of the replay line.
    pub fn print(self, out: &mut String) {
        let (letter, argument) = match self {
            Self::Absent => ('a', None),
            Self::Full => ('f', None),
            Self::Prefix(cut) => ('p', Some(cut)),
            Self::Suffix(cut) => ('s', Some(cut)),
            Self::Mix(seed) => ('m', Some(seed)),
            Self::Garbage(seed) => ('g', Some(seed)),
            Self::Unreadable(seed) => ('u', Some(seed)),
            Self::Weak => ('w', None),
            Self::Unstable => ('x', None),
        };
        out.push(letter);
        if let Some(argument) = argument {
            let _ = write!(out, "{argument}");
        }
    }

    /// Parses what [`print`](Self::print) wrote for a whole list.
    #[must_use]
    pub fn parse_all(text: &str) -> Option<Vec<Self>> {
        let mut fates = Vec::new();
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let letter = bytes[at];
            at += 1;
            let digits = at;
            while at < bytes.len() && bytes[at].is_ascii_digit() {
                at += 1;
            }
            let argument = || text[digits..at].parse::<u16>().ok();
            fates.push(match letter {
                b'a' => Self::Absent,
                b'f' => Self::Full,
                b'p' => Self::Prefix(argument()?),
                b's' => Self::Suffix(argument()?),
                b'm' => Self::Mix(argument()?),
                b'g' => Self::Garbage(argument()?),
                b'u' => Self::Unreadable(argument()?),
                b'w' => Self::Weak,
                b'x' => Self::Unstable,
                b'-' if bytes.len() == 1 => return Some(Vec::new()),
                _ => return None,
            });
        }
        Some(fates)
    }
}

/// Lets `fate` befall `atom` on the medium of `device`.
pub fn befall(device: &mut SimDevice, atom: &Atom, data: &[u8], fate: Fate) {
    if fate == Fate::Absent {
        return;
    }
    match (atom.kind, device.profile().medium) {
        (AtomKind::Program, Medium::Block) => befall_block(device, atom, data, fate),
        (AtomKind::Program, Medium::Nor) => befall_nor(device, atom, data, fate),
        (AtomKind::Erase, _) => befall_erase(device, atom, fate),
        (AtomKind::Trim, _) => {
            let mut rng = seeded(atom, fate);
            let target = device.touch(atom.offset..atom.offset + atom.bytes);
            if fate.is_torn() { rng.fill(target) } else { target.fill(0) }
        }
    }
}

fn seeded(atom: &Atom, fate: Fate) -> Rng {
    let seed = match fate {
        Fate::Prefix(x)
        | Fate::Suffix(x)
        | Fate::Mix(x)
        | Fate::Garbage(x)
        | Fate::Unreadable(x) => x,
        Fate::Absent | Fate::Full | Fate::Weak | Fate::Unstable => 0,
    };
    Rng::for_place(&[u64::from(seed), u64::from(atom.offset), u64::from(atom.bytes)])
}

fn befall_block(device: &mut SimDevice, atom: &Atom, data: &[u8], fate: Fate) {
    device.rules.wrote_bytes(atom.offset, data);
    let start = atom.offset;
    let cut = |argument: u16| u32::from(argument) % atom.bytes;
    let mut rng = seeded(atom, fate);
    match fate {
        Fate::Absent => {}
        Fate::Full | Fate::Weak | Fate::Unstable => device.program(start, data),
        Fate::Prefix(argument) => device.program(start, &data[..cut(argument) as usize]),
        Fate::Suffix(argument) => {
            device.program(start + cut(argument), &data[cut(argument) as usize..])
        }
        Fate::Mix(_) => {
            let target = device.touch(start..start + atom.bytes);
            for (old, new) in target.chunks_mut(32).zip(data.chunks(32)) {
                if rng.one_in(2) {
                    old.copy_from_slice(new);
                }
            }
        }
        Fate::Garbage(_) | Fate::Unreadable(_) => {
            let unit = device.profile().tear_unit;
            let end = (start + atom.bytes).next_multiple_of(unit);
            let start = start / unit * unit;
            rng.fill(device.touch(start..end));
            if matches!(fate, Fate::Unreadable(_)) {
                device.scars.unreadable.push(start..end);
            }
        }
    }
}

fn befall_nor(device: &mut SimDevice, atom: &Atom, data: &[u8], fate: Fate) {
    let unit = device.profile().write_unit;
    let start = atom.offset;
    let cut = |argument: u16| u32::from(argument) % atom.bytes / unit * unit;
    let mut rng = seeded(atom, fate);
    let mut touched = start..start + atom.bytes;
    match fate {
        Fate::Absent => return,
        Fate::Full | Fate::Garbage(_) | Fate::Unstable => device.program(start, data),
        Fate::Weak => {
            device.program(start, data);
            device.scars.weak.push(touched.clone());
        }
        Fate::Prefix(argument) | Fate::Unreadable(argument) => {
            let cut = cut(argument);
            device.program(start, &data[..cut as usize]);
            let torn = start + cut..start + cut + unit;
            clear_some(device, torn.clone(), &data[cut as usize..(cut + unit) as usize], &mut rng);
            if matches!(fate, Fate::Unreadable(_)) {
                device.scars.unreadable.push(torn.clone());
            }
            touched.end = torn.end;
        }
        Fate::Suffix(argument) => {
            let cut = cut(argument);
            touched.start += cut;
            device.program(start + cut, &data[cut as usize..]);
        }
        Fate::Mix(_) => clear_some(device, touched.clone(), data, &mut rng),
    }
    device.rules.wrote(touched.start, touched.end - touched.start);
}

/// A random subset of the transitions from 1 to 0 has happened.
fn clear_some(device: &mut SimDevice, range: std::ops::Range<u32>, data: &[u8], rng: &mut Rng) {
    for (byte, &new) in device.touch(range).iter_mut().zip(data) {
        *byte &= new | rng.next() as u8;
    }
}

fn befall_erase(device: &mut SimDevice, atom: &Atom, fate: Fate) {
    let mut rng = seeded(atom, fate);
    let (start, end) = (atom.offset, atom.offset + atom.bytes);
    let half = match fate {
        Fate::Prefix(cut) => start..start + u32::from(cut) % atom.bytes,
        Fate::Suffix(cut) => start + u32::from(cut) % atom.bytes..end,
        _ => start..end,
    };
    match fate {
        Fate::Absent => return,
        Fate::Full | Fate::Weak => return device.blank(start, atom.bytes),
        Fate::Prefix(_) | Fate::Suffix(_) => device.touch(half).fill(0xff),
        Fate::Unstable => {
            device.touch(half).fill(0xff);
            device.scars.unstable.push(start..end);
        }
        Fate::Garbage(cut) => {
            let from = start + u32::from(cut) % atom.bytes;
            device.touch(from..end).fill(0);
        }
        Fate::Mix(_) | Fate::Unreadable(_) => {
            for byte in device.touch(half) {
                *byte = match rng.below(4) {
                    0 => *byte,
                    1 => 0,
                    2 => 0xff,
                    _ => *byte | rng.next() as u8,
                };
            }
        }
    }
    // Half-erased cells take no program until they are erased again.
    device.rules.wrote(start, atom.bytes);
}
