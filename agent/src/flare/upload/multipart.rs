//! The body of an upload: a form with a file in it (RFC 7578).
//!
//! A [`Form`] takes names, values and the place of the file; a [`Body`] yields its bytes and reads
//! the file while it is sent, so that no more of it than a buffer is in memory. What HTTP makes of
//! the bytes is not its business.

use std::collections::hash_map::RandomState;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Cursor, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A form with one file.
pub(super) struct Form {
    /// What separates the parts; random, so that no value can end its part.
    pub(super) boundary: String,
    /// What goes before the bytes of the file.
    head: String,
    /// What goes after them.
    tail: String,
    has_file: bool,
}

impl Form {
    pub(super) fn new() -> Form {
        // The standard library seeds these from the system's random numbers.
        let random = || RandomState::new().build_hasher().finish();
        Form {
            boundary: format!("{:016x}{:016x}", random(), random()),
            head: String::new(),
            tail: String::new(),
            has_file: false,
        }
    }

    /// Adds a field.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.begin(name);
        self.push(&["\"\r\n\r\n", value, "\r\n"]);
    }

    /// Adds the file; what is added later follows it.
    pub(super) fn file(&mut self, name: &str, file_name: &str) {
        self.begin(name);
        let file_name = escaped(file_name);
        self.push(&["\"; filename=\"", &file_name, "\"\r\n"]);
        self.push(&["Content-Type: application/octet-stream\r\n\r\n"]);
        self.has_file = true;
        self.push(&["\r\n"]);
    }

    fn begin(&mut self, name: &str) {
        let boundary = self.boundary.clone();
        self.push(&["--", &boundary, "\r\n"]);
        self.push(&["Content-Disposition: form-data; name=\"", name]);
    }

    fn push(&mut self, texts: &[&str]) {
        let to = match self.has_file {
            true => &mut self.tail,
            false => &mut self.head,
        };
        to.extend(texts.iter().copied());
    }
}

/// A file's name between quotes, as browsers write it (WHATWG HTML, multipart/form-data).
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '"' => text.push_str("%22"),
            '\r' => text.push_str("%0D"),
            '\n' => text.push_str("%0A"),
            other if other.is_control() => text.push('_'),
            other => text.push(other),
        }
    }
    text
}

/// A form as bytes.
pub(super) struct Body<'a> {
    head: Cursor<String>,
    file: File,
    /// Bytes of the file when it was opened; later ones are left out.
    size: u64,
    left: u64,
    tail: Cursor<String>,
    /// Takes how many bytes of the file were sent, and of how many.
    progress: &'a mut dyn FnMut(u64, u64),
    told: Option<u64>,
    /// Why the file could not be read to its end.
    pub(super) failure: Option<io::Error>,
}

impl<'a> Body<'a> {
    /// The form with the content of a regular file, which is opened now.
    pub(super) fn open(
        path: &Path,
        mut form: Form,
        progress: &'a mut dyn FnMut(u64, u64),
    ) -> io::Result<Body<'a>> {
        // Directories of archives are open to everybody: nothing there may lead elsewhere, or block.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let boundary = form.boundary.clone();
        form.push(&["--", &boundary, "--\r\n"]);
        Ok(Body {
            head: Cursor::new(form.head),
            file,
            size: metadata.len(),
            left: metadata.len(),
            tail: Cursor::new(form.tail),
            progress,
            told: None,
            failure: None,
        })
    }

    /// What was read before has been sent when more is asked for.
    fn tell(&mut self) {
        let sent = self.size - self.left;
        if self.told != Some(sent) {
            self.told = Some(sent);
            (self.progress)(sent, self.size);
        }
    }

    fn read_file(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match Read::by_ref(&mut self.file).take(self.left).read(buffer)? {
            0 => Err(io::Error::other("it has become shorter")),
            read => {
                self.left = self.left.saturating_sub(read as u64);
                Ok(read)
            }
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.head.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        self.tell();
        if self.left == 0 {
            return self.tail.read(buffer);
        }
        self.read_file(buffer).map_err(|error| {
            let kind = error.kind();
            self.failure = Some(error);
            kind.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_written_as_the_rfc_has_it() {
        let path = std::env::temp_dir().join(format!("multipart-{}", std::process::id()));
        std::fs::write(&path, "content").unwrap();
        let mut form = Form::new();
        assert!(form.boundary.len() == 32 && form.boundary != Form::new().boundary);
        form.field("one", "a\r\nb\"c");
        form.file("two", "n\"a\r\nm\\e\u{7}.gz");
        form.field("three", "");
        let expected = "--B\r\nContent-Disposition: form-data; name=\"one\"\r\n\r\na\r\nb\"c\r\n\
            --B\r\nContent-Disposition: form-data; name=\"two\"; \
            filename=\"n%22a%0D%0Am\\e_.gz\"\r\n\
            Content-Type: application/octet-stream\r\n\r\ncontent\r\n\
            --B\r\nContent-Disposition: form-data; name=\"three\"\r\n\r\n\r\n--B--\r\n";
        let expected = expected.replace("--B", &format!("--{}", form.boundary));
        let mut told = Vec::new();
        let mut progress = |sent, total| told.push((sent, total));
        let mut body = Body::open(&path, form, &mut progress).unwrap();
        // What is added later does not belong to it.
        std::fs::write(&path, "content and more").unwrap();
        let mut text = Vec::new();
        let mut piece = [0; 5];
        loop {
            let read = body.read(&mut piece).unwrap();
            text.extend_from_slice(&piece[..read]);
            if read == 0 {
                break;
            }
        }
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        assert_eq!(told, [(0, 7), (5, 7), (7, 7)]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn only_regular_files_that_stay_as_they_are_can_be_sent() {
        let base = std::env::temp_dir().join(format!("multipart-files-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let (file, link) = (base.join("file"), base.join("link"));
        std::fs::write(&file, "content").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut progress = |_, _| ();
        for path in [&base, &link, &base.join("none")] {
            assert!(Body::open(path, Form::new(), &mut progress).is_err());
        }
        let mut body = Body::open(&file, Form::new(), &mut progress).unwrap();
        std::fs::write(&file, "con").unwrap();
        assert!(body.read_to_end(&mut Vec::new()).is_err());
        let failure = body.failure.unwrap().to_string();
        assert!(failure.contains("shorter"), "{failure}");
        std::fs::remove_dir_all(&base).unwrap();
    }
}
