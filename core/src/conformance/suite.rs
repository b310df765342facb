//! The checks themselves. Every check writes its own window, so none depends on another.

use core::ops::Range;

use super::report::{Check, Problem, Report, Violation};
use crate::device::{AsyncBlockDevice, Caps, DeviceError, DeviceErrorKind, Durability, Geometry};

/// Which bytes a place holds. The patterns differ from each other and from address to address, so
/// that neither a stale nor a misdirected transfer goes unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// The pattern that is written before a check.
    Base,
    /// The pattern that a check writes.
    Fresh,
    /// Erased, reads as this.
    Erased(u8),
    /// Not known: not compared, and not read where that can be avoided (unwritten ECC pages may
    /// refuse).
    Unknown,
}

impl Content {
    fn byte(self, address: u64) -> Option<u8> {
        let salt: u64 = match self {
            Self::Base => 0x5851_F42D_4C95_7F2D,
            Self::Fresh => 0x1405_7B7E_F767_814F,
            Self::Erased(byte) => return Some(byte),
            Self::Unknown => return None,
        };
        // Two multiplications: the high byte then depends on every bit of the address.
        let mixed = (address ^ salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Some(((mixed ^ (mixed >> 29)).wrapping_mul(salt) >> 56) as u8)
    }
}

/// One range of this content amid another one.
#[derive(Clone)]
struct Layout {
    inside: Range<u64>,
    content: Content,
    around: Content,
}

impl Layout {
    /// The same content everywhere.
    fn all(content: Content) -> Self {
        Self { inside: 0..0, content, around: content }
    }

    fn byte(&self, address: u64) -> Option<u8> {
        let content = if self.inside.contains(&address) { self.content } else { self.around };
        content.byte(address)
    }
}

type Outcome<T, D> = Result<T, Violation<<D as AsyncBlockDevice>::Error>>;

pub(super) struct Suite<'a, D: AsyncBlockDevice> {
    device: &'a mut D,
    /// Aligned in memory as the geometry asks.
    scratch: &'a mut [u8],
    geometry: Geometry,
    caps: Caps,
    /// The larger one of the read and the write unit.
    unit: u64,
    /// Most bytes of one transfer: a multiple of `unit`, at most the scratch.
    transfer: u64,
    /// The check that is running.
    check: Check,
}

impl<'a, D: AsyncBlockDevice> Suite<'a, D> {
    /// `scratch` is aligned and has the bytes of one transfer; the geometry is valid.
    pub(super) fn new(device: &'a mut D, scratch: &'a mut [u8], transfer: u64) -> Self {
        let geometry = device.geometry();
        let caps = device.caps();
        let unit = u64::from(geometry.read_unit.max(geometry.write_unit));
        Self { device, scratch, geometry, caps, unit, transfer, check: Check::Geometry }
    }

    pub(super) async fn run(mut self) -> Outcome<Report, D> {
        let mut report = Report {
            transfer_max: 0,
            slices_max: 0,
            erase: self.caps.needs_erase,
            durable_write: self.caps.durable_write,
            discard: self.caps.discard,
            grown: None,
        };
        for (wide, near) in self.windows() {
            self.check = Check::ReadAfterWrite;
            report.transfer_max = report.transfer_max.max(self.sizes(wide).await?);
            self.check = Check::Slices;
            report.slices_max = self.slices(near.clone(), Durability::Buffered).await?;
            self.check = Check::Alignment;
            self.alignment(near.clone()).await?;
            self.buffer_alignment(near.clone()).await?;
            self.check = Check::Erase;
            self.erase(near.clone()).await?;
            self.check = Check::Flush;
            self.flush(near.clone()).await?;
            if self.caps.durable_write {
                self.check = Check::DurableWrite;
                self.slices(near.clone(), Durability::Durable).await?;
            }
            if self.caps.discard {
                self.check = Check::Discard;
                self.discard(near).await?;
            }
        }
        self.check = Check::Bounds;
        self.bounds().await?;
        self.check = Check::Grow;
        report.grown = self.grow().await?;
        self.check = Check::Geometry;
        if self.device.geometry() != self.geometry || self.device.caps() != self.caps {
            return Err(self.violation(0, Problem::Changed));
        }
        Ok(report)
    }

