//! An allocator that gives up when it is told to: what the host asks for memory with, it then gets a trap from.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// Allocations until the trap; none where it is the largest number.
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

/// From now on, the allocation after this many ends the instance.
pub fn trap_after(allocations: u64) {
    LEFT.store(allocations, Ordering::Relaxed);
}

struct Trapping;

fn count() {
    let left = LEFT.load(Ordering::Relaxed);
    match left.checked_sub(1) {
        _ if left == u64::MAX => {}
        Some(rest) => LEFT.store(rest, Ordering::Relaxed),
        None => std::process::abort(),
    }
}

// SAFETY: everything is the system allocator's work.
unsafe impl GlobalAlloc for Trapping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: Trapping = Trapping;

/// Native builds of the workspace keep the usual allocator.
#[cfg(not(target_family = "wasm"))]
const _: Trapping = Trapping;
