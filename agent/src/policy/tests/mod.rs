//! Tests of whole loads, with the real fields and hand-made events.

mod actions;
mod default_policy;
mod loading;

use super::{Host, Options};
use crate::event::types::RULE_TYPES;

fn options() -> Options {
    Options {
        host: Host::default(),
        events: RULE_TYPES.to_vec(),
        ..Options::default()
    }
}
