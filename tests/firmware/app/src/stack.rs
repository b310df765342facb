//! How deep the stack grew: it is painted below the caller, and what lost its paint was used.

/// Four bytes that no code writes by chance, at every place of the stack.
const PAINT: u32 = 0xC0DE_57AC;

unsafe extern "C" {
    /// Behind the last static; the stack grows down to it. From the linker script of `cortex-m-rt`.
    static mut __sheap: u32;
}

fn bottom() -> *mut u32 {
    &raw mut __sheap
}

/// Words between the statics and `top`.
fn words(top: *const u32) -> usize {
    (top as usize).saturating_sub(bottom() as usize) / size_of::<u32>()
}

/// A place below which nothing is in use: the caller's frame lies above, with room for this
/// module's own frames.
fn top() -> *mut u32 {
    const OWN_FRAMES: u32 = 64;
    ((cortex_m::register::msp::read() - OWN_FRAMES) & !3) as *mut u32
}

/// Bytes of stack that there are below the caller.
#[inline(never)]
#[must_use]
pub fn free() -> usize {
    words(top()) * size_of::<u32>()
}

/// Paints what is free.
#[inline(never)]
pub fn paint() {
    let top = top();
    for index in 0..words(top) {
        // SAFETY: between the statics and this function's frame lies nothing but free stack;
        // interrupts are not in use.
        unsafe { bottom().add(index).write_volatile(PAINT) };
    }
}

/// Bytes below the caller that were used since `paint` was called from the same frame.
#[inline(never)]
#[must_use]
pub fn used() -> usize {
    let words = words(top());
    // SAFETY: as for `paint`; what is read was painted, or is stack that was used.
    let untouched =
        (0..words).take_while(|index| unsafe { bottom().add(*index).read_volatile() } == PAINT);
    (words - untouched.count()) * size_of::<u32>()
}