    /// The start, the middle and the end of the device: a wide window for the largest transfers,
    /// and the part of it that lies at that place, for everything else. On a small device the
    /// windows overlap.
    fn windows(&self) -> [(Range<u64>, Range<u64>); 3] {
        let capacity = self.geometry.capacity;
        let erase_unit = u64::from(self.geometry.erase_unit);
        // 1, 2, 4, .. units below the transfer are less than twice it; then the transfer itself and
        // one unit that must not change. The small checks need three erase units, or six units.
        let size =
            |bytes: u64| bytes.next_multiple_of(erase_unit).max(3 * erase_unit).min(capacity);
        let (wide, near) = (size(3 * self.transfer + self.unit), size(6 * self.unit));
        let middle = |bytes: u64| (capacity - bytes) / 2 / erase_unit * erase_unit;
        let place = |wide_at: u64, near_at: u64| (wide_at..wide_at + wide, near_at..near_at + near);
        [place(0, 0), place(middle(wide), middle(near)), place(capacity - wide, capacity - near)]
    }

    fn violation(&self, address: u64, problem: Problem<D::Error>) -> Violation<D::Error> {
        Violation { check: self.check, address, problem }
    }

    fn must(&self, address: u64, result: Result<(), D::Error>) -> Outcome<(), D> {
        result.map_err(|error| self.violation(address, Problem::Failed(error)))
    }

    fn must_refuse(
        &self,
        address: u64,
        result: Result<(), D::Error>,
        want: DeviceErrorKind,
    ) -> Outcome<(), D> {
        match result {
            Ok(()) => Err(self.violation(address, Problem::Accepted)),
            Err(found) if found.kind() != want => {
                Err(self.violation(address, Problem::Kind { want, found }))
            }
            Err(_) => Ok(()),
        }
    }

    /// Writes a pattern over `range` in transfers of the largest size.
    async fn fill(&mut self, range: Range<u64>, content: Content) -> Outcome<(), D> {
        let mut at = range.start;
        while at < range.end {
            let bytes = self.transfer.min(range.end - at) as usize;
            self.pattern(0..bytes, at, content);
            let result =
                self.device.write(at, &[&self.scratch[..bytes]], Durability::Buffered).await;
            self.must(at, result)?;
            at += bytes as u64;
        }
        Ok(())
    }

    /// Puts into a part of the scratch what the device holds, or shall hold, from `address`.
    fn pattern(&mut self, part: Range<usize>, address: u64, content: Content) {
        for (address, byte) in (address..).zip(&mut self.scratch[part]) {
            *byte = content.byte(address).unwrap_or(0);
        }
    }

    /// Reads `range`, widened to read units, in pieces of `piece` bytes, and compares its bytes.
    async fn expect(&mut self, range: Range<u64>, piece: u64, layout: &Layout) -> Outcome<(), D> {
        let unit = u64::from(self.geometry.read_unit);
        let end = range.end.next_multiple_of(unit);
        let mut at = range.start - range.start % unit;
        while at < end {
            let bytes = piece.max(unit).min(self.transfer).min(end - at) as usize;
            // A backend that reads less than it says must not find the right bytes in the buffer.
            for (address, byte) in (at..).zip(&mut self.scratch[..bytes]) {
                *byte = !layout.byte(address).unwrap_or(0);
            }
            let result = self.device.read(at, &mut self.scratch[..bytes]).await;
            self.must(at, result)?;
            for (address, &found) in (at..).zip(&self.scratch[..bytes]) {
                match layout.byte(address) {
                    Some(want) if want != found && range.contains(&address) => {
                        return Err(self.violation(address, Problem::Content { want, found }));
                    }
                    _ => {}
                }
            }
            at += bytes as u64;
        }
        Ok(())
    }

    /// Makes a window writable and says what it then holds.
    async fn prepare(&mut self, window: Range<u64>) -> Outcome<Content, D> {
        if !self.caps.needs_erase {
            self.fill(window, Content::Base).await?;
            return Ok(Content::Base);
        }
        let result = self.device.erase(window.clone()).await;
        self.must(window.start, result)?;
        let Some(erased) = self.caps.erased else {
            return Ok(Content::Unknown);
        };
        let content = Content::Erased(erased);
        self.expect(window, self.transfer, &Layout::all(content)).await?;
        Ok(content)
    }

