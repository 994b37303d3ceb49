//! Patterns with stars matched the slow and obvious way, for comparison with the fast one.
//!
//! A pattern is a row of steps, and all places in it where the text read so far may have led are
//! kept as a set. Shared by the differential test and the fuzz targets.

/// One step of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This character.
    Letter(char),
    /// Any run of characters; in a path none that holds a slash.
    Star,
    /// Any run of characters at all.
    Anything,
}

/// What the stars of a pattern mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// A star stays within one component, a final `/**` takes all beneath.
    pub is_path: bool,
    /// `A` is `a`.
    pub fold_case: bool,
}

/// Reads a pattern; none when it has a `**` where a path pattern may not have one.
pub fn steps(pattern: &str, manner: Manner) -> Option<Vec<Step>> {
    let letters: Vec<char> = pattern.chars().collect();
    let mut steps = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        let is_double = letters[at] == '*' && letters.get(at + 1) == Some(&'*');
        if manner.is_path && is_double {
            let is_last = at + 2 == letters.len();
            let is_whole = at == 0 || letters[at - 1] == '/';
            if !(is_last && is_whole) {
                return None;
            }
            steps.push(Step::Anything);
            return Some(steps);
        }
        steps.push(match letters[at] {
            '*' => Step::Star,
            letter => Step::Letter(letter),
        });
        at += 1;
    }
    Some(steps)
}

/// Whether the steps lead through the whole text.
pub fn leads(steps: &[Step], text: &str, manner: Manner) -> bool {
    let mut places = vec![false; steps.len() + 1];
    places[0] = true;
    skip(steps, &mut places);
    for letter in text.chars() {
        let mut next = vec![false; steps.len() + 1];
        for (at, step) in steps.iter().enumerate().filter(|(at, _)| places[*at]) {
            match step {
                Step::Letter(own) if same(*own, letter, manner) => next[at + 1] = true,
                Step::Letter(_) => {}
                Step::Star if manner.is_path && letter == '/' => {}
                Step::Star | Step::Anything => next[at] = true,
            }
        }
        skip(steps, &mut next);
        places = next;
    }
    places[steps.len()]
}

/// Stars may stand for nothing.
fn skip(steps: &[Step], places: &mut [bool]) {
    for (at, step) in steps.iter().enumerate() {
        if places[at] && !matches!(step, Step::Letter(_)) {
            places[at + 1] = true;
        }
    }
}

fn same(left: char, right: char, manner: Manner) -> bool {
    left == right || (manner.fold_case && left.eq_ignore_ascii_case(&right))
}
