//! What `status` says of this role, as one JSON object.

use std::time::{Duration, SystemTime};

use serde_json::{json, Value};

use super::delivery::Delivery;
use super::link::Link;
use super::outputs::Outputs;
use crate::sys::process;

/// Everything that the status is made of.
pub(super) struct View<'a> {
    pub(super) uptime: Duration,
    pub(super) received: u64,
    pub(super) link: &'a Link,
    pub(super) outputs: &'a Outputs,
    pub(super) delivery: Option<&'a Delivery>,
    pub(super) warnings: &'a [String],
}

/// The status.
pub(super) fn of(view: &View<'_>) -> Value {
    let wall = SystemTime::now();
    json!({
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": view.uptime.as_secs(),
        "received": view.received,
        "link": view.link.status(),
        "outputs": view.outputs.status(),
        "delivery": view.delivery.map(|delivery| delivery.status(wall)),
        "memory": { "resident_bytes": process::resident_bytes() },
        "warnings": view.warnings,
    })
}
