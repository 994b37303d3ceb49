//! Parts of a condition read on a record, with all their elements.

use super::{Int, Ip, Text, View, Which, MAX_REGISTERS};
use crate::secl::reading::{Element, Reading};
use crate::secl::types::Record;

fn view(record: &dyn Record) -> View<'_> {
    View {
        record,
        registers: [0; MAX_REGISTERS],
    }
}

impl Int {
    /// The number, or one for each element that it runs over.
    pub(in crate::secl) fn read(&self, record: &dyn Record) -> Reading {
        let view = view(record);
        let elements = self
            .range(&view)
            .map(|index| Element::Int(self.at(&view, index)));
        Reading {
            elements: elements.collect(),
            many: self.over.is_some(),
        }
    }
}

impl Text {
    /// The string, or one for each element.
    pub(in crate::secl) fn read(&self, record: &dyn Record) -> Reading {
        let view = view(record);
        let elements = self
            .range(&view)
            .map(|index| Element::Text(self.at(&view, index).to_owned()));
        Reading {
            elements: elements.collect(),
            many: matches!(self, Text::Field { select, .. } if select.which != Which::Only),
        }
    }
}

impl Ip {
    /// The address, or one for each element that has one.
    pub(in crate::secl) fn read(&self, record: &dyn Record) -> Reading {
        let view = view(record);
        let elements = self
            .range(&view)
            .filter_map(|index| self.at(&view, index).map(Element::Ip));
        Reading {
            elements: elements.collect(),
            many: matches!(self, Ip::Field(select) if select.which != Which::Only),
        }
    }
}
