//! Why a rule or macro does not load, in the words of the reports.

use super::action;
use super::condition::filter;
use super::file::keys;
use super::merge;
use super::report::Status;
use crate::secl;
use std::fmt;

/// Why one rule or macro does not load.
#[derive(Debug)]
pub enum Error {
    /// A rule has no id.
    NoRuleId,
    /// An id has characters that ids do not have.
    IdPattern,
    /// The same of a macro.
    MacroIdPattern,
    /// A rule that is not switched off has no expression.
    NoExpression,
    /// A macro has neither expression nor values.
    NoValues,
    /// A key has a value of the wrong shape.
    Shape(keys::Error),
    /// It does not count on this host, or says so in a way that cannot be read.
    Condition(filter::Error),
    /// It cannot join an earlier definition with its id.
    Merge(merge::Error),
    /// Its expression cannot be parsed.
    Syntax(secl::Error),
    /// Its expression has unknown names or types that do not fit.
    Expression(secl::Error),
    /// Its expression is about no event type.
    NoEvent,
    /// It is about all ways to write a file and about one event type besides.
    SeveralEvents,
    /// One of its actions is refused.
    Action(action::Error),
    /// What its limiter goes by is no field of its events.
    LimiterToken(String),
    /// It is about event types that are not enabled.
    EventDisabled,
}

impl std::error::Error for Error {}

impl Error {
    /// The word for it in reports.
    pub fn status(&self) -> Status {
        match self {
            Error::Condition(filter::Error::AgentVersion) => Status::AgentVersionError,
            Error::Condition(filter::Error::Filtered) => Status::AgentFilterError,
            Error::EventDisabled => Status::EventTypeDisabled,
            Error::Syntax(_) => Status::SyntaxError,
            _ => Status::Error,
        }
    }

    /// Byte offset in the expression, when the error is about a part of it.
    pub fn offset(&self) -> Option<usize> {
        match self {
            Error::Syntax(error) | Error::Expression(error) => Some(error.span.start),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoRuleId => f.write_str("no rule ID"),
            Error::IdPattern => {
                f.write_str("rule ID pattern error: an ID has letters, digits and `_` only")
            }
            Error::MacroIdPattern => {
                f.write_str("macro ID pattern error: an ID has letters, digits and `_` only")
            }
            Error::NoExpression => f.write_str("no rule expression"),
            Error::NoValues => f.write_str("a macro needs an `expression` or `values`"),
            Error::Shape(error) => error.fmt(f),
            Error::Condition(error) => error.fmt(f),
            Error::Merge(error) => error.fmt(f),
            Error::Syntax(error) => write!(f, "syntax error `{error}`"),
            Error::Expression(error) => error.fmt(f),
            Error::NoEvent => f.write_str("no event in the rule definition"),
            Error::SeveralEvents => {
                f.write_str("multiple event categories in the same rule expansion")
            }
            Error::Action(error) => error.fmt(f),
            Error::LimiterToken(field) => write!(
                f,
                "limiter_token `{field}` is no field of the rule's event type"
            ),
            Error::EventDisabled => f.write_str("event type not enabled"),
        }
    }
}
