//! `pipe.yaml`: which pipelines of a directory are to be run, with what, and when.

use std::sync::Arc;

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place, wrong_type};
use super::load::load;
use super::node::{Kind, Literal, Node, Spanned};
use super::table::{Named, filled};
use super::{BaseUrl, Count, PipelinePath, Required, Schedule, Seed, Table, TablePath, Version, Word};
use crate::diag::{Diagnostic, Span, code};

/// What `pipe plan DIR` and `pipe apply DIR` hold a directory's runs against.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(title = "pipe project, version 1")]
pub struct Project {
    /// The version of this language. Always 1.
    #[schemars(extend("examples" = [1]))]
    pub version: Required<Spanned<Version>>,
    /// The experiments, by the names that their runs have.
    #[schemars(extend("minProperties" = 1))]
    #[schemars(extend("examples" = [{"nightly": {"file": "pipelines/debate.yaml", "schedule": "0 3 * * *", "keep": 14}}]))]
    pub pipelines: Required<Table<Experiment>>,
}

/// A pipeline with what it is to be run with.
#[derive(Clone, Debug, JsonSchema)]
pub struct Experiment {
    /// The pipeline, relative to this file.
    #[schemars(extend("examples" = ["pipelines/debate.yaml"]))]
    pub file: Required<Spanned<PipelinePath>>,
    /// Values for its params.
    #[schemars(extend("examples" = [{"rounds": 3}]))]
    pub params: Option<Table<ParamValue>>,
    /// The seed, instead of the pipeline's.
    #[schemars(extend("examples" = [7]))]
    pub seed: Option<Spanned<Seed>>,
    /// How often each item is run, instead of as the pipeline says.
    #[schemars(extend("examples" = [20]))]
    pub repeat: Option<Spanned<Count>>,
    /// Only the first items.
    #[schemars(extend("examples" = [100]))]
    pub limit: Option<Spanned<Count>>,
    /// Where every model answers, instead of as the pipeline says.
    #[schemars(extend("examples" = ["sim", "http://127.0.0.1:8080/v1"]))]
    pub backend: Option<Spanned<BaseUrl>>,
    /// The model of all actors.
    #[schemars(extend("examples" = ["llama3.2"]))]
    pub model: Option<Spanned<Word>>,
    /// Where its results go, relative to this file, instead of where the pipeline says.
    #[schemars(extend("examples" = ["results/nightly.csv"]))]
    pub out: Option<Spanned<TablePath>>,
    /// When it is asked anew, all of it: minute, hour, day of the month, month and day of the week as in cron, in UTC unless
    /// a time zone follows. Omitted: once, and again only where it was edited.
    #[schemars(extend("examples" = ["0 3 * * *", "30 8 * * MON-FRI Europe/Berlin"]))]
    pub schedule: Option<Spanned<Schedule>>,
    /// How many complete runs are kept; `pipe apply` deletes older ones. Omitted: all.
    #[schemars(extend("examples" = [14]))]
    pub keep: Option<Spanned<Count>>,
}

/// A param's value as it is written.
#[derive(Clone, Debug)]
pub struct ParamValue(pub Spanned<String>);

/// Reads a `pipe.yaml`.
///
/// The project is there whenever the text is a map, so that its pipelines can be checked beside what is reported here.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "a name that is shared anyway; callers have it at hand as such")]
pub fn parse_project(file: Arc<str>, text: &str) -> (Option<Project>, Vec<Diagnostic>) {
    const START: &str = "start with `version: 1` and `pipelines:`";
    let mut report = Vec::new();
    let (root, more) = match load(&file, 0, text) {
        Ok(found) => found,
        Err(diagnostic) => return (None, vec![diagnostic]),
    };
    report.extend(more);
    let start = Span::new(&file, 0..0);
    let what = || file.rsplit('/').next().unwrap_or(&file).to_owned();
    let at = match &root.kind {
        Kind::Scalar(text) if text.value.is_empty() => {
            let empty = Diagnostic::error(code::MISSING_KEY, "the file is empty").at(&start, "").help(START);
            return (None, vec![empty]);
        }
        Kind::Map(entries) => entries.first().map_or(start, |(name, _)| name.span.clone()),
        Kind::Scalar(_) | Kind::List(_) | Kind::Invalid => {
            let place = Place { what: what(), at: start };
            report.push(wrong_type(&root, &place, "a map of keys and values").help(START));
            return (None, report);
        }
    };
    let project = Project::decode(&root, &Place { what: what(), at }, &mut report);
    (project, report)
}

