//! Other forms of a value, in fields beside it: the name in a path, the flags in arguments, the
//! family of an address.

use super::value::Turns;
use super::Element;
use crate::event::{File, Image};

/// The permissions in a mode.
const RIGHTS: i64 = 0o7777;

/// What stands in the fields beside one whose name ends in `leaf`.
pub(super) fn forms(leaf: &str, turns: &Turns) -> Vec<(&'static str, Turns)> {
    match leaf {
        "path" => vec![
            (
                "name",
                each_text(turns, |path| file(path).name().to_owned()),
            ),
            (
                "extension",
                each_text(turns, |path| file(path).extension().to_owned()),
            ),
        ],
        "mode" => vec![("rights", each(turns, rights))],
        "args" => vec![("argv", words(turns))],
        "argv" => vec![
            (
                "args",
                lists(turns, |image| vec![image.args_joined().to_owned()]),
            ),
            (
                "args_flags",
                lists(turns, |image| image.args_flags().to_vec()),
            ),
            (
                "args_options",
                lists(turns, |image| image.args_options().to_vec()),
            ),
        ],
        "ip" => vec![("family", each(turns, family))],
        "envp" => vec![("envs", each_text(turns, |entry| variable(entry).to_owned()))],
        _ => Vec::new(),
    }
}

fn file(path: &str) -> File {
    File {
        path: path.to_owned(),
        ..File::default()
    }
}

fn variable(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

fn text(element: &Option<Element>) -> Option<&str> {
    match element {
        Some(Element::Text(text)) => Some(text),
        _ => None,
    }
}

fn each_text(turns: &Turns, form: impl Fn(&str) -> String) -> Turns {
    let one = |element: &Option<Element>| text(element).map(|text| Element::Text(form(text)));
    let turn = |turn: &Vec<_>| turn.iter().map(&one).collect();
    turns.iter().map(turn).collect()
}

/// What `form` makes of each element.
fn each(turns: &Turns, form: fn(&Element) -> Option<Element>) -> Turns {
    let one = |element: &Option<Element>| element.as_ref().and_then(form);
    let turn = |turn: &Vec<_>| turn.iter().map(&one).collect();
    turns.iter().map(turn).collect()
}

fn rights(element: &Element) -> Option<Element> {
    match element {
        Element::Int(mode) => Some(Element::Int(mode & RIGHTS)),
        _ => None,
    }
}

/// The family of an address, as sockets number it.
fn family(element: &Element) -> Option<Element> {
    let family = match element {
        Element::Ip(net) if net.addr.is_ipv4() => libc::AF_INET,
        Element::Ip(_) => libc::AF_INET6,
        _ => return None,
    };
    Some(Element::Int(family.into()))
}

/// The words of a text, for each turn.
fn words(turns: &Turns) -> Turns {
    let turn = |turn: &Vec<_>| {
        let words = turn.iter().filter_map(text).flat_map(str::split_whitespace);
        words
            .map(|word| Some(Element::Text(word.to_owned())))
            .collect()
    };
    turns.iter().map(turn).collect()
}

/// What `form` makes of each turn's arguments.
fn lists(turns: &Turns, form: impl Fn(&Image) -> Vec<String>) -> Turns {
    let turn = |turn: &Vec<_>| {
        // The zeroth argument is in a field of its own.
        let arguments = turn.iter().filter_map(text).map(str::to_owned);
        let image = Image {
            args: std::iter::once(String::new()).chain(arguments).collect(),
            ..Image::default()
        };
        let form = form(&image).into_iter();
        form.map(|text| Some(Element::Text(text))).collect()
    };
    turns.iter().map(turn).collect()
}
