//! One level of crashes: a recorded session, the medium on which its images are made, and which crash points are
//! worth one.

use super::device::SimDevice;
use super::fate::{Fate, befall};
use super::fault::Saved;
use super::images::Menu;
use super::oplog::{Atom, AtomKind, OpKind, Phase};
use super::plan::Plan;
use super::probe::Crash;
use super::profile::Medium;
use super::rng::{Rng, mix};
use super::seen::Seen;

/// One level of crashes: a recorded session and the medium on which its images are made.
#[derive(Default)]
pub(super) struct Level {
    pub(super) recorder: SimDevice,
    pub(super) base: SimDevice,
    pub(super) medium: SimDevice,
    pub(super) saved: Saved,
    pub(super) pending: Vec<Atom>,
    /// How many of them an earlier store left behind when it was opened anew.
    pub(super) left_behind: usize,
    pub(super) atoms: Vec<Atom>,
    pub(super) menu: Menu,
    pub(super) seen: Seen,
    pub(super) then: Vec<u8>,
    pub(super) points: Vec<u32>,
}

impl Level {
    /// Which crash points are explored: all of the tape's own session, a few of a recovered one. Half of those
    /// are inside `open`.
    pub(super) fn choose_points(&mut self, level: usize, plan: &Plan, rng: &mut Rng) {
        self.points.clear();
        if level == 0 {
            return;
        }
        let ops = &self.recorder.log.ops;
        let in_open =
            ops.iter().filter(|op| op.kind.is_device_op() && op.phase == Phase::Open).count()
                as u64;
        let all = ops.iter().filter(|op| op.kind.is_device_op()).count() as u64 + 1;
        for turn in 0..plan.deep_images {
            let among_open = turn % 2 == 0 && in_open > 0;
            let mut skip = rng.below(if among_open { in_open } else { all });
            let mut point = ops.len();
            for (index, op) in ops.iter().enumerate() {
                if op.kind.is_device_op() && (!among_open || op.phase == Phase::Open) {
                    if skip == 0 {
                        point = index;
                        break;
                    }
                    skip -= 1;
                }
            }
            self.points.push(point as u32);
        }
        self.points.sort_unstable();
    }

    pub(super) fn is_point(&self, op: usize) -> bool {
        match self.recorder.log.ops.get(op) {
            Some(entry) if !entry.kind.is_device_op() => false,
            _ if self.points.is_empty() => true,
            _ => self.points.binary_search(&(op as u32)).is_ok(),
        }
    }

    pub(super) fn crash_before(&self, op: usize) -> Crash {
        let log = &self.recorder.log;
        match log.ops.get(op) {
            Some(op) => Crash {
                bounds: (op.lower, op.upper),
                seq: op.seq,
                in_format: op.phase == Phase::Format,
                thorough: false,
            },
            None => Crash {
                bounds: self.recorder.bounds,
                seq: self.recorder.seq,
                in_format: false,
                thorough: false,
            },
        }
    }

    /// The atoms whose fate is open when the power fails before or inside `op`.
    pub(super) fn gather_atoms(&mut self, op: usize) {
        self.atoms.clone_from(&self.pending);
        if let Some(op) = self.recorder.log.ops.get(op) {
            let own = op.first as usize..op.end as usize;
            self.atoms.extend_from_slice(&self.recorder.log.atoms[own]);
        }
    }

    /// Moves the durable medium and the pending atoms past `op`.
    pub(super) fn advance(&mut self, op: usize) {
        let log = &self.recorder.log;
        let entry = log.ops[op];
        let own = &log.atoms[entry.first as usize..entry.end as usize];
        let durable = self.medium.profile().medium == Medium::Nor;
        match entry.kind {
            OpKind::WriteDurable => {
                for atom in own {
                    let (start, end) = (atom.offset, atom.offset + atom.bytes);
                    self.pending.retain(|old| old.offset >= end || old.offset + old.bytes <= start);
                    self.seen.applied(atom);
                    befall(&mut self.medium, atom, log.data_of(atom), Fate::Full);
                    self.medium.rules.wrote_durable(atom.offset, atom.bytes);
                }
            }
            OpKind::Write | OpKind::Erase | OpKind::Discard if durable => {
                for atom in own {
                    self.seen.applied(atom);
                    befall(&mut self.medium, atom, log.data_of(atom), Fate::Full);
                }
                self.medium.rules.flushed();
            }
            OpKind::Write | OpKind::Erase | OpKind::Discard => self.pending.extend_from_slice(own),
            OpKind::Flush => {
                for (index, atom) in self.pending.drain(..).enumerate() {
                    self.seen.applied(&atom);
                    befall(&mut self.medium, &atom, log.data_of(&atom), Fate::Full);
                    if index < self.left_behind && atom.kind == AtomKind::Program {
                        // An earlier store wrote it and nobody was told: the one that is open now may write there.
                        self.medium.rules.forgotten(atom.offset, atom.bytes);
                    }
                }
                self.left_behind = 0;
                self.medium.rules.flushed();
            }
            OpKind::Ack => self.medium.rules.ack(),
            OpKind::Free => {
                for atom in own {
                    self.medium.rules.freed(atom.offset, atom.bytes);
                }
            }
            OpKind::Reopen => {
                self.left_behind = self.pending.len();
                self.medium.rules.opening();
            }
            OpKind::FlushFailed | OpKind::User(_) => {}
        }
    }

    /// Equal for equal images with equal legal states (up to the randomness of torn atoms).
    pub(super) fn image_key(&self, fates: &[Fate], crash: &Crash) -> u64 {
        let mut key = self.seen.durable();
        for (atom, &fate) in self.atoms.iter().zip(fates) {
            key ^= Seen::effect(atom, fate);
        }
        mix(key ^ mix(u64::from(crash.bounds.0) << 32 | u64::from(crash.bounds.1)))
    }
}
