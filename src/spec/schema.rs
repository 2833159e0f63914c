//! The JSON Schema of the language, from the types that read it.

use std::borrow::Cow;

use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use super::table::Named;
use super::{
    AggregateBy, AnyValue, Backoff, BaseUrl, CacheUse, ColumnTypes, Columns, ContentWord, Contestants, Count,
    Delimiter, EffortWord, Flag, ForEach, KeepWord, Length, Levels, Money, Number, OnError, Opens, OpensWord, Order,
    OrderWord, ParamType, ParamValue, PipelineName, PipelinePath, Project, Rate, Repairs, Repeat, RepeatUntil,
    Required, Rows, RowsPath, Scalar, Schedule, SchemaSource, Seed, Setting, ShapeWord, Share, Slots, Spanned, Spec,
    StepNames, Table, TablePath, Temperature, Text, Tokens, TopP, Version, VoteRule, Word,
};
use crate::base::TableFormat;

/// A positive amount and a unit of time.
const LENGTH: &str = r"([0-9]*[1-9][0-9]*(\.[0-9]+)?|0+\.[0-9]*[1-9][0-9]*)(ms|s|m|h|d)";

/// Returns the JSON Schema of a pipeline file: draft 7, which every editor's YAML support reads.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schema_of::<Spec>();
    // What a file lacks may stand in one that it includes.
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        let needed: Vec<Value> = required.iter().filter(|key| **key != "version").cloned().collect();
        *required = vec![json!("version")];
        schema["if"] = json!({ "not": { "required": ["include"] } });
        schema["then"] = json!({ "required": needed });
    }
    schema
}

/// Returns the JSON Schema of a type, with what editors show at each key.
fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    Strict.transform(&mut schema);
    let mut schema = schema.to_value();
    entitle(&mut schema, "");
    if let Some(Value::Object(definitions)) = schema.get_mut("definitions") {
        for (name, definition) in definitions.iter_mut() {
            let owner = name.to_lowercase();
            entitle(definition, &format!("{owner}."));
            definition["title"] = json!(owner);
        }
    }
    schema
}

/// Returns the JSON Schema of a project's `pipe.yaml`.
#[must_use]
pub fn project_schema() -> Value {
    let mut schema = schema_of::<Project>();
    schema["required"] = json!(["version", "pipelines"]);
    schema
}

/// Returns the JSON Schema of a file that others include: the same keys, none of which must be there.
#[must_use]
pub fn part_schema() -> Value {
    let mut schema = schema();
    loosen(&mut schema);
    schema["title"] = json!("part of a pipe pipeline, version 1");
    schema["description"] = json!("A file that pipelines include: any of their sections, whole or in part.");
    schema
}

/// Takes out which keys must be there.
fn loosen(schema: &mut Value) {
    let is_demand = |way: &Value| way.as_object().is_some_and(|way| way.keys().all(|key| key == "required"));
    if let Value::Object(object) = schema {
        for key in ["required", "if", "then", "minProperties"] {
            object.shift_remove(key);
        }
        for key in ["oneOf", "anyOf"] {
            if object.get(key).and_then(Value::as_array).is_some_and(|ways| ways.iter().all(is_demand)) {
                object.shift_remove(key);
            }
        }
        for (key, inner) in object.iter_mut() {
            match (key.as_str(), inner) {
                ("properties" | "patternProperties" | "definitions", Value::Object(named)) => {
                    named.values_mut().for_each(loosen);
                }
                ("anyOf" | "oneOf" | "allOf", Value::Array(ways)) => ways.iter_mut().for_each(loosen),
                ("additionalProperties" | "items", inner) => loosen(inner),
                _ => {}
            }
        }
    }
}

/// Gives each key a title, which editors show above its description: where it is.
fn entitle(schema: &mut Value, owner: &str) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (key, property) in properties.iter_mut() {
        if let Value::Object(property) = property {
            property.insert("title".to_owned(), json!(format!("{owner}{key}")));
        }
    }
}

/// Refuses unknown keys but `x-…`, blank texts and nulls, as the decoder does.
struct Strict;

