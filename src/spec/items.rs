//! Items: where rows come from, and which of them are taken.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{Decode, Fields, Place, wrong_type};
use super::node::{Kind, Node, Spanned};
use super::{Count, Delimiter, Literal, ParamType, Required, RowsPath, Seed, Setting, Text};
use crate::base::TableFormat;
use crate::diag::{Diagnostic, Span, code};

/// What the steps run over: rows in this file or in files of their own.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["path"]}, {"required": ["values"]}]))]
pub struct Items {
    /// A `.jsonl`, `.csv`, `.tsv` or `.parquet` file, relative to this file; `.gz` may follow. `*`, `?` and `[…]` name
    /// several, read in the order of their names. `-` is stdin.
    #[schemars(extend("examples" = ["motions.jsonl", "data/*.csv", "-"]))]
    pub path: Option<Setting<RowsPath>>,
    /// Rows written out here.
    #[schemars(extend("examples" = [[{"motion": "Tea is better than coffee."}]]))]
    pub values: Option<Rows>,
    /// The column that identifies a row. Default: a hash of the row.
    #[schemars(extend("examples" = ["motion_id"]))]
    pub id: Option<Spanned<String>>,
    /// How rows stand in the file. Default: what its ending says; `jsonl` for stdin.
    #[schemars(extend("examples" = ["csv"]))]
    pub format: Option<Setting<TableFormat>>,
    /// What stands between the values of a `.csv` file. Default: found among `,`, `;`, `|` and tab.
    #[schemars(extend("examples" = [";", "tab"]))]
    pub delimiter: Option<Setting<Delimiter>>,
    /// Types of columns of a `.csv` or `.tsv` file. Other values are numbers, `true` or `false` where they would be
    /// written back exactly as they stand, and text else: `007` and `1e5` are text.
    #[schemars(extend("examples" = [{"price": "number", "code": "string"}]))]
    pub types: Option<ColumnTypes>,
    /// Only rows for which this holds: an expression over `item` and `params`.
    #[schemars(rename = "where", extend("examples" = ["item.lang == \"en\""]))]
    pub filter: Option<Text>,
    /// Only the first so many. `--limit` beats it.
    #[schemars(extend("examples" = [100]))]
    pub limit: Option<Setting<Count>>,
    /// Only so many by chance, always the same ones.
    #[schemars(extend("examples" = [{"n": 500}]))]
    pub sample: Option<Sample>,
    /// In an order by chance, always the same one.
    #[schemars(extend("examples" = [true, {"seed": 7}]))]
    pub shuffle: Option<Shuffle>,
}

/// Rows written out: each a map from column to value.
#[derive(Clone, Debug)]
pub struct Rows(pub Vec<Node>);

/// Columns with their types.
#[derive(Clone, Debug)]
pub struct ColumnTypes(pub Vec<(Spanned<String>, Spanned<ParamType>)>);

/// So many rows by chance: the same ones whatever the order of the rows.
#[derive(Clone, Debug, JsonSchema)]
pub struct Sample {
    /// How many.
    #[schemars(extend("examples" = [500]))]
    pub n: Required<Setting<Count>>,
    /// Another seed takes other rows. Default: that of the run.
    #[schemars(extend("examples" = [7]))]
    pub seed: Option<Setting<Seed>>,
}

/// An order by chance.
#[derive(Clone, Debug)]
pub struct Shuffle {
    /// False leaves the rows in their order.
    pub wanted: bool,
    /// What the order follows from, when not from the run's seed.
    pub seed: Option<Setting<Seed>>,
}

/// An order by chance that follows from a seed of its own.
#[derive(JsonSchema)]
#[schemars(rename = "Shuffle")]
#[expect(dead_code, reason = "read by editors only: `Shuffle` is either this or true")]
struct SeededShuffle {
    /// Another seed gives another order. Default: that of the run.
    #[schemars(extend("examples" = [7]))]
    seed: Required<Setting<Seed>>,
}

