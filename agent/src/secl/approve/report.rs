//! What was derived, for people.

use super::Approval;
use crate::secl::types::FieldId;
use serde::Serialize;
use std::collections::BTreeMap;

/// The approvers of every event type that has some, as
/// `{"open": {"open.file.path": ["passwd"]}}`. Types of which every event is accepted are not
/// in it; [`Approval::AcceptAll`] says why they are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Report(BTreeMap<String, BTreeMap<String, Vec<String>>>);

impl Report {
    /// A report of event types and what was derived for each. `name` is asked for the names of
    /// fields.
    pub fn new<'a>(
        events: impl IntoIterator<Item = (&'a str, &'a Approval)>,
        name: impl Fn(FieldId) -> String,
    ) -> Report {
        let events = events.into_iter().filter_map(|(event, approval)| {
            let Approval::Approvers(approvers) = approval else {
                return None;
            };
            let fields = approvers.fields();
            let fields = fields.map(|(field, values)| (name(field), values.texts()));
            Some((event.to_owned(), fields.collect()))
        });
        Report(events.collect())
    }
}