impl Decode for Project {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let project =
            Self { version: fields.required("version", report), pipelines: filled(&mut fields, "pipelines", report) };
        fields.finish(report);
        Some(project)
    }
}

impl Named for Experiment {
    const WORD: &'static str = "pipeline";
    const ONE: &'static str = "a pipeline";
    const HYPHENS: bool = true;
}

impl Decode for Experiment {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Kind::Scalar(text) = &node.kind {
            report.push(
                wrong_type(node, place, "a map of keys and values").help(format!("write {{ file: {} }}", text.value)),
            );
            return None;
        }
        let mut fields = Fields::of(node, place, report)?;
        let experiment = Self {
            file: fields.required("file", report),
            params: fields.optional("params", report),
            seed: fields.optional("seed", report),
            repeat: fields.optional("repeat", report),
            limit: fields.optional("limit", report),
            backend: fields.optional("backend", report),
            model: fields.optional("model", report),
            out: fields.optional("out", report),
            schedule: fields.optional("schedule", report),
            keep: fields.optional("keep", report),
        };
        fields.finish(report);
        Some(experiment)
    }
}

impl Named for ParamValue {
    const WORD: &'static str = "param";
    const ONE: &'static str = "a param";
    const HYPHENS: bool = false;
}

impl Decode for ParamValue {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text) if text.literal() != Literal::Null => {
                Some(Self(Spanned::new(text.value.clone(), text.span.clone())))
            }
            Kind::Invalid => None,
            Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => {
                report.push(wrong_type(node, place, "text, a number, true or false"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let (_, report) = parse_project("pipe.yaml".into(), text);
        report.into_iter().map(|diagnostic| diagnostic.message).collect()
    }

    #[test]
    fn a_project_is_read_with_its_params_as_they_are_written() {
        let text = "version: 1\npipelines:\n  nightly:\n    file: a.yaml\n    params: { code: 007, on: true }\n    schedule: 0 3 * * *\n    keep: 2\n";
        let (project, report) = parse_project("pipe.yaml".into(), text);
        assert!(report.is_empty(), "{report:?}");
        let pipelines = project.and_then(|project| project.pipelines.0).expect("there are pipelines");
        let nightly = pipelines.get("nightly").and_then(|entry| entry.value.as_ref()).expect("it is there");
        let params = nightly.params.as_ref().expect("there are params");
        let value =
            |name| params.get(name).and_then(|entry| entry.value.as_ref()).map(|ParamValue(text)| &*text.value);
        assert_eq!((value("code"), value("on")), (Some("007"), Some("true")));
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        for (text, expected) in [
            ("", "the file is empty"),
            ("- a", "pipe.yaml must be a map of keys and values"),
            ("version: 1", "pipe.yaml has no `pipelines`"),
            ("version: 1\npipelines: {}", "`pipelines` is empty"),
            ("version: 1\npipelines: { a: a.yaml }", "pipeline `a` must be a map of keys and values"),
            ("version: 1\npipelines: { a: { seed: 1 } }", "pipeline `a` has no `file`"),
            (
                "version: 1\npipelines: { a: { file: a.json } }",
                "`file` of pipeline `a` must be the path of a pipeline, a .yaml or .yml file",
            ),
            ("version: 1\npipelines: { a: { file: a.yaml, cron: x } }", "pipeline `a` has no key `cron`"),
            (
                "version: 1\npipelines: { a: { file: a.yaml, keep: 0 } }",
                "`keep` of pipeline `a` must be a whole number from 1",
            ),
        ] {
            assert_eq!(messages(text).first().map(String::as_str), Some(expected), "{text}");
        }
    }
}
