//! A device that records what it is asked, fails where a test says so, and loses what a test says at a power cut.

use std::ops::Range;

use emberkv_core::{
    BlockDevice, Caps, Config, DeviceErrorKind, Durability, Error, Geometry, Store, required_bytes,
};

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Address and bytes.
    Read(u64, u64),
    /// Address and bytes.
    Write(u64, u64),
    Flush,
    Erase,
}

/// Which operations fail, and how.
pub(crate) type Fault = Box<dyn FnMut(&Op) -> Option<DeviceErrorKind>>;

pub(crate) struct Device {
    /// What reads see.
    view: Vec<u8>,
    /// What a power cut leaves for certain.
    stable: Vec<u8>,
    /// Writes since the last flush.
    pub(crate) pending: Vec<(u64, Vec<u8>)>,
    pub(crate) geometry: Geometry,
    pub(crate) caps: Caps,
    pub(crate) fault: Option<Fault>,
    pub(crate) log: Vec<Op>,
    /// Writes into units that were not erased.
    pub(crate) written_twice: usize,
}

impl Device {
    pub(crate) fn block(bytes: usize) -> Self {
        let geometry = Geometry {
            capacity: bytes as u64,
            capacity_max: bytes as u64,
            read_unit: 512,
            write_unit: 512,
            erase_unit: 512,
            tear_unit: 512,
            buffer_align: 1,
            max_transfer: 1 << 16,
        };
        let caps = Caps {
            needs_erase: false,
            erased: None,
            ordered: false,
            discard: false,
            durable_write: false,
        };
        Self {
            view: vec![0; bytes],
            stable: vec![0; bytes],
            pending: Vec::new(),
            geometry,
            caps,
            fault: None,
            log: Vec::new(),
            written_twice: 0,
        }
    }

    pub(crate) fn nor(bytes: usize) -> Self {
        let mut device = Self::block(bytes);
        let geometry = &mut device.geometry;
        (geometry.read_unit, geometry.write_unit, geometry.tear_unit) = (1, 4, 4);
        geometry.erase_unit = 1024;
        device.caps.needs_erase = true;
        device.caps.erased = Some(0xff);
        device.caps.ordered = true;
        device.view.fill(0xff);
        device.stable.fill(0xff);
        device
    }

    /// The same medium, to try another power cut on.
    pub(crate) fn copy(&self) -> Self {
        Self {
            view: self.view.clone(),
            stable: self.stable.clone(),
            pending: self.pending.clone(),
            fault: None,
            log: Vec::new(),
            ..*self
        }
    }

    /// The power fails: of the writes since the last flush those survive that `keeps` names by index and address.
    pub(crate) fn cut_power(&mut self, mut keeps: impl FnMut(usize, u64) -> bool) {
        for (index, (address, bytes)) in std::mem::take(&mut self.pending).iter().enumerate() {
            if keeps(index, *address) {
                self.stable[*address as usize..][..bytes.len()].copy_from_slice(bytes);
            }
        }
        self.view.clone_from(&self.stable);
        self.fault = None;
        self.log.clear();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.stable
    }

    /// Changes bytes behind everyone's back.
    pub(crate) fn change(&mut self, at: usize, change: impl Fn(u8) -> u8) {
        self.stable[at] = change(self.stable[at]);
        self.view[at] = self.stable[at];
    }

    /// The first operation that `hits` fails with `kind`.
    pub(crate) fn fail_once(
        &mut self,
        kind: DeviceErrorKind,
        hits: impl Fn(&Op) -> bool + 'static,
    ) {
        let mut armed = true;
        self.fault =
            Some(Box::new(move |op| (hits(op) && std::mem::take(&mut armed)).then_some(kind)));
    }

    /// Every operation that `hits` fails with `kind`.
    pub(crate) fn fail_all(&mut self, kind: DeviceErrorKind, hits: impl Fn(&Op) -> bool + 'static) {
        self.fault = Some(Box::new(move |op| hits(op).then_some(kind)));
    }

    fn enter(&mut self, op: Op) -> Result<(), DeviceErrorKind> {
        let failed = self.fault.as_mut().and_then(|fault| fault(&op));
        self.log.push(op);
        failed.map_or(Ok(()), Err)
    }
}

impl BlockDevice for Device {
    type Error = DeviceErrorKind;

    fn geometry(&self) -> Geometry {
        self.geometry
    }
    fn caps(&self) -> Caps {
        self.caps
    }
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), DeviceErrorKind> {
        self.enter(Op::Read(address, buffer.len() as u64))?;
        buffer.copy_from_slice(&self.view[address as usize..][..buffer.len()]);
        Ok(())
    }
    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), DeviceErrorKind> {
        let bytes = slices.concat();
        let length = bytes.len() as u64;
        if !(address | length).is_multiple_of(u64::from(self.geometry.write_unit)) {
            return Err(DeviceErrorKind::Misaligned);
        }
        self.enter(Op::Write(address, length))?;
        let place = address as usize..address as usize + bytes.len();
        if self.caps.needs_erase {
            let erased = self.view[place.clone()].iter().all(|&byte| byte == 0xff);
            self.written_twice += usize::from(!erased);
        }
        self.view[place.clone()].copy_from_slice(&bytes);
        if self.caps.ordered || durability == Durability::Durable {
            self.stable[place].copy_from_slice(&bytes);
        } else {
            self.pending.push((address, bytes));
        }
        Ok(())
    }
    fn erase(&mut self, range: Range<u64>) -> Result<(), DeviceErrorKind> {
        self.enter(Op::Erase)?;
        if self.caps.needs_erase {
            let place = range.start as usize..range.end as usize;
            self.view[place.clone()].fill(0xff);
            self.stable[place].fill(0xff);
        }
        Ok(())
    }
    fn flush(&mut self) -> Result<(), DeviceErrorKind> {
        self.enter(Op::Flush)?;
        for (address, bytes) in std::mem::take(&mut self.pending) {
            self.stable[address as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }
}

/// A configuration for tiny devices.
pub(crate) fn tiny() -> Config {
    Config {
        segment_bytes: 8192,
        page_bytes: 512,
        frames: 64,
        keys_max: 256,
        key_bytes_max: 32,
        seed: [7; 32],
        ..Config::default()
    }
}

pub(crate) type Opened<'d> = Result<Store<'static, &'d mut Device>, Error<DeviceErrorKind>>;

pub(crate) fn arena(config: &Config, device: &Device) -> &'static mut [u8] {
    Box::leak(vec![0xa5; required_bytes(config, &device.geometry)].into_boxed_slice())
}

pub(crate) fn format<'d>(
    device: &'d mut Device,
    config: &Config,
) -> Store<'static, &'d mut Device> {
    let arena = arena(config, device);
    Store::format(device, arena, config).expect("the device can be formatted")
}

pub(crate) fn open<'d>(device: &'d mut Device, config: &Config) -> Opened<'d> {
    let arena = arena(config, device);
    Store::open(device, arena, config)
}

pub(crate) fn get(store: &mut Store<'_, &mut Device>, key: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1 << 20];
    store.get(key, &mut buffer).expect("a get works").map(<[u8]>::to_vec)
}

/// Panics where a check finds damage.
pub(crate) fn assert_sound(store: &mut Store<'_, &mut Device>) {
    let mut places = Vec::new();
    let checked = store.check(|place| places.push(place));
    assert!(checked.is_ok() && places.is_empty(), "{checked:?}: {places:?}");
}
