//! How a run is explored: the plan, and the path of crashes that leads to one failure (pins).

use super::fate::Fate;

/// Knobs of the exploration, from bytes; missing bytes take the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Most crashes in a row.
    pub depth: u8,
    /// One image in so many is recovered, used and crashed again; 0 for none.
    pub deep_in: u8,
    /// Images checked of each such session.
    pub deep_images: u8,
    /// One image in so many gets the long checks (second open, close, progress, `check`).
    pub extra_in: u8,
    /// All combinations where there are at most so many.
    pub exhaustive_max: u16,
    /// Random sets per crash point beyond that.
    pub random: u8,
    /// Cuts of a NOR program that are tried.
    pub cuts: u8,
    /// Most images of one session in units of 256; 0 for no bound.
    pub session_images: u8,
    /// Whether crash points inside `format` are explored.
    pub explore_format: bool,
    /// Seed of everything random in the exploration.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            depth: 3,
            deep_in: 8,
            deep_images: 8,
            extra_in: 8,
            exhaustive_max: 27,
            random: 6,
            cuts: 16,
            session_images: 8,
            explore_format: false,
            seed: 0,
        }
    }
}

impl Plan {
    /// Reads a plan.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let default = Self::default();
        let byte = |index: usize, default: u8| bytes.get(index).copied().unwrap_or(default);
        let mut seed = [0; 8];
        for (index, byte) in seed.iter_mut().enumerate() {
            *byte = bytes.get(9 + index).copied().unwrap_or(0);
        }
        Self {
            depth: byte(0, default.depth).clamp(1, 3),
            deep_in: byte(1, default.deep_in),
            deep_images: byte(2, default.deep_images),
            extra_in: byte(3, default.extra_in),
            exhaustive_max: 3_u16.pow(u32::from(byte(4, 3).min(6))),
            random: byte(5, default.random),
            cuts: byte(6, default.cuts),
            session_images: byte(7, default.session_images),
            explore_format: byte(8, 0) != 0,
            seed: u64::from_le_bytes(seed),
        }
    }

    /// Writes a plan.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let power = self.exhaustive_max.max(1).ilog(3) as u8;
        let mut bytes = vec![
            self.depth,
            self.deep_in,
            self.deep_images,
            self.extra_in,
            power,
            self.random,
            self.cuts,
            self.session_images,
            u8::from(self.explore_format),
        ];
        bytes.extend_from_slice(&self.seed.to_le_bytes());
        bytes
    }
}

/// One crash on the way to a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// Which power session of the tape (a tape may cut the power itself).
    pub session: u32,
    /// The crash is before the entry with this index in the session's log, or inside it.
    pub op: u32,
    /// What became of the atoms that were not durable.
    pub fates: Vec<Fate>,
    /// What the recovered store did before the next crash: tape without a setup.
    pub then: Vec<u8>,
}

/// Bytes as hexadecimal digits; `-` for none.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The inverse of [`to_hex`].
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text == "-" {
        return Some(Vec::new());
    }
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Plan, from_hex, to_hex};

    #[test]
    fn plans_survive_their_encoding() {
        let plan =
            Plan { seed: 0x0123_4567_89ab_cdef, depth: 2, explore_format: true, ..Plan::default() };
        assert_eq!(Plan::decode(&plan.encode()), plan);
        assert_eq!(Plan::decode(&[]), Plan::default());
        assert_eq!(from_hex(&to_hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
    }
}
