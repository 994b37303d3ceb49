//! A place in bytes that are no more trusted than who sent them.
//!
//! Bytes enter, and numbers and parts of them leave as the cursor moves on; what would reach beyond
//! the end is `None`. Numbers are big-endian, as they are in all protocols here. It knows none of
//! these protocols.

/// Bytes and the place in them from where on they are read. A copy moves on its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Never beyond the end.
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the first byte.
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// How many bytes lie before it. Parts of a cursor count them from the same beginning.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// What is still to be read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// The next bytes, all of them or none.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..count)?;
        self.skip(count);
        Some(taken)
    }

    /// The next bytes as an array.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.rest().first_chunk::<N>()?;
        self.skip(N);
        Some(*taken)
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next two bytes as a number.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Passes over bytes, as far as there are any.
    pub(super) fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.bytes.len());
    }

    /// Puts the end this many bytes from here, unless it is nearer already.
    pub(super) fn limit(&mut self, count: usize) {
        let end = self.at.saturating_add(count);
        self.bytes = self.bytes.get(..end).unwrap_or(self.bytes);
    }

    /// The next bytes as a cursor of their own, all of them or none.
    pub(super) fn part(&mut self, count: usize) -> Option<Cursor<'a>> {
        let mut part = *self;
        part.limit(count);
        self.take(count)?;
        Some(part)
    }

    /// The bytes from one position up to another one; `None` when there are none between them.
    pub(super) fn between(&self, start: usize, end: usize) -> Option<Cursor<'a>> {
        let bytes = self.bytes.get(..end)?;
        (start < end).then_some(Cursor { bytes, at: start })
    }

    /// What stands before the next `mark`, which is passed over; the rest when there is none.
    pub(super) fn until(&mut self, mark: u8) -> &'a [u8] {
        let rest = self.rest();
        let count = rest.iter().position(|byte| *byte == mark);
        let before = count.and_then(|count| rest.get(..count)).unwrap_or(rest);
        self.skip(before.len().saturating_add(1));
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_order_and_not_beyond_the_end() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4, 5, 6]);
        assert_eq!((cursor.u8(), cursor.u16()), (Some(1), Some(0x0203)));
        assert_eq!(cursor.array::<4>(), None);
        assert_eq!(cursor.take(4), None);
        assert_eq!(cursor.take(usize::MAX), None);
        assert_eq!((cursor.position(), cursor.rest()), (3, &[4, 5, 6][..]));
        assert_eq!(cursor.array(), Some([4, 5, 6]));
        assert_eq!(
            (cursor.u8(), cursor.u16(), cursor.take(1)),
            (None, None, None)
        );
        assert_eq!(cursor.take(0), Some(&[][..]));
    }

    #[test]
    fn a_skip_ends_at_the_end() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        cursor.skip(2);
        assert_eq!(cursor.rest(), [3]);
        cursor.skip(usize::MAX);
        assert_eq!((cursor.position(), cursor.rest()), (3, &[][..]));
    }

    #[test]
    fn a_limit_only_takes_away() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4]);
        cursor.skip(1);
        cursor.limit(usize::MAX);
        assert_eq!(cursor.rest(), [2, 3, 4]);
        cursor.limit(2);
        cursor.limit(3);
        assert_eq!(cursor.rest(), [2, 3]);
    }

    #[test]
    fn parts_keep_their_positions() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4]);
        cursor.skip(1);
        let part = cursor.part(2).unwrap();
        assert_eq!((part.position(), part.rest()), (1, &[2, 3][..]));
        assert_eq!(cursor.rest(), [4]);
        assert!(cursor.part(2).is_none());
        let between = cursor.between(1, 3).unwrap();
        assert_eq!((between.position(), between.rest()), (1, &[2, 3][..]));
        for (start, end) in [(2, 2), (3, 2), (0, 5), (usize::MAX, 0)] {
            assert!(cursor.between(start, end).is_none(), "{start} to {end}");
        }
    }

    #[test]
    fn a_text_ends_before_its_mark_or_at_the_end() {
        let mut cursor = Cursor::new(b"a,,bc");
        for expected in [&b"a"[..], b"", b"bc", b"", b""] {
            assert_eq!(cursor.until(b','), expected);
        }
    }
}