impl Transform for Strict {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        if object.contains_key("properties") {
            object.insert("additionalProperties".to_owned(), json!(false));
            object.insert("patternProperties".to_owned(), json!({ "^x-": true }));
        }
        remove_null(object);
        let any_text = object.get("type") == Some(&json!("string"))
            && ["pattern", "enum", "const"].iter().all(|key| !object.contains_key(*key));
        if any_text {
            object.insert("pattern".to_owned(), json!(r"\S"));
        }
    }
}

/// An optional field may be left out, but not be null.
fn remove_null(object: &mut serde_json::Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(branches)) = object.get_mut("anyOf") else { return };
    branches.retain(|branch| *branch != json!({ "type": "null" }));
    if let [Value::Object(only)] = branches.as_slice() {
        let only = only.clone();
        object.shift_remove("anyOf");
        // Draft 7 passes over everything beside a `$ref`: there it stands alone.
        if only.contains_key("$ref") {
            object.insert("allOf".to_owned(), json!([only]));
            return;
        }
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}

/// What a setting may be instead of a literal.
struct Reference;

impl JsonSchema for Reference {
    fn schema_name() -> Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "One whole `{{ … }}` that reads only params, or text with `${NAME}` or `${NAME:-default}` \
                            from the environment.",
            "anyOf": [
                { "pattern": r"^\s*\{\{((?!\{\{|\}\})[\s\S])*\S((?!\{\{|\}\})[\s\S])*\}\}\s*$" },
                { "pattern": r"\$\{", "not": { "pattern": r"\{\{" } },
            ],
        })
    }
}

impl JsonSchema for Order {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Order".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<Setting<OrderWord>>();
        let opens = generator.subschema_for::<Opens>();
        json_schema!({ "anyOf": [word, opens] })
    }
}

impl JsonSchema for Repeat {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Repeat".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let times = generator.subschema_for::<Setting<Count>>();
        let until = generator.subschema_for::<RepeatUntil>();
        json_schema!({ "anyOf": [times, until] })
    }
}

impl<T: JsonSchema> JsonSchema for Setting<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("SettingOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let literal = generator.subschema_for::<T>();
        let reference = generator.subschema_for::<Reference>();
        json_schema!({ "anyOf": [literal, reference] })
    }
}

impl<T: Named + JsonSchema> JsonSchema for Table<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("TableOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = if T::HYPHENS { "^[A-Za-z_][A-Za-z0-9_-]{0,63}$" } else { "^[A-Za-z_][A-Za-z0-9_]{0,63}$" };
        // A name with a hyphen may start with `x-` in form only: those keys are always the author's own.
        let entry = generator.subschema_for::<T>();
        json_schema!({
            "type": "object",
            "patternProperties": { "^x-": true },
            "additionalProperties": entry,
            "propertyNames": { "anyOf": [{ "pattern": name }, { "pattern": "^x-" }] },
        })
    }
}

macro_rules! transparent {
    ($($wrapper:ident),*) => {$(
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }

            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    )*};
}

transparent!(Spanned, Required);

