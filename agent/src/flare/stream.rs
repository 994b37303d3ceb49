//! What a collector's process writes: a sequence of frames, each a letter, a length and as many
//! bytes.
//!
//! [`Writer`] is the side of the process that collects, [`Frame::read`] that of the one that makes
//! the archive. The other side may be broken or hostile, so lengths are bounded and an unknown
//! letter is an error.

use std::io::{self, Read, Write};

/// Bytes of a frame at most.
const LONGEST: usize = 64 << 10;

/// One step of collecting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A collector of this name begins.
    Begin(String),
    /// A file of this path in the archive begins.
    File(String),
    /// Bytes of that file.
    Data(Vec<u8>),
    /// More of that file is left out, perhaps from within a line on.
    Cut,
    /// A row of `permissions.log`.
    Permissions(String),
    /// What could not be collected, as a sentence.
    Note(String),
    /// The collector has ended.
    End,
}

impl Frame {
    /// The next frame; `None` at the end of all of them.
    pub(super) fn read(from: &mut dyn Read) -> io::Result<Option<Frame>> {
        let mut letter = [0; 1];
        if from.read(&mut letter)? == 0 {
            return Ok(None);
        }
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(io::Error::other("a frame is too long"));
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let [letter] = letter;
        let frame = match letter {
            b'b' => Frame::Begin(text(bytes)),
            b'f' => Frame::File(text(bytes)),
            b'd' => Frame::Data(bytes),
            b'x' => Frame::Cut,
            b'p' => Frame::Permissions(text(bytes)),
            b'n' => Frame::Note(text(bytes)),
            b'e' => Frame::End,
            _ => return Err(io::Error::other("a frame is of no known kind")),
        };
        Ok(Some(frame))
    }
}

/// Writes frames. It is a [`Write`], too: what is written goes to the file that was begun last. A
/// file to which nothing is written does not come to be.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
    /// The file that was begun, until something is written to it.
    pending: Option<String>,
    /// Bytes that the file may still have.
    room: u64,
    is_cut: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Writer<'a> {
        Writer {
            out,
            pending: None,
            room: 0,
            is_cut: false,
        }
    }

    pub(super) fn begin(&mut self, collector: &str) -> io::Result<()> {
        self.frame(b'b', collector.as_bytes())
    }

    /// Begins a file that may have this many bytes; what goes beyond is left out.
    pub(super) fn file(&mut self, path: &str, limit: u64) {
        self.room = limit;
        self.is_cut = false;
        self.pending = Some(path.to_owned());
    }

    pub(super) fn permissions(&mut self, row: &str) -> io::Result<()> {
        self.frame(b'p', row.as_bytes())
    }

    pub(super) fn note(&mut self, sentence: &str) -> io::Result<()> {
        self.frame(b'n', sentence.as_bytes())
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.pending = None;
        self.frame(b'e', b"")?;
        self.out.flush()
    }

    /// Whether nothing was written to the file begun last.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the file begun last has reached its limit: more of it is of no use.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn frame(&mut self, letter: u8, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
        let length = u32::try_from(bytes.len()).unwrap_or(0);
        self.out.write_all(&[letter])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(bytes)
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(path) = self.pending.take_if(|_| !bytes.is_empty()) {
            self.frame(b'f', path.as_bytes())?;
        }
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let fits = bytes.get(..room).unwrap_or(bytes);
        for piece in fits.chunks(LONGEST) {
            self.frame(b'd', piece)?;
        }
        self.room -= fits.len() as u64;
        if fits.len() < bytes.len() && !self.is_cut {
            self.is_cut = true;
            self.frame(b'x', b"")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut bytes: &[u8]) -> io::Result<Vec<Frame>> {
        let mut found = Vec::new();
        while let Some(frame) = Frame::read(&mut bytes)? {
            found.push(frame);
        }
        Ok(found)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.begin("logs").unwrap();
        writer.file("logs/empty.log", 5);
        writer.file("logs/a.log", 5);
        writer.write_all(b"1234567").unwrap();
        assert!(writer.is_cut());
        writer.note("it was long").unwrap();
        writer.permissions("0644 a").unwrap();
        writer.end().unwrap();
        let expected = [
            Frame::Begin("logs".into()),
            Frame::File("logs/a.log".into()),
            Frame::Data(b"12345".to_vec()),
            Frame::Cut,
            Frame::Note("it was long".into()),
            Frame::Permissions("0644 a".into()),
            Frame::End,
        ];
        assert_eq!(frames(&bytes).unwrap(), expected);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [
            &b"z\0\0\0\0"[..],
            b"d\xff\xff\xff\xff",
            b"d\x04\0\0\0abc",
            b"d\0",
        ] {
            assert!(frames(bytes).is_err(), "{bytes:?}");
        }
    }
}
