//! Writing JSON into a string, field by field.
//!
//! An [`Object`] keeps track of commas and leaves out what is empty. Strings are escaped as the
//! standard asks; what is not UTF-8 was replaced before it came here.

use std::fmt::{Display, Write};

/// A JSON object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object; [`Object::end`] closes it.
    pub(super) fn begin(out: &'a mut String) -> Object<'a> {
        out.push('{');
        Object { out, empty: true }
    }

    /// Fields without braces around them, to be put into an object later.
    pub(super) fn fragment(out: &'a mut String) -> Object<'a> {
        Object { out, empty: true }
    }

    /// Closes the object.
    pub(super) fn end(self) {
        self.out.push('}');
    }

    fn key(&mut self, key: &str) {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        write_string(self.out, key);
        self.out.push(':');
    }

    /// A string; left out when empty.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.key(key);
            write_string(self.out, value);
        }
    }

    /// A number.
    pub(super) fn number(&mut self, key: &str, value: impl Display) {
        self.key(key);
        write_number(self.out, value);
    }

    /// A number; left out when 0.
    pub(super) fn positive(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.number(key, value);
        }
    }

    /// A boolean; left out when false.
    pub(super) fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.key(key);
            self.out.push_str("true");
        }
    }

    /// A boolean, also when false.
    pub(super) fn boolean(&mut self, key: &str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    /// A time in nanoseconds since the epoch; left out when 0.
    pub(super) fn time(&mut self, key: &str, nanoseconds: u64) {
        if nanoseconds != 0 {
            self.key(key);
            self.out.push('"');
            write_time(self.out, nanoseconds);
            self.out.push('"');
        }
    }

    /// A list of strings; left out when empty.
    pub(super) fn texts<T: AsRef<str>>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() {
            self.all_texts(key, values);
        }
    }

    /// A list of strings, also when empty.
    pub(super) fn all_texts<T: AsRef<str>>(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = T>,
    ) {
        self.key(key);
        self.out.push('[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            write_string(self.out, value.as_ref());
        }
        self.out.push(']');
    }

    /// A value that is JSON already.
    pub(super) fn raw(&mut self, key: &str, json: &str) {
        self.key(key);
        self.out.push_str(json);
    }

    /// A value that is JSON already; left out when empty.
    pub(super) fn raw_unless_empty(&mut self, key: &str, json: &str) {
        if !json.is_empty() {
            self.raw(key, json);
        }
    }

    /// Fields made by [`Object::fragment`].
    pub(super) fn splice(&mut self, fields: &str) {
        if !fields.is_empty() {
            if !self.empty {
                self.out.push(',');
            }
            self.empty = false;
            self.out.push_str(fields);
        }
    }

    /// An object; left out when `fill` writes nothing.
    pub(super) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let (length, empty) = (self.out.len(), self.empty);
        self.key(key);
        let mut inner = Object::begin(self.out);
        fill(&mut inner);
        if inner.empty {
            self.out.truncate(length);
            self.empty = empty;
        } else {
            inner.end();
        }
    }

    /// A list of objects, one for each item; left out when there is none.
    pub(super) fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_>, T),
    ) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        self.key(key);
        self.out.push('[');
        while let Some(item) = items.next() {
            let mut inner = Object::begin(self.out);
            fill(&mut inner, item);
            inner.end();
            if items.peek().is_some() {
                self.out.push(',');
            }
        }
        self.out.push(']');
    }
}

fn write_number(out: &mut String, value: impl Display) {
    // Writing into a String cannot fail.
    let _ = write!(out, "{value}");
}

/// Appends `text` in quotes, escaped.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    let special = |c: char| c < ' ' || c == '"' || c == '\\' || c == '\u{7f}';
    while let Some(at) = rest.find(special) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = tail.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(other) => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Appends a time, given in nanoseconds since the epoch, as RFC 3339 in UTC with milliseconds.
pub fn write_time(out: &mut String, nanoseconds: u64) {
    const DAY: u64 = 86_400;
    let seconds = nanoseconds / 1_000_000_000;
    let milliseconds = nanoseconds / 1_000_000 % 1_000;
    let (year, month, day) = civil(seconds / DAY);
    let clock = seconds % DAY;
    let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z"
    );
}

/// Year, month and day of a number of days since the epoch, in the Gregorian calendar. Counted
/// in years that begin in March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_EPOCH: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_EPOCH;
    let era = days / DAYS_OF_400_YEARS;
    let day_of_era = days % DAYS_OF_400_YEARS;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_survive_the_way_through_json() {
        let all: String = (0..0x250).filter_map(char::from_u32).collect();
        for text in [
            "",
            "plain",
            "\"\\/\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}",
            "žluť 😀",
            &all,
        ] {
            let mut out = String::new();
            write_string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
            assert!(!out.contains('\n'));
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_767_323_045, "2026-01-02T03:04:05.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut out = String::new();
            write_time(&mut out, seconds * 1_000_000_000);
            assert_eq!(out, expected);
        }
        let mut out = String::new();
        write_time(&mut out, u64::MAX);
        assert_eq!(out, "2554-07-21T23:34:33.709Z");
    }

    #[test]
    fn empty_things_are_left_out() {
        let mut out = String::new();
        let mut object = Object::begin(&mut out);
        object.text("a", "");
        object.object("b", |b| b.text("c", ""));
        object.texts("d", [""; 0]);
        object.positive("e", 0);
        object.flag("f", false);
        object.number("g", 0);
        object.object("h", |h| h.flag("i", true));
        object.splice("\"j\":1");
        object.all_texts("k", ["x", "y"]);
        object.objects("l", [1, 2], |l, n| l.number("m", n));
        object.boolean("n", false);
        object.end();
        let expected =
            r#"{"g":0,"h":{"i":true},"j":1,"k":["x","y"],"l":[{"m":1},{"m":2}],"n":false}"#;
        assert_eq!(out, expected);
    }
}