    /// Makes a window hold the base pattern, each unit written once.
    async fn prepare_base(&mut self, window: Range<u64>) -> Outcome<(), D> {
        if self.prepare(window.clone()).await? != Content::Base {
            self.fill(window, Content::Base).await?;
        }
        Ok(())
    }

    /// Makes a window hold something that is known, still unwritten where a device has that.
    async fn prepare_known(&mut self, window: Range<u64>) -> Outcome<Content, D> {
        let content = self.prepare(window.clone()).await?;
        if content != Content::Unknown {
            return Ok(content);
        }
        self.fill(window, Content::Base).await?;
        Ok(Content::Base)
    }

    /// Writes of 1, 2, 4, .. write units and of the largest transfer, one behind the other, each
    /// read in pieces of its own size. The answer is the largest one.
    async fn sizes(&mut self, window: Range<u64>) -> Outcome<u32, D> {
        let around = self.prepare(window.clone()).await?;
        let mut bytes = u64::from(self.geometry.write_unit);
        let mut at = window.start;
        let mut largest = 0;
        while bytes <= self.transfer && bytes <= window.end - at {
            let end = at + bytes;
            self.fill(at..end, Content::Fresh).await?;
            let layout = Layout { inside: window.start..end, content: Content::Fresh, around };
            let from = at.saturating_sub(self.unit).max(window.start);
            let until =
                if around == Content::Unknown { end } else { window.end.min(end + self.unit) };
            self.expect(from..until, bytes, &layout).await?;
            largest = largest.max(bytes as u32);
            at = end;
            // The last round is the transfer itself, which need not be a power of two.
            bytes = if bytes < self.transfer { self.transfer.min(2 * bytes) } else { u64::MAX };
        }
        let layout = Layout { inside: window.start..at, content: Content::Fresh, around };
        let until = if around == Content::Unknown { at } else { window.end };
        self.expect(window.start..until, self.transfer, &layout).await?;
        Ok(largest)
    }

    /// One write of several slices, unequal where there is room, that lie in memory in another
    /// order. The answer is how many of them hold bytes.
    async fn slices(&mut self, window: Range<u64>, durability: Durability) -> Outcome<usize, D> {
        let around = self.prepare(window.clone()).await?;
        let unit = self.unit as usize;
        let align = self.geometry.buffer_align as usize;
        let (narrow, wide) = (unit.next_multiple_of(align), (2 * unit).next_multiple_of(align));
        // The first unit of the window, and where there is room the last one, must not change.
        let most = self.transfer.min(window.end - window.start - self.unit);
        // Where each slice lies in the scratch; an empty one must do nothing.
        let plan = if most >= 4 * self.unit && self.scratch.len() >= 2 * wide + unit {
            [wide..wide + unit, 0..2 * unit, 0..0, 2 * wide..2 * wide + unit]
        } else if most >= 2 * self.unit {
            [narrow..narrow + unit, 0..0, 0..unit, 0..0]
        } else {
            [0..0, 0..unit, 0..0, 0..0]
        };
        let start = window.start + self.unit;
        let mut end = start;
        for part in plan.clone() {
            end += part.len() as u64;
            self.pattern(part.clone(), end - part.len() as u64, Content::Fresh);
        }
        let count = plan.iter().filter(|part| !part.is_empty()).count();
        let slices = plan.map(|part| &self.scratch[part]);
        let result = self.device.write(start, &slices, durability).await;
        self.must(start, result)?;
        let layout = Layout { inside: start..end, content: Content::Fresh, around };
        let whole = if around == Content::Unknown { start..end } else { window };
        self.expect(whole, self.transfer, &layout).await?;
        Ok(count)
    }

