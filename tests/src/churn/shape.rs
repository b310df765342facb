//! A device in memory and the configuration of a store on it.

use emberkv_core::memory::plan;
use emberkv_core::{BlockDevice, Config, Geometry, Hints, Pacing, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};

/// What a store is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The medium.
    pub rules: Rules,
    /// Segments, exactly.
    pub segments: u32,
    /// The configuration. Its `segment_bytes` is not 0.
    pub config: Config,
}

impl Shape {
    /// A disk of 512-byte sectors with this many segments of this size.
    #[must_use]
    pub fn block(segments: u32, segment_bytes: u32) -> Self {
        let config = Config {
            segment_bytes,
            frames: 128,
            keys_max: 40_000,
            seed: [7; 32],
            ..Config::default()
        };
        Self { rules: Rules::block(512), segments, config }
    }

    /// The same with or without hints.
    #[must_use]
    pub fn with_hints(mut self, hints: Hints) -> Self {
        self.config.hints = hints;
        self
    }

    /// The same with another limit on live bytes.
    #[must_use]
    pub fn with_live_percent(mut self, live_percent: u8) -> Self {
        self.config.live_percent = live_percent;
        self
    }

    /// The same with another pacing.
    #[must_use]
    pub fn with_pacing(mut self, pacing: Pacing) -> Self {
        self.config.pacing = pacing;
        self
    }

    /// A blank device that has exactly the segments asked for.
    ///
    /// # Panics
    /// The rules contradict themselves, or no store fits such a device.
    #[must_use]
    pub fn device(&self) -> MemoryDevice<Vec<u8>> {
        let blank = |bytes: u64| {
            let bytes = vec![0; usize::try_from(bytes).expect("a test's device fits")];
            MemoryDevice::blank(bytes, self.rules).expect("the rules fit")
        };
        // Where the first segment begins does not depend on how many there are.
        let groups = u64::from(self.segments) * u64::from(self.config.segment_bytes);
        let roomy = Geometry { capacity_max: groups + (8 << 20), ..blank(8 << 20).geometry() };
        let roomy = Geometry { capacity: roomy.capacity_max, ..roomy };
        let block = plan(&self.config, &roomy).expect("the configuration fits");
        blank(block.data_offset + groups)
    }

    /// The memory that a store on `device` needs.
    #[must_use]
    pub fn arena(&self, device: &MemoryDevice<Vec<u8>>) -> Vec<u8> {
        vec![0; required_bytes(&self.config, &device.geometry())]
    }
}
