//! A packet filter and a packet, a zero byte between: the filter is refused with a place within it,
//! or evaluated and turned into a program whose jumps go forward and stay inside.

#![no_main]

use libfuzzer_sys::fuzz_target;
use security_agent::packet::filter::{program, Filter, MAX_INSTRUCTIONS};

fuzz_target!(|bytes: &[u8]| {
    let (text, packet) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => {
            assert!((1..=text.len() + 1).contains(&error.column), "{error}");
            assert!(!error.message.is_empty());
            return;
        }
    };
    let length = packet.len() as u32;
    let matches = filter.matches(packet, length);
    filter.matches(packet, length ^ 0xffff);
    // Parentheses change nothing, unless they go beyond a bound.
    if let Ok(same) = Filter::parse(&format!("({text})")) {
        assert_eq!(same, filter, "{text}");
    }
    if let Ok(opposite) = Filter::parse(&format!("not ({text})")) {
        assert!(!(matches && opposite.matches(packet, length)), "{text}");
    }
    match program(&[&filter, &filter], 3, 0, 1) {
        Ok(code) => check(&code),
        Err(error) => assert!(error.instructions > MAX_INSTRUCTIONS),
    }
});

fn check(code: &[u8]) {
    assert_eq!(code.len() % 8, 0);
    let count = code.len() / 8;
    assert!(count <= MAX_INSTRUCTIONS);
    for (place, instruction) in code.chunks_exact(8).enumerate() {
        let class = instruction[0] & 0x07;
        let is_jump = (class == 5 || class == 6) && !matches!(instruction[0], 0x85 | 0x95);
        if is_jump {
            let offset = i16::from_le_bytes([instruction[2], instruction[3]]);
            assert!(offset >= 0 && place + 1 + (offset as usize) < count);
        }
    }
}