    /// Addresses and lengths that are half a unit off.
    async fn alignment(&mut self, window: Range<u64>) -> Outcome<(), D> {
        const WANT: DeviceErrorKind = DeviceErrorKind::Misaligned;
        let content = self.prepare_known(window.clone()).await?;
        let start = window.start;
        let Geometry { read_unit, write_unit, erase_unit, .. } = self.geometry;
        let (unit, half) = (read_unit as usize, read_unit as usize / 2);
        if half > 0 {
            let result = self.device.read(start + half as u64, &mut self.scratch[..unit]).await;
            self.must_refuse(start + half as u64, result, WANT)?;
            let result = self.device.read(start, &mut self.scratch[..half]).await;
            self.must_refuse(start, result, WANT)?;
        }
        let (unit, half) = (write_unit as usize, write_unit as usize / 2);
        if half > 0 {
            self.pattern(0..unit, start, Content::Fresh);
            let (left, right) = self.scratch[..unit].split_at(half);
            // The last one is aligned as a whole, but its slices are not.
            let cases: [(u64, &[&[u8]]); 3] =
                [(half as u64, &[&self.scratch[..unit]]), (0, &[left]), (0, &[left, right])];
            for (offset, slices) in cases {
                let result = self.device.write(start + offset, slices, Durability::Buffered).await;
                self.must_refuse(start + offset, result, WANT)?;
            }
        }
        let (unit, half) = (u64::from(erase_unit), u64::from(erase_unit) / 2);
        for range in [start + half..start + half + unit, start..start + half] {
            let result = self.device.erase(range.clone()).await;
            // A device that needs no erasing may answer as it likes.
            if self.caps.needs_erase && half > 0 {
                self.must_refuse(range.start, result, WANT)?;
            }
        }
        self.expect(window, self.transfer, &Layout::all(content)).await
    }

    /// A buffer that is not aligned in memory: refused, or served properly.
    async fn buffer_alignment(&mut self, window: Range<u64>) -> Outcome<(), D> {
        if self.geometry.buffer_align == 1 {
            return Ok(());
        }
        let content = self.prepare_known(window.clone()).await?;
        let (start, unit) = (window.start, self.unit as usize);
        let end = start + self.unit;
        let result = self.device.read(start, &mut self.scratch[1..=unit]).await;
        match result {
            Ok(()) => {
                for (address, &found) in (start..end).zip(&self.scratch[1..=unit]) {
                    let want = content.byte(address).unwrap_or(found);
                    if want != found {
                        return Err(self.violation(address, Problem::Content { want, found }));
                    }
                }
            }
            refused => self.must_refuse(start, refused, DeviceErrorKind::Misaligned)?,
        }
        let mut layout = Layout::all(content);
        // A device whose window had to be filled to be known cannot be written there again.
        if content != Content::Base || !self.caps.needs_erase {
            self.pattern(1..unit + 1, start, Content::Fresh);
            let slices = [&self.scratch[1..=unit]];
            match self.device.write(start, &slices, Durability::Buffered).await {
                Ok(()) => {
                    layout = Layout { inside: start..end, content: Content::Fresh, around: content }
                }
                refused => self.must_refuse(start, refused, DeviceErrorKind::Misaligned)?,
            }
        }
        self.expect(window, self.transfer, &layout).await
    }

    /// Accesses behind the end, across it, and where the end of the range exceeds 64 bits. Neither
    /// the last nor the first erase unit may change: an address that wraps around would hit that
    /// one.
    async fn bounds(&mut self) -> Outcome<(), D> {
        const WANT: DeviceErrorKind = DeviceErrorKind::OutOfBounds;
        let capacity = self.geometry.capacity;
        let erase_unit = u64::from(self.geometry.erase_unit);
        let (first, last) = (0..erase_unit, capacity - erase_unit..capacity);
        let content = self.prepare_known(first.clone()).await?;
        self.prepare_known(last.clone()).await?;
        let unit = self.unit;
        for (address, bytes) in
            [(capacity, unit), (capacity - unit, 2 * unit), (unit.wrapping_neg(), unit)]
        {
            if bytes > self.transfer {
                continue;
            }
            let part = 0..bytes as usize;
            let result = self.device.read(address, &mut self.scratch[part.clone()]).await;
            self.must_refuse(address, result, WANT)?;
            self.scratch[part.clone()].fill(0x5A);
            let slices = [&self.scratch[part]];
            let result = self.device.write(address, &slices, Durability::Buffered).await;
            self.must_refuse(address, result, WANT)?;
        }
        for range in [capacity..capacity + erase_unit, last.start..capacity + erase_unit] {
            let result = self.device.erase(range.clone()).await;
            if self.caps.needs_erase {
                self.must_refuse(range.start, result, WANT)?;
            }
        }
        self.expect(first, self.transfer, &Layout::all(content)).await?;
        self.expect(last, self.transfer, &Layout::all(content)).await
    }

