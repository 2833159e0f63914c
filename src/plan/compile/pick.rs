//! Which items are taken: `where`, `sample`, `shuffle`, `limit`.

use super::Compiler;
use crate::diag::{Diagnostic, closest, code};
use crate::plan::{Pick, Sample};
use crate::prompt::ExpressionId;
use crate::spec::{Count, Seed, Text};

impl Compiler<'_> {
    pub(super) fn pick(&mut self, run_seed: u64) -> Pick {
        let spec = self.spec;
        let Some(items) = &spec.items else { return Pick::default() };
        let limit = self.optional("`limit` of `items`", items.limit.as_ref()).map(|Count(limit)| limit);
        let sample = items.sample.as_ref().and_then(|sample| {
            let n = self.optional("`n` of `sample`", sample.n.as_ref());
            let seed = self.optional("`seed` of `sample`", sample.seed.as_ref());
            n.map(|Count(n)| Sample { n, seed: seed.map_or(run_seed, |Seed(seed)| seed) })
        });
        let shuffle = items.shuffle.as_ref().filter(|shuffle| shuffle.wanted).map(|shuffle| {
            let seed = self.optional("`seed` of `shuffle`", shuffle.seed.as_ref());
            seed.map_or(run_seed, |Seed(seed)| seed)
        });
        let filter = items.filter.as_ref().and_then(|text| self.filter(text));
        Pick { filter, sample, shuffle, limit }
    }

    /// Compiles `where` and checks what it reads.
    fn filter(&mut self, text: &Text) -> Option<ExpressionId> {
        if text.value.contains("{{") || text.value.contains("{%") {
            self.report.push(
                Diagnostic::error(code::TEMPLATE_SYNTAX, "`where` of `items` is an expression by itself")
                    .at(&text.span, "this is a template")
                    .help("leave the braces out: where: item.lang == \"en\""),
            );
            return None;
        }
        let id = match self.templates.add_expression(&text.value) {
            Ok(id) => id,
            Err(error) => {
                let place = error.range.map_or_else(|| text.span.clone(), |range| text.place(range));
                self.report.push(
                    Diagnostic::error(code::TEMPLATE_SYNTAX, "`where` of `items` does not parse")
                        .at(&place, error.message)
                        .help("such as: item.lang == \"en\" and item.score > params.least"),
                );
                return None;
            }
        };
        for unknown in self.templates.expression_unknown_words(id) {
            let message = format!("there is no {} `{}`", unknown.kind, unknown.word);
            let told = Diagnostic::error(code::UNKNOWN_VARIABLE, message)
                .at(&text.place(unknown.range), format!("unknown {}", unknown.kind));
            let near = closest(&unknown.word, unknown.known.iter().copied());
            self.report.push(near.into_iter().fold(told, |told, near| told.help(format!("did you mean `{near}`?"))));
        }
        let references = self.templates.expression_references(id);
        let places = self.templates.locate_in_expression(id, &references);
        for (read, range) in references.iter().zip(places) {
            let place = range.map_or_else(|| text.span.clone(), |range| text.place(range));
            let path: Vec<&str> = read.0.iter().map(String::as_str).collect();
            match path.as_slice() {
                ["item" | "params", ..] => self.check_read(read, &place),
                [root, ..] if super::scope::FUNCTIONS.contains(root) => {}
                [] => {}
                [root, ..] => {
                    let known: Vec<&str> = self.inline_columns().into_iter().collect();
                    let told = Diagnostic::error(code::WRONG_PLACE, format!("`where` reads `{}`", path.join(".")))
                        .at(&place, "rows are chosen by `item` and `params` alone");
                    let told = if known.contains(root) || path.len() == 1 {
                        told.help(format!("a column is read as item.{root}"))
                    } else {
                        told.help("what a step says is known only when it has been asked")
                    };
                    self.report.push(told);
                }
            }
        }
        Some(id)
    }
}
