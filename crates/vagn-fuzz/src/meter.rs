//! An allocator that tells how much memory a piece of work takes at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread has taken, less those that it gave back, and the most of it since the last reset.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The allocator of the system, which counts by thread. A test binary installs it with `#[global_allocator]`.
#[derive(Debug)]
pub struct Meter;

impl Meter {
    /// Runs `work`, and returns the most bytes that it held at a time.
    pub fn measure<T>(work: impl FnOnce() -> T) -> (T, usize) {
        let before = HELD.get().0;
        HELD.set((before, before));
        let result = work();
        (result, usize::try_from(HELD.get().1 - before).unwrap_or(0))
    }

    /// Checks that this binary has it.
    ///
    /// # Panics
    /// If not, for then no limit would be noticed.
    pub fn assert_installed() {
        let (room, peak) = Meter::measure(|| std::hint::black_box(Vec::<u8>::with_capacity(4_096)));
        assert!(peak >= room.capacity(), "this test binary has no meter");
    }
}

fn count(bytes: isize) {
    // A thread that ends may give back memory after its own values are gone.
    HELD.try_with(|held| {
        let now = held.get().0 + bytes;
        held.set((now, held.get().1.max(now)));
    })
    .ok();
}

// SAFETY: every call is passed on to the allocator of the system as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the rules of `alloc`, which are those of the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: `at` came from the system's allocator, with this layout.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: `at` came from the system's allocator, with this layout.
        unsafe { System.realloc(at, layout, size) }
    }
}