impl JsonSchema for Shuffle {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ShuffleOrNot".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let seeded = generator.subschema_for::<SeededShuffle>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, seeded] })
    }
}

impl Decode for Items {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Kind::List(_) = node.kind {
            report.push(wrong_type(node, place, "a map").help("rows written out go under `items.values`"));
            return None;
        }
        let mut fields = Fields::of(node, place, report)?;
        let items = Self {
            path: fields.optional("path", report),
            values: fields.optional("values", report),
            id: fields.optional("id", report),
            format: fields.optional("format", report),
            delimiter: fields.optional("delimiter", report),
            types: fields.optional("types", report),
            filter: fields.optional("where", report),
            limit: fields.optional("limit", report),
            sample: fields.optional("sample", report),
            shuffle: fields.optional("shuffle", report),
        };
        let remedy = "`path` names a file of rows, `values` has them here: [{ motion: … }]";
        fields.one_of(&["path", "values"], remedy, report);
        fields.finish(report);
        Some(items)
    }
}

impl Decode for Rows {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::List(rows) = &node.kind else {
            if !matches!(node.kind, Kind::Invalid) {
                report.push(wrong_type(node, place, "a list of rows"));
            }
            return None;
        };
        if rows.is_empty() {
            report.push(
                Diagnostic::error(code::BAD_LIST, format!("{} is empty", place.what))
                    .at(&place.at, "there is nothing to run over")
                    .help("remove `items` to run once with an empty item"),
            );
        }
        for row in rows {
            match &row.kind {
                Kind::Map(_) | Kind::Invalid => {}
                Kind::Scalar(_) | Kind::List(_) => {
                    let each = Place { what: format!("each entry of {}", place.what), at: row.span.clone() };
                    report.push(
                        wrong_type(row, &each, "a map from column to value")
                            .help("write - { text: … } and read it as item.text"),
                    );
                }
            }
        }
        Some(Self(rows.clone()))
    }
}

impl Decode for ColumnTypes {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            if !matches!(node.kind, Kind::Invalid) {
                report.push(
                    wrong_type(node, place, "a map from column to type")
                        .help("write { price: number, code: string }"),
                );
            }
            return None;
        };
        if entries.is_empty() {
            report.push(
                Diagnostic::error(code::BAD_LIST, format!("{} is empty", place.what))
                    .at(&place.at, "at least one column must be given"),
            );
        }
        let mut types = Vec::new();
        for (name, node) in entries {
            let column = Place { what: format!("the type of column `{}`", name.value), at: name.span.clone() };
            if let Some(found) = <Spanned<ParamType>>::decode(node, &column, report) {
                types.push((name.clone(), found));
            }
        }
        Some(Self(types))
    }
}

impl Decode for Sample {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Kind::Scalar(text) = &node.kind {
            report.push(wrong_type(node, place, "a map").help(format!("write {{ n: {} }}", text.value)));
            return None;
        }
        let mut fields = Fields::of(node, place, report)?;
        let sample = Self { n: fields.required("n", report), seed: fields.optional("seed", report) };
        fields.finish(report);
        Some(sample)
    }
}

impl Decode for Shuffle {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text) => {
                if let Literal::Bool(wanted) = text.literal() {
                    return Some(Self { wanted, seed: None });
                }
                let told = wrong_type(node, place, "true, or a map with a seed");
                report.push(told.help("write true, or { seed: 7 }"));
                None
            }
            Kind::Map(_) => {
                let mut fields = Fields::of(node, place, report)?;
                let seed: Required<Setting<Seed>> = fields.required("seed", report);
                fields.finish(report);
                Some(Self { wanted: true, seed: seed.0 })
            }
            Kind::List(_) | Kind::Invalid => {
                if !matches!(node.kind, Kind::Invalid) {
                    report.push(wrong_type(node, place, "true, or a map with a seed"));
                }
                None
            }
        }
    }
}

impl Rows {
    /// Returns where the rows start.
    #[must_use]
    pub fn span(&self) -> Option<&Span> {
        self.0.first().map(|row| &row.span)
    }
}
