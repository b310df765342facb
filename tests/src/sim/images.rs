//! Which crash images follow from one crash point: a menu of fates for the atoms that are not durable.
//!
//! All combinations where they are few; else the fixed list that finds what reordering can break: none, all,
//! each one missing, each one alone, prefixes, first pieces of each write only (headers), last pieces only
//! (trailers), each one torn among the present and among the absent, and random ones.

use super::fate::Fate;
use super::oplog::{Atom, AtomKind};
use super::plan::Plan;
use super::profile::{Medium, Profile};
use super::rng::Rng;

/// Sets of fates, one fate per atom, flat.
#[derive(Debug, Default)]
pub struct Menu {
    fates: Vec<Fate>,
    atoms: usize,
    sets: usize,
}

impl Menu {
    /// Number of sets.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.sets
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sets == 0
    }

    /// One set.
    #[must_use]
    pub fn set(&self, index: usize) -> &[Fate] {
        &self.fates[index * self.atoms..(index + 1) * self.atoms]
    }

    /// Fills the menu for atoms that wait for a flush or are in flight.
    pub fn fill(&mut self, profile: &Profile, atoms: &[Atom], plan: &Plan, rng: &mut Rng) {
        self.fates.clear();
        self.atoms = atoms.len();
        self.sets = 0;
        if atoms.is_empty() {
            self.sets = 1;
        } else if profile.medium == Medium::Nor {
            self.fill_ordered(profile, atoms, plan, rng);
        } else {
            self.fill_unordered(profile, atoms, plan, rng);
        }
    }

    /// One set drawn at random: for the power cuts that a tape itself asks for.
    pub fn fill_random(&mut self, profile: &Profile, atoms: &[Atom], rng: &mut Rng) {
        self.fates.clear();
        self.atoms = atoms.len();
        self.sets = 0;
        let torn_at = rng.index(atoms.len().max(1));
        if profile.medium == Medium::Nor {
            self.push(|index| match index.cmp(&torn_at) {
                std::cmp::Ordering::Less => Fate::Full,
                std::cmp::Ordering::Equal => torn(profile, &atoms[index], rng),
                std::cmp::Ordering::Greater => Fate::Absent,
            });
        } else {
            self.push(|index| match rng.below(8) {
                0 => torn(profile, &atoms[index], rng),
                1..4 => Fate::Absent,
                _ => Fate::Full,
            });
        }
    }

    fn push(&mut self, mut fate_of: impl FnMut(usize) -> Fate) {
        for index in 0..self.atoms {
            self.fates.push(fate_of(index));
        }
        self.sets += 1;
    }

    fn fill_unordered(&mut self, profile: &Profile, atoms: &[Atom], plan: &Plan, rng: &mut Rng) {
        let count = atoms.len();
        let combinations = 3_u64.checked_pow(count.min(64) as u32).unwrap_or(u64::MAX);
        if combinations <= u64::from(plan.exhaustive_max) {
            for combination in 0..combinations {
                let mut rest = combination;
                self.push(|index| {
                    let digit = rest % 3;
                    rest /= 3;
                    [Fate::Full, Fate::Absent, torn(profile, &atoms[index], rng)][digit as usize]
                });
            }
            if count == 1 {
                for _ in 0..4 {
                    self.push(|index| torn(profile, &atoms[index], rng));
                }
            }
            return;
        }
        let keep = |yes: bool| if yes { Fate::Full } else { Fate::Absent };
        let starts = |index: usize| index == 0 || atoms[index - 1].op != atoms[index].op;
        let ends = |index: usize| index + 1 == count || atoms[index + 1].op != atoms[index].op;
        self.push(|_| Fate::Absent);
        self.push(|_| Fate::Full);
        self.push(|index| keep(starts(index)));
        self.push(|index| keep(ends(index)));
        self.push(|index| keep(!starts(index)));
        self.push(|index| keep(!ends(index)));
        for chosen in 0..count {
            self.push(|index| keep(index != chosen));
            self.push(|index| keep(index == chosen));
            self.push(|index| keep(index < chosen));
            self.push(
                |index| {
                    if index == chosen { torn(profile, &atoms[index], rng) } else { Fate::Full }
                },
            );
            self.push(|index| {
                if index == chosen { torn(profile, &atoms[index], rng) } else { Fate::Absent }
            });
        }
        for _ in 0..plan.random {
            self.push(|index| match rng.below(5) {
                0 => torn(profile, &atoms[index], rng),
                1..3 => Fate::Absent,
                _ => Fate::Full,
            });
        }
    }

    fn fill_ordered(&mut self, profile: &Profile, atoms: &[Atom], plan: &Plan, rng: &mut Rng) {
        self.push(|_| Fate::Absent);
        for (chosen, atom) in atoms.iter().enumerate() {
            let mut push = |fate: Fate| {
                self.push(|index| match index.cmp(&chosen) {
                    std::cmp::Ordering::Less => Fate::Full,
                    std::cmp::Ordering::Equal => fate,
                    std::cmp::Ordering::Greater => Fate::Absent,
                });
            };
            push(Fate::Full);
            if atom.kind == AtomKind::Program {
                let units = atom.bytes / profile.write_unit;
                let step = (units / u32::from(plan.cuts.max(1))).max(1);
                for unit in (0..units).step_by(step as usize) {
                    push(Fate::Prefix((unit * profile.write_unit) as u16));
                }
                if profile.weak_bits {
                    push(Fate::Weak);
                }
                push(Fate::Suffix(rng.word()));
                for _ in 0..3 {
                    push(Fate::Mix(rng.word()));
                }
                if profile.torn_unreadable {
                    push(Fate::Unreadable(rng.word()));
                    push(Fate::Unreadable(rng.word()));
                }
            } else {
                push(Fate::Prefix(rng.word()));
                push(Fate::Suffix(rng.word()));
                push(Fate::Garbage(rng.word()));
                push(Fate::Garbage(0));
                push(Fate::Mix(rng.word()));
                push(Fate::Unstable);
            }
        }
    }
}

/// One way for this atom to tear.
fn torn(profile: &Profile, atom: &Atom, rng: &mut Rng) -> Fate {
    let argument = rng.word();
    match (profile.medium, atom.kind) {
        (_, AtomKind::Trim) => Fate::Garbage(argument),
        (Medium::Nor, AtomKind::Erase) => match rng.below(5) {
            0 => Fate::Prefix(argument),
            1 => Fate::Suffix(argument),
            2 => Fate::Garbage(argument),
            3 => Fate::Mix(argument),
            _ => Fate::Unstable,
        },
        (Medium::Nor, AtomKind::Program) => {
            match rng.below(if profile.torn_unreadable { 5 } else { 4 }) {
                0 => Fate::Prefix(argument),
                1 => Fate::Suffix(argument),
                2 => Fate::Mix(argument),
                3 if profile.weak_bits => Fate::Weak,
                3 => Fate::Mix(argument),
                _ => Fate::Unreadable(argument),
            }
        }
        (Medium::Block, _) => match rng.below(if profile.torn_unreadable { 6 } else { 4 }) {
            0 => Fate::Prefix(argument),
            1 => Fate::Suffix(argument),
            2 => Fate::Mix(argument),
            3 => Fate::Garbage(argument),
            _ => Fate::Unreadable(argument),
        },
    }
}
