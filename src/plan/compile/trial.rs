//! Templates that need nothing but items and params are rendered once before anything is paid for.

use serde_json::{Map, Value, json};

use super::Compiler;
use crate::diag::{Diagnostic, code};
use crate::plan::{Items, Plan};

/// Rows that are tried; enough to meet every shape of row that is written by hand.
const MOST_ROWS: usize = 1_000;

/// Steps that all trials together may take, some tenths of a second; what they leave out is found when it is rendered.
const MOST_STEPS: u64 = 3_000_000;

impl Compiler<'_> {
    /// Reports templates that fail on a row of the file.
    pub(super) fn try_out(&mut self, plan: &Plan) {
        let empty = [Map::new()];
        let (rows, source) = match &plan.items {
            Items::One => (empty.as_slice(), "tried with an empty item: there are no others"),
            Items::Inline { rows, .. } => (rows.as_slice(), ""),
            Items::Files(_) => return,
        };
        let actors: Map<String, Value> =
            plan.actors.iter().map(|actor| (actor.name.to_string(), json!({ "model": "model" }))).collect();
        let mut steps = 0_u64;
        let complete = std::mem::take(&mut self.reads.complete);
        for (id, text, what) in &complete {
            for (position, row) in rows.iter().take(MOST_ROWS).enumerate() {
                let context = json!({
                    "params": plan.params, "item": row, "repeat": 1, "matrix": plan.matrix, "actors": actors,
                    "run": { "name": plan.name, "seed": plan.seed },
                });
                let error = match plan.templates.render_counting(*id, &context) {
                    Ok((text, took)) => {
                        steps = steps.saturating_add(took).saturating_add(text.len() as u64 / 64);
                        if steps > MOST_STEPS / self.share {
                            return;
                        }
                        continue;
                    }
                    Err(error) => error,
                };
                // The place tells the line better than the message does.
                let reason = error.message.split(" (line ").next().unwrap_or_default();
                let place = error.range.map_or_else(|| text.span.clone(), |range| text.place(range));
                let mut diagnostic = Diagnostic::error(code::DOES_NOT_RENDER, format!("{what} fails: {reason}"));
                diagnostic = match self.row_span(position) {
                    Some(span) => diagnostic.at(&place, "with an item of this file").at(&span, "this one"),
                    None => diagnostic.at(&place, source),
                };
                let remedy = if reason.contains("too many steps") || reason.contains("longer than") {
                    "templates are for prompts: what takes a million steps or megabytes belongs into the items"
                } else {
                    "`{{ item.x or \"…\" }}` gives what may be missing a default"
                };
                self.report.push(diagnostic.help(remedy));
                break;
            }
        }
    }

    /// Warns of columns that no row has, where rows are written out and no error says so already.
    pub(super) fn check_columns(&mut self, items: Option<&Items>) {
        if !matches!(items, Some(Items::Inline { .. })) {
            return;
        }
        let known = self.inline_columns();
        let missing = self.reads.columns.iter().filter(|(column, _)| !known.contains(column.as_str()));
        let warnings: Vec<Diagnostic> = missing
            .map(|(column, place)| {
                Diagnostic::warning(code::MISSING_COLUMN, format!("no item has a column `{column}`"))
                    .at(place, "always missing")
                    .suggest(column, known.iter().copied())
            })
            .collect();
        self.report.extend(warnings);
    }

    fn row_span(&self, position: usize) -> Option<crate::diag::Span> {
        self.spec.items.as_ref()?.values.as_ref()?.0.get(position).map(|row| row.span.clone())
    }
}
