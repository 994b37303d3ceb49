//! Evaluating a rule allocates nothing: an allocator that counts tells.
//!
//! Rules of the differential test are evaluated on its records. The regex crate fills caches of
//! its own when a regexp meets a text for the first time; rules with regexps are therefore counted
//! from their second evaluation on.

mod generate;
mod random;
mod world;

use random::Random;
use security_agent::secl::{compile, parse, parse_macro, Compiled, Macros};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use world::{Reading, World};

const RULES: u64 = 2_000;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn evaluation_allocates_nothing() {
    let mut random = Random::new(7);
    let macros = macros();
    let readings: Vec<Reading> = (0..20).map(|_| Reading::random(&mut random)).collect();
    let (mut with_regexps, mut without) = (0, 0);
    for _ in 0..RULES {
        let text = generate::rule(&mut random);
        let Ok(compiled) = parse(&text).and_then(|parsed| compile(&parsed, &macros, &World)) else {
            continue;
        };
        // The macros with regexps are named by what their names have in common.
        if text.contains("r\"") || text.contains("words") {
            evaluate(&compiled, &readings);
            with_regexps += 1;
        } else {
            without += 1;
        }
        let before = ALLOCATIONS.get();
        evaluate(&compiled, &readings);
        assert_eq!(ALLOCATIONS.get(), before, "{text}");
    }
    assert!(
        with_regexps > 100 && without > 100,
        "{with_regexps} {without}"
    );
}

#[test]
fn allocations_are_counted() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1, 2, 3]));
    assert!(ALLOCATIONS.get() > before);
}

fn evaluate(compiled: &Compiled, readings: &[Reading]) {
    for reading in readings {
        std::hint::black_box(compiled.matches(reading));
    }
}

fn macros() -> Macros {
    let mut macros = Macros::new();
    for (id, text) in generate::MACROS {
        macros.insert(id, parse_macro(text).unwrap());
    }
    macros
}
