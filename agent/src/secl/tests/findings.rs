//! What comparing with a naive evaluation (`tests/differential`) has found.

use super::{check, compiled, reading};

/// Of the three ancestors only the last is a kworker.
#[test]
fn a_boolean_field_compares_element_by_element() {
    check(
        &reading(),
        &[
            ("process.ancestors.is_kworker == process.is_kworker", true),
            ("process.is_kworker != process.ancestors.is_kworker", false),
            ("process.ancestors.is_kworker == (1 == 2)", true),
            ("(1 == 1) == process.ancestors.is_kworker", true),
            ("(process.ancestors.is_kworker == true) == false", false),
            ("process.ancestors[7].is_kworker == (1 == 2)", false),
            ("process.ancestors[7].is_kworker != (1 == 2)", true),
            ("(process.ancestors[7].is_kworker == true) == false", true),
            (
                "process.ancestors[0].is_kworker == process.is_kworker",
                true,
            ),
        ],
    );
}

/// A turn may have many lengths and has one pid: which belongs to which is not known.
#[test]
fn lengths_behind_an_iterator_go_along_with_no_other_field() {
    for text in [
        "process.ancestors[A].argv.length + process.ancestors[A].pid > 1",
        "process.ancestors[0].pid - process.ancestors[0].argv.length > 1",
        "process.ancestors[A].pid & -(1 + process.ancestors[A].argv.length) > 1",
    ] {
        let error = compiled(text).unwrap_err();
        assert!(
            error.message.starts_with("only one operand may have"),
            "{text}: {error}"
        );
    }
    for text in [
        "process.ancestors[A].argv.length + process.comm.length > 1",
        "process.ancestors[A].pid + process.ancestors[A].uid > 1",
        "process.ancestors[A].argv.length + process.ancestors[A].argv.length > 1",
    ] {
        assert!(compiled(text).is_ok(), "{text}");
    }
}
