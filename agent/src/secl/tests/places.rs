//! Where the tokens of an expression stand.

use crate::secl::token_places;
use std::ops::Range;

#[test]
fn tokens_have_places() {
    let rows: [(&str, &[Range<usize>]); 2] = [
        (" a[0].b  == \"ü\" // end", &[1..7, 9..11, 12..16]),
        ("# nothing\n", &[]),
    ];
    for (text, expected) in rows {
        assert_eq!(token_places(text).unwrap(), expected, "{text}");
    }
    assert_eq!(token_places("a 'b").unwrap_err().span, 2..3);
}
