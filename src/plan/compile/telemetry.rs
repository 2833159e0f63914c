//! How a run is told in spans.

use super::Compiler;
use crate::event::Shape;
use crate::plan::{Content, Keep, SpanSample as Sample, Telemetry};
use crate::spec::{ContentWord, KeepWord, ShapeWord};

impl Compiler<'_> {
    pub(super) fn telemetry(&mut self) -> Telemetry {
        let Some(spec) = self.spec.telemetry.as_ref() else { return Telemetry::default() };
        let content = match self.optional("`content` of `telemetry`", spec.content.as_ref()) {
            Some(ContentWord::Full) | None => Content::Full,
            Some(ContentWord::Hash) => Content::Hash,
            Some(ContentWord::None) => Content::None,
        };
        let shape = match self.optional("`shape` of `telemetry`", spec.shape.as_ref()) {
            Some(ShapeWord::Auto) | None => None,
            Some(ShapeWord::Run) => Some(Shape::Run),
            Some(ShapeWord::Item) => Some(Shape::Item),
        };
        let sample = spec.sample.as_ref().and_then(|sample| {
            let ratio = self.optional("`ratio` of `sample`", sample.ratio.as_ref())?.0;
            let words = sample.keep.iter().flatten();
            let keep = words.filter_map(|word| {
                Some(match self.optional("an entry of `keep`", Some(word))? {
                    KeepWord::Error => Keep::Error,
                    KeepWord::Retried => Keep::Retried,
                    KeepWord::Unscored => Keep::Unscored,
                })
            });
            Some(Sample { ratio, keep: keep.collect() })
        });
        Telemetry { content, shape, sample }
    }
}
