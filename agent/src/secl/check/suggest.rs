//! The nearest of many names, for "did you mean".

/// Names longer than this are not compared: no field is as long, and the cost is quadratic.
const MAX_NAME: usize = 128;

/// The candidate that is fewest edits away from the name, when that is near enough to be meant.
pub fn nearest(name: &str, candidates: &[String]) -> Option<String> {
    nearest_within(name, candidates, (name.chars().count() / 4).clamp(1, 4))
}

/// The candidate that is fewest edits away from the name, and at most `limit`.
pub fn nearest_within(name: &str, candidates: &[String], limit: usize) -> Option<String> {
    if name.len() > MAX_NAME {
        return None;
    }
    candidates
        .iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit)
        .filter_map(|candidate| Some((distance(name, candidate, limit)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate.clone())
}

/// The number of characters to insert, remove, replace, or swap with their neighbour; `None` when
/// it is above the limit, which most of the thousands of names show after a few characters.
fn distance(left: &str, right: &str, limit: usize) -> Option<usize> {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut previous_letter = None;
    for (row, letter) in left.chars().enumerate() {
        let mut line = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&above, column) + usize::from(letter != *other);
            let mut edits = replaced
                .min(at(&above, column + 1) + 1)
                .min(at(&line, column) + 1);
            let left_of_other = column.checked_sub(1).and_then(|index| right.get(index));
            if left_of_other == Some(&letter) && previous_letter == Some(*other) {
                edits = edits.min(at(&before, column.saturating_sub(1)).saturating_add(1));
            }
            line.push(edits);
        }
        before = std::mem::replace(&mut above, line);
        let reaches = |line: &[usize]| line.iter().any(|edits| *edits <= limit);
        if !reaches(&above) && !reaches(&before) {
            return None;
        }
        previous_letter = Some(letter);
    }
    above.last().copied().filter(|edits| *edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let rows = [
            ("", "", 0),
            ("", "ab", 2),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "bc", 1),
            ("opne", "open", 1),
            ("kitten", "sitting", 3),
            ("pth", "path", 1),
        ];
        for (left, right, expected) in rows {
            for (left, right) in [(left, right), (right, left)] {
                assert_eq!(distance(left, right, 3), Some(expected), "{left} {right}");
                let within = distance(left, right, 1);
                assert_eq!(within, Some(expected).filter(|edits| *edits <= 1));
            }
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let names = ["open.file.path", "open.file.name", "exec.pid"].map(str::to_owned);
        assert_eq!(
            nearest("open.file.pth", &names).as_deref(),
            Some("open.file.path")
        );
        assert_eq!(
            nearest("opne.file.name", &names).as_deref(),
            Some("open.file.name")
        );
        assert_eq!(nearest("zzz", &names), None);
        assert_eq!(nearest("", &names), None);
    }
}