macro_rules! inline {
    ($($name:ident => $schema:tt)*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

inline! {
    Text => { "type": "string" }
    AnyValue => { "type": ["string", "number", "boolean", "array", "object"] }
    ForEach => { "anyOf": [{ "type": "string", "pattern": r"\S" }, { "type": "array" }] }
    OnError => { "anyOf": [
        { "enum": ["fail", "skip"] },
        {
            "type": "object",
            "required": ["default"],
            "properties": { "default": {
                "description": "What the step gives when it fails: its text, choice, value or passed.",
                "type": ["string", "number", "boolean", "array", "object"],
                "examples": ["no answer"],
            } },
        },
    ] }
    Version => { "type": "integer", "const": 1 }
    Count => { "type": "integer", "minimum": 1, "maximum": u32::MAX }
    Flag => { "type": "boolean" }
    Repairs => { "type": "integer", "minimum": 0, "maximum": 10 }
    CacheUse => { "enum": [true, false, "refresh"] }
    VoteRule => { "enum": ["majority", "mean", "unanimous"] }
    AggregateBy => { "enum": ["table", "rank", "chat"] }
    SchemaSource => { "anyOf": [
        { "type": "object" },
        { "type": "string", "pattern": "^file://", "not": { "pattern": r"\{\{" } },
    ] }
    Levels => { "anyOf": [
        { "type": "array", "items": { "type": "string" } },
        { "type": "object", "additionalProperties": { "type": "string" }, "propertyNames": { "pattern": r"^-?[0-9]+(\.[0-9]+)?$" } },
    ] }
    Contestants => { "anyOf": [
        { "type": "array", "minItems": 2, "uniqueItems": true, "items": { "type": "string" } },
        { "type": "object", "minProperties": 2, "additionalProperties": { "type": "string" } },
    ] }
    StepNames => { "anyOf": [
        { "type": "string", "pattern": r"\S" },
        { "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "string" } },
    ] }
    Seed => { "type": "integer", "minimum": 0, "maximum": u64::MAX }
    Temperature => { "type": "number", "minimum": 0, "maximum": 2 }
    TopP => { "type": "number", "minimum": 0, "maximum": 1 }
    Share => { "anyOf": [
        { "type": "number", "exclusiveMinimum": 0, "maximum": 1 },
        { "type": "string", "pattern": r"^\s*(100(\.0+)?|0*[1-9][0-9]?(\.[0-9]+)?|0*\.0*[1-9][0-9]*|0+\.[0-9]*[1-9][0-9]*)%$" },
    ] }
    OrderWord => { "enum": ["round_robin", "random"] }
    EffortWord => { "enum": ["off", "low", "medium", "high", false] }
    OpensWord => { "const": "rotate" }
    Number => { "type": "number" }
    Tokens => { "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": u32::MAX },
        { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?[kM]$" },
    ] }
    Length => { "type": "string", "pattern": format!("^{LENGTH}$") }
    Backoff => { "type": "string", "pattern": format!(r"^{LENGTH}\.\.{LENGTH}$") }
    Money => { "type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})? ?USD$" }
    Rate => { "type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})? ?USD/[Mk]$" }
    Slots => { "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1, "maximum": u32::MAX }] }
    Word => { "type": "string", "pattern": r"^\s*\S[^\u0000-\u001f]*$", "not": { "pattern": r"\{\{" } }
    Scalar => { "type": ["string", "number", "boolean"] }
    PipelinePath => { "type": "string", "pattern": r"\.ya?ml$" }
    ParamValue => { "type": ["string", "number", "boolean"] }
    Schedule => { "type": "string", "pattern": r"^\s*\S+(\s+\S+){4,5}\s*$" }
    PipelineName => { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$" }
    RowsPath => { "type": "string", "pattern": r"^\s*[^\u0000-\u001f]*[^\s/]\s*$", "not": { "pattern": r"\{\{" } }
    TablePath => { "type": "string", "pattern": r"[^/]\.(jsonl|csv|parquet)$", "not": { "pattern": r"\{\{" } }
    TableFormat => { "type": "string", "enum": ["jsonl", "csv", "tsv", "parquet"] }
    Delimiter => { "type": "string", "pattern": r#"^(tab|[^"\u0000\r\n\u0080-\uffff])$"# }
    ColumnTypes => { "type": "object", "minProperties": 1, "additionalProperties": {
        "type": "string", "enum": ["integer", "number", "string", "boolean"],
    } }
    BaseUrl => { "anyOf": [
        { "enum": ["auto", "embedded", "sim"] },
        { "type": "string", "pattern": "^sim:[0-9]+$" },
        { "type": "string", "pattern": r"^https?://[^/:?\s][^\s]*$" },
    ] }
    ContentWord => { "type": "string", "enum": ["full", "hash", "none"] }
    ShapeWord => { "type": "string", "enum": ["auto", "run", "item"] }
    KeepWord => { "type": "string", "enum": ["error", "retried", "unscored"] }
    ParamType => { "type": "string", "enum": ["integer", "number", "string", "boolean"] }
    Rows => { "type": "array", "minItems": 1, "items": { "type": "object" } }
    Columns => { "type": "object", "minProperties": 1, "additionalProperties": { "type": "string" } }
}
