//! Log records: what of a span's events also stands on its own, beside the request that it is about.
//!
//! A judgement is an event of the judge's span, and a record in the context of the answer that was judged, which has ended
//! long before. Both are made from the same span, so a record is told when its span is, and the same however often.

use super::names;
use super::span::{Attribute, Span, Value};
use crate::base::{SpanContext, Timestamp};

/// What of the judge's span says where a judgement belongs.
const WHERE: [&str; 6] = [names::RUN_ID, names::STEP, names::EACH, names::CASE, names::ITEM_ID, names::REPEAT];

/// A log record: something that happened, and in which span.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The span that it is about.
    pub context: SpanContext,
    /// When.
    pub at: Timestamp,
    /// What.
    pub name: &'static str,
    /// More about it.
    pub attributes: Vec<Attribute>,
}

/// Returns the judgements of a span.
///
/// A judge that read the answer of one request speaks of that; one that compared several, or read none, speaks in its own
/// span, which is linked to all of them.
pub(super) fn records(span: &Span) -> impl Iterator<Item = Record> + '_ {
    let events = span.events.iter().filter(|event| event.name == names::EVALUATION_RESULT);
    events.map(|event| {
        let placed = span
            .attributes
            .iter()
            .filter(|attribute| WHERE.contains(&&*attribute.key) || attribute.key.starts_with(names::MATRIX));
        let mut attributes = event.attributes.clone();
        attributes.extend(placed.cloned());
        Record { context: evaluated(span), at: event.at, name: event.name, attributes }
    })
}

fn evaluated(span: &Span) -> SpanContext {
    let is_evaluated = |value: &Value| value.as_text() == Some("evaluates");
    let mut links = span.links.iter().filter(|link| {
        link.attributes.iter().any(|attribute| attribute.key == names::LINK_TYPE && is_evaluated(&attribute.value))
    });
    match (links.next(), links.next()) {
        (Some(only), None) => only.to,
        _ => span.context,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::span::{Kind, Link, SpanEvent, Status};

    fn context(last: u8) -> SpanContext {
        format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033{last:02x}-01").parse().expect("it is one")
    }

    fn attribute(key: &'static str, text: &str) -> Attribute {
        Attribute { key: key.into(), value: Value::Text(text.to_owned()) }
    }

    fn judge(read: &[u8]) -> Span {
        let event =
            |name| SpanEvent { at: Timestamp(7), name, attributes: vec![attribute(names::EVALUATION_NAME, "j")] };
        let evaluates =
            |&read: &u8| Link { to: context(read), attributes: vec![attribute(names::LINK_TYPE, "evaluates")] };
        let previous = Link { to: context(9), attributes: vec![attribute(names::LINK_TYPE, "previous")] };
        Span {
            context: context(1),
            parent: None,
            name: "invoke_agent j".to_owned(),
            kind: Kind::Internal,
            start: Timestamp(1),
            end: Timestamp(7),
            attributes: vec![attribute(names::RUN_ID, "run-1"), attribute(names::INPUT_MESSAGES, "[]")],
            events: vec![event(names::SKIPPED_EVENT), event(names::EVALUATION_RESULT)],
            links: std::iter::once(previous).chain(read.iter().map(evaluates)).collect(),
            status: Status::Unset,
        }
    }

    #[test]
    fn a_judgement_stands_beside_what_was_judged() {
        let told = |read: &[u8]| records(&judge(read)).collect::<Vec<_>>();
        let attributes = vec![attribute(names::EVALUATION_NAME, "j"), attribute(names::RUN_ID, "run-1")];
        let record = |last| Record {
            context: context(last),
            at: Timestamp(7),
            name: names::EVALUATION_RESULT,
            attributes: attributes.clone(),
        };
        assert_eq!(told(&[2]), [record(2)]);
        assert_eq!(told(&[2, 3]), [record(1)], "a comparison is about neither alone");
        assert_eq!(told(&[]), [record(1)]);
        let silent = Span { events: Vec::new(), ..judge(&[2]) };
        assert_eq!(records(&silent).count(), 0);
    }
}
