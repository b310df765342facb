//! Which key is overwritten next. The adversary sees where every record lies and how many live bytes each segment has.

use emberkv_core::Store;
use emberkv_core::types::SegmentId;
use emberkv_memory::MemoryDevice;

use crate::sim::rng::Rng;

/// A way to choose keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// Every key alike.
    Uniform,
    /// Some keys far more often than others: the n-th with weight `1 / n^0.99`.
    Zipf,
    /// One behind the other: all dead bytes lie together.
    InTurn,
    /// The adversary: always a key of the fullest sealed segment. So all of them fill alike and none is cheap to merge.
    Level,
    /// The adversary, in bursts: the fullest segments for a while, then keys that were written just now, so that copies die
    /// as soon as they are paid for; then at random.
    Bursts,
}

impl Aim {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Uniform, Self::Zipf, Self::InTurn, Self::Level, Self::Bursts];
}

/// Ranks with weights `1 / n^0.99`, spread over the keys.
#[derive(Debug)]
pub struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    /// The distribution over `count` keys.
    #[must_use]
    pub fn new(count: u32) -> Self {
        let mut sum = 0.0;
        let weigh = |rank: u32| {
            sum += f64::from(rank).powf(-0.99);
            sum
        };
        Self { cumulated: (1..=count).map(weigh).collect() }
    }

    /// A key.
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        let all = self.cumulated.last().copied().unwrap_or(1.0);
        let at = (rng.next() >> 11) as f64 / (1_u64 << 53) as f64 * all;
        let rank = self.cumulated.partition_point(|&sum| sum <= at).min(self.cumulated.len() - 1);
        // Ranks that follow one another were not filled one behind the other.
        ((rank as u64 * 0x9e37_79b1) % self.cumulated.len() as u64) as u32
    }
}

/// Chooses keys in one way.
#[derive(Debug)]
pub struct Aimer {
    aim: Aim,
    key_count: u32,
    zipf: Option<Zipf>,
    /// Keys by the segment in which they were last seen: each key stands in exactly one list.
    lists: Vec<Vec<u32>>,
    draws: u64,
    /// When all keys were last filed anew.
    filed: u64,
    recent: Vec<u32>,
}

/// Draws of one kind in a row, in bursts.
const BURST: u64 = 64;

impl Aimer {
    /// Aims at keys `0..key_count` of a store with so many segments.
    #[must_use]
    pub fn new(aim: Aim, key_count: u32, segments: u32) -> Self {
        let zipf = (aim == Aim::Zipf).then(|| Zipf::new(key_count));
        let mut lists = vec![Vec::new(); segments as usize];
        lists[0] = (0..key_count).collect();
        Self { aim, key_count, zipf, lists, draws: 0, filed: 0, recent: Vec::new() }
    }

    /// The next key.
    pub fn next(&mut self, store: &Store<'_, MemoryDevice<Vec<u8>>>, rng: &mut Rng) -> u32 {
        self.draws += 1;
        let uniform = rng.below(u64::from(self.key_count)) as u32;
        let key = match self.aim {
            Aim::Uniform => uniform,
            Aim::Zipf => self.zipf.as_ref().map_or(uniform, |zipf| zipf.draw(rng)),
            Aim::InTurn => (self.draws % u64::from(self.key_count)) as u32,
            Aim::Level => self.key_of_fullest(store).unwrap_or(uniform),
            Aim::Bursts => match self.draws / BURST % 3 {
                0 => self.key_of_fullest(store).unwrap_or(uniform),
                1 if !self.recent.is_empty() => self.recent[rng.index(self.recent.len())],
                _ => uniform,
            },
        };
        if self.recent.len() == BURST as usize {
            self.recent.clear();
        }
        self.recent.push(key);
        key
    }

    /// A key of the sealed segment with the most live bytes.
    fn key_of_fullest(&mut self, store: &Store<'_, MemoryDevice<Vec<u8>>>) -> Option<u32> {
        // Merges move keys: a few are filed anew each time.
        for _ in 0..4 {
            self.file_one(store);
        }
        let live = |&segment: &u32| {
            let stats = store.segment_stats(SegmentId(segment)).filter(|stats| !stats.is_head)?;
            Some((stats.live_cost, segment))
        };
        let fullest = (0..self.lists.len() as u32).filter_map(|segment| live(&segment)).max()?.1;
        let stale = self.draws - self.filed > u64::from(self.key_count / 4);
        if stale && self.lists[fullest as usize].is_empty() {
            self.file_all(store);
        }
        // Each turn files a key where it is, or finds one.
        while let Some(key) = self.lists[fullest as usize].pop() {
            let segment = self.file(store, key);
            if segment == fullest {
                return Some(key);
            }
        }
        None
    }

    fn file_one(&mut self, store: &Store<'_, MemoryDevice<Vec<u8>>>) {
        let list = (self.draws % self.lists.len() as u64) as usize;
        if let Some(key) = self.lists[list].pop() {
            self.file(store, key);
        }
    }

    fn file_all(&mut self, store: &Store<'_, MemoryDevice<Vec<u8>>>) {
        self.filed = self.draws;
        for list in &mut self.lists {
            list.clear();
        }
        for key in 0..self.key_count {
            self.file(store, key);
        }
    }

    fn file(&mut self, store: &Store<'_, MemoryDevice<Vec<u8>>>, key: u32) -> u32 {
        let segment = store.segment_of(&key.to_le_bytes()).map_or(0, |segment| segment.0);
        let list = &mut self.lists[segment as usize];
        // To the other end, so that the next one is another.
        list.push(key);
        let last = list.len() - 1;
        list.swap(0, last);
        segment
    }
}
