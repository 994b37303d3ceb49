//! Times as HTTP and JSON write them.
//!
//! Text enters, nanoseconds or seconds since the epoch leave; `None` for what is no such time.

/// Seconds since the epoch of an HTTP date, such as `Sun, 06 Nov 1994 08:49:37 GMT`. The two other
/// forms of RFC 9110, which nobody has sent for decades, are not read.
pub fn from_http(text: &str) -> Option<u64> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let day = words.next()?.parse().ok()?;
    let month = month(words.next()?)?;
    let year = words.next()?.parse().ok()?;
    let clock = words.next()?;
    if words.next() != Some("GMT") {
        return None;
    }
    Some(seconds(year, month, day)? + seconds_of_day(clock)?)
}

/// Nanoseconds since the epoch of a time in UTC as RFC 3339 writes it, such as
/// `2026-01-02T03:04:05.678Z`.
pub fn from_rfc3339(text: &str) -> Option<u64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = seconds(year, month, day)? + seconds_of_day(clock)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

fn month(name: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let place = MONTHS.iter().position(|month| *month == name)?;
    u64::try_from(place + 1).ok()
}

/// `08:49:37`; the sixtieth second of a leap second counts as one more.
fn seconds_of_day(clock: &str) -> Option<u64> {
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3_600 + minute * 60 + second)
}

/// Seconds from the epoch to the begin of a day of the Gregorian calendar, counted in years that
/// begin in March, so that the leap day is the last.
fn seconds(year: u64, month: u64, day: u64) -> Option<u64> {
    const DAYS_TO_EPOCH: u64 = 719_468;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, march_month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
    Some((days - DAYS_TO_EPOCH) * 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read() {
        let cases = [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Now 1994 08:49:37 GMT", None),
            ("Sun, 0 Nov 1994 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(from_http(text), expected, "{text}");
        }
    }

    #[test]
    fn times_of_events_are_read_as_they_are_written() {
        for time in [0, 1_709_208_000_123_000_000, 1_767_323_045_678_000_000] {
            let mut text = String::new();
            crate::event::json::write_time(&mut text, time);
            assert_eq!(from_rfc3339(&text), Some(time), "{text}");
        }
        let nine = "2026-01-02T03:04:05.123456789Z";
        assert_eq!(from_rfc3339(nine), Some(1_767_323_045_123_456_789));
        for text in [
            "",
            "Z",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-01-02T03:04:05.x1Z",
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
    }
}
