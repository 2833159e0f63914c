//! Limits, results.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place, wrong_type};
use super::node::{Kind, Node, Spanned};
use super::{Backoff, Count, Length, Setting, Slots, TablePath};
use crate::diag::{Diagnostic, code};

/// Bounds of the run.
#[derive(Clone, Debug, JsonSchema)]
pub struct Limits {
    /// Calls in flight at each backend that does not say otherwise. `auto`: as many as the server serves at once.
    #[schemars(extend("default" = "auto"))]
    #[schemars(extend("examples" = [4]))]
    pub concurrency: Option<Setting<Slots>>,
    /// How long one request may take.
    #[schemars(extend("examples" = [{"total": "10m"}]))]
    pub timeouts: Option<Timeouts>,
    /// How failed requests are repeated.
    #[schemars(extend("examples" = [{"attempts": 3}]))]
    pub retries: Option<Retries>,
}

/// How long one request may take; waiting in our own queues never counts.
#[derive(Clone, Debug, JsonSchema)]
pub struct Timeouts {
    /// Until the connection stands.
    #[schemars(extend("default" = "10s"))]
    #[schemars(extend("examples" = ["5s"]))]
    pub connect: Option<Setting<Length>>,
    /// From the request written to the first token, the server's queue and the loading of the model included. Only
    /// a streamed answer shows its first token: with this or `idle` written, every answer is streamed; without, only
    /// those of a live display are, and `total` bounds the others.
    #[schemars(extend("default" = "5m"))]
    #[schemars(extend("examples" = ["90s"]))]
    pub first_token: Option<Setting<Length>>,
    /// Between two pieces of an answer, which is then streamed.
    #[schemars(extend("default" = "2m"))]
    #[schemars(extend("examples" = ["30s"]))]
    pub idle: Option<Setting<Length>>,
    /// From the request written to the end of the answer.
    #[schemars(extend("default" = "30m"))]
    #[schemars(extend("examples" = ["10m"]))]
    pub total: Option<Setting<Length>>,
}

/// How failed requests are repeated.
#[derive(Clone, Debug, JsonSchema)]
pub struct Retries {
    /// Requests per call, the first included.
    #[schemars(extend("default" = 6))]
    #[schemars(extend("examples" = [3]))]
    pub attempts: Option<Setting<Count>>,
    /// No further request after this long.
    #[schemars(extend("default" = "10m"))]
    #[schemars(extend("examples" = ["5m"]))]
    pub within: Option<Setting<Length>>,
    /// The shortest and the longest wait before the next one.
    #[schemars(extend("default" = "1s..60s"))]
    #[schemars(extend("examples" = ["500ms..30s"]))]
    pub backoff: Option<Setting<Backoff>>,
}

/// The table of results: one row for each case.
#[derive(Clone, Debug, JsonSchema)]
pub struct Results {
    /// A `.jsonl`, `.csv` or `.parquet` file, relative to this file. `--out` beats it.
    #[schemars(extend("examples" = ["results.jsonl", "results.parquet"]))]
    pub path: super::Required<Setting<TablePath>>,
    /// The columns, each with what it shows: `id`, `item.<column>`, `repeat`, `matrix.<name>`,
    /// `steps.<step>.<field>`, `status` or `error`. Omitted: everything.
    #[schemars(extend("examples" = [{"motion": "item.motion", "winner": "steps.verdict.choice"}]))]
    pub columns: Option<Columns>,
}

/// Columns of the table of results.
#[derive(Clone, Debug)]
pub struct Columns(pub Vec<(Spanned<String>, Spanned<String>)>);

impl Decode for Limits {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let limits = Self {
            concurrency: fields.optional("concurrency", report),
            timeouts: fields.optional("timeouts", report),
            retries: fields.optional("retries", report),
        };
        fields.finish(report);
        Some(limits)
    }
}

impl Decode for Timeouts {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let timeouts = Self {
            connect: fields.optional("connect", report),
            first_token: fields.optional("first_token", report),
            idle: fields.optional("idle", report),
            total: fields.optional("total", report),
        };
        fields.finish(report);
        Some(timeouts)
    }
}

impl Decode for Retries {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let retries = Self {
            attempts: fields.optional("attempts", report),
            within: fields.optional("within", report),
            backoff: fields.optional("backoff", report),
        };
        fields.finish(report);
        Some(retries)
    }
}

impl Decode for Results {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let results = Self { path: fields.required("path", report), columns: fields.optional("columns", report) };
        fields.finish(report);
        Some(results)
    }
}

impl Decode for Columns {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            if !matches!(node.kind, Kind::Invalid) {
                report.push(
                    wrong_type(node, place, "a map from column to what it shows")
                        .help("write { winner: steps.verdict.choice }"),
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
        let mut columns = Vec::new();
        for (name, node) in entries {
            let column = Place { what: format!("column `{}`", name.value), at: name.span.clone() };
            if let Some(source) = <Spanned<String>>::decode(node, &column, report) {
                columns.push((name.clone(), source));
            }
        }
        Some(Self(columns))
    }
}
