//! The few words of DER (X.690) that a certificate is written in.
//!
//! Contents enter, encoded values leave. Nothing is read here.

/// BOOLEAN TRUE.
pub(super) const TRUE: &[u8] = &[0x01, 0x01, 0xff];
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The tag of a primitive value, or of one that has others in it, that only its context explains.
pub(super) const fn context(number: u8, is_constructed: bool) -> u8 {
    0x80 | number | if is_constructed { 0x20 } else { 0 }
}

/// A value of these parts; one has less than 64 KiB.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let [.., high, low] = length.to_be_bytes();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(low),
        0x80..0x100 => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        for (length, expected) in [
            (0, vec![4, 0]),
            (127, vec![4, 127]),
            (128, vec![4, 0x81, 128]),
            (255, vec![4, 0x81, 255]),
            (256, vec![4, 0x82, 1, 0]),
            (65_535, vec![4, 0x82, 255, 255]),
        ] {
            let value = value(OCTET_STRING, &[&vec![7; length]]);
            assert_eq!(value[..expected.len()], expected);
            assert_eq!(value.len(), expected.len() + length);
        }
        assert_eq!(context(0, true), 0xa0);
        assert_eq!(context(2, false), 0x82);
    }
}
