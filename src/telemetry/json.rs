//! Spans as OTLP writes them in JSON: ids in hexadecimal digits, 64-bit numbers as texts.

use serde_json::{Value as Json, json};

use super::names;
use super::span::{Attribute, Kind, Span, Status, Value};
use super::wire::nanos;

/// Returns one line of a file that a collector's `otlpjsonfile` receiver reads.
#[must_use]
pub fn request(resource: &[Attribute], spans: &[Span]) -> Json {
    json!({ "resourceSpans": [{
        "resource": { "attributes": attributes(resource) },
        "scopeSpans": [{
            "scope": { "name": names::SCOPE, "version": env!("CARGO_PKG_VERSION") },
            "spans": spans.iter().map(span).collect::<Vec<Json>>(),
            "schemaUrl": names::SCHEMA_URL,
        }],
    }] })
}

fn span(span: &Span) -> Json {
    let mut out = json!({
        "traceId": span.context.trace.to_string(),
        "spanId": span.context.span.to_string(),
    });
    if let Some(parent) = span.parent {
        out["parentSpanId"] = parent.to_string().into();
    }
    out["name"] = span.name.as_str().into();
    out["kind"] = match span.kind {
        Kind::Internal => 1.into(),
        Kind::Client => 3.into(),
    };
    out["startTimeUnixNano"] = nanos(span.start).to_string().into();
    out["endTimeUnixNano"] = nanos(span.end).to_string().into();
    out["attributes"] = attributes(&span.attributes);
    if !span.events.is_empty() {
        let event = |event: &super::SpanEvent| {
            let at = nanos(event.at).to_string();
            json!({ "timeUnixNano": at, "name": event.name, "attributes": attributes(&event.attributes) })
        };
        out["events"] = span.events.iter().map(event).collect();
    }
    if !span.links.is_empty() {
        let link = |link: &super::Link| {
            let (trace, span) = (link.to.trace.to_string(), link.to.span.to_string());
            json!({ "traceId": trace, "spanId": span, "attributes": attributes(&link.attributes), "flags": 1 })
        };
        out["links"] = span.links.iter().map(link).collect();
    }
    if let Status::Error(message) = &span.status {
        out["status"] = json!({ "message": message, "code": 2 });
    }
    out["flags"] = 1.into();
    out
}

fn attributes(list: &[Attribute]) -> Json {
    let pair = |attribute: &Attribute| json!({ "key": attribute.key, "value": value(&attribute.value) });
    list.iter().map(pair).collect()
}

fn value(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Int(whole) => json!({ "intValue": whole.to_string() }),
        Value::Float(float) => json!({ "doubleValue": float }),
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Texts(texts) => {
            let values: Vec<Json> = texts.iter().map(|text| json!({ "stringValue": text })).collect();
            json!({ "arrayValue": { "values": values } })
        }
    }
}
