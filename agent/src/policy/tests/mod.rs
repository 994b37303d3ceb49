//! Tests of whole loads, with the real fields and hand-made events.

mod actions;
mod default_policy;
mod loading;

use super::{Host, Options};
use crate::event::types::OBSERVED;

fn options() -> Options {
    Options {
        host: Host::default(),
        events: OBSERVED.to_vec(),
        ..Options::default()
    }
}