    /// The second erase unit of a window, which is at least three long.
    fn second(&self, window: &Range<u64>) -> Range<u64> {
        let unit = u64::from(self.geometry.erase_unit);
        window.start + unit..window.start + 2 * unit
    }

    async fn erase(&mut self, window: Range<u64>) -> Outcome<(), D> {
        self.prepare_base(window.clone()).await?;
        let inside = self.second(&window);
        let result = self.device.erase(inside.clone()).await;
        self.must(inside.start, result)?;
        // A device that needs no erasing does nothing, unless it says what it leaves behind.
        let content = match (self.caps.needs_erase, self.caps.erased) {
            (true, Some(erased)) => Content::Erased(erased),
            (false, None) => Content::Base,
            _ => Content::Unknown,
        };
        self.around(window, &Layout { inside, content, around: Content::Base }).await
    }

    async fn discard(&mut self, window: Range<u64>) -> Outcome<(), D> {
        self.prepare_base(window.clone()).await?;
        let inside = self.second(&window);
        let result = self.device.discard(inside.clone()).await;
        self.must(inside.start, result)?;
        let layout = Layout { inside, content: Content::Unknown, around: Content::Base };
        self.around(window.clone(), &layout).await?;
        // A discarded range can be used again.
        self.prepare_base(window.clone()).await?;
        self.expect(window, self.transfer, &Layout::all(Content::Base)).await
    }

    /// Compares a window, but does not read inside the layout's range if that is not known.
    async fn around(&mut self, window: Range<u64>, layout: &Layout) -> Outcome<(), D> {
        let inside = layout.inside.clone();
        self.expect(window.start..inside.start, self.transfer, layout).await?;
        if layout.content != Content::Unknown {
            self.expect(inside.clone(), self.transfer, layout).await?;
        }
        self.expect(inside.end..window.end, self.transfer, layout).await
    }

    /// One flush of something and one of nothing.
    async fn flush(&mut self, window: Range<u64>) -> Outcome<(), D> {
        self.prepare_base(window.clone()).await?;
        for _ in 0..2 {
            let result = self.device.flush().await;
            self.must(window.start, result)?;
        }
        self.expect(window, self.transfer, &Layout::all(Content::Base)).await
    }

    /// Growing by one erase unit, where the device can; the answer is the capacity then.
    async fn grow(&mut self) -> Outcome<Option<u64>, D> {
        let Geometry { capacity: old, capacity_max, erase_unit, .. } = self.geometry;
        let erase_unit = u64::from(erase_unit);
        let wanted = old + erase_unit;
        if wanted > capacity_max {
            return Ok(None);
        }
        let last = old - erase_unit..old;
        self.prepare_base(last.clone()).await?;
        if let Some(beyond) = capacity_max.checked_add(erase_unit)
            && self.device.grow(beyond).await.is_ok()
        {
            return Err(self.violation(beyond, Problem::Accepted));
        }
        let result = self.device.grow(old).await;
        self.must(old, result)?;
        if self.device.geometry() != self.geometry {
            return Err(self.violation(old, Problem::Changed));
        }
        let result = self.device.grow(wanted).await;
        self.must(old, result)?;
        let grown = self.device.geometry();
        if (Geometry { capacity: old, ..grown }) != self.geometry {
            return Err(self.violation(old, Problem::Changed));
        }
        if grown.validate().is_err() || grown.capacity < wanted || grown.capacity > capacity_max {
            return Err(self.violation(old, Problem::Capacity { found: grown.capacity }));
        }
        self.geometry = grown;
        self.expect(last.clone(), self.transfer, &Layout::all(Content::Base)).await?;
        self.sizes(old..wanted).await?;
        self.expect(last, self.transfer, &Layout::all(Content::Base)).await?;
        self.bounds().await?;
        Ok(Some(grown.capacity))
    }
}
