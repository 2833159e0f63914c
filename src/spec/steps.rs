//! The steps, one key per kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place, wrong_type};
use super::flow::{Assert, ForEach, OnError, Transform};
use super::node::{Kind, Node, Spanned};
use super::table::Named;
use super::{Aggregate, Dialogue, Judge, Repairs, Required, Retries, SchemaSource, Setting, Text, Timeouts};
use crate::diag::{Diagnostic, code};

/// The kinds of a step.
const KINDS: &[&str] = &["chat", "dialogue", "judge", "transform", "assert", "aggregate"];

/// One step: exactly one of `chat`, `dialogue`, `judge`, `transform`, `assert`, `aggregate`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["chat"]}, {"required": ["dialogue"]}, {"required": ["judge"]}, {"required": ["transform"]}, {"required": ["assert"]}, {"required": ["aggregate"]}]))]
pub struct Step {
    /// One question, one answer. Later steps read `text`, `json` and `status`.
    #[schemars(extend("examples" = [{"actor": "pro", "prompt": "Summarise: {{ item.text }}"}]))]
    pub chat: Option<Chat>,
    /// Several actors in turns. Later steps read `transcript`, `turns`, `last`, `stopped_by` and `status`.
    #[schemars(extend("examples" = [{"actors": ["pro", "con"], "opening": "{{ item.motion }}", "stop": {"rounds": 3}}]))]
    pub dialogue: Option<Dialogue>,
    /// A verdict. Later steps read `choice`, `score`, `ranking` or `json`, and `reason`, `votes`, `flipped`, `status`.
    #[schemars(extend("examples" = [{"actor": "referee", "question": "Who won?\n{{ steps.debate.transcript }}", "choose": ["pro", "con", "tie"]}]))]
    pub judge: Option<Judge>,
    /// A value from an expression, without a model. Later steps read `value` and `status`.
    #[schemars(extend("examples" = [{"expr": "steps.answers.text | length"}]))]
    pub transform: Option<Transform>,
    /// A claim that must hold, without a model. Later steps read `passed` and `status`.
    #[schemars(extend("examples" = [{"value": "{{ steps.answer.text }}", "contains": "{{ item.expected }}"}]))]
    pub assert: Option<Assert>,
    /// What another step came to over all cases, once for each cell of the matrix. Only other aggregates read it.
    #[schemars(extend("examples" = [{"of": "verdict", "by": "table"}]))]
    pub aggregate: Option<Aggregate>,
    /// A bare expression: only where it holds the step is done. Elsewhere it is skipped, its fields are none, and what
    /// reads it runs.
    #[schemars(extend("examples" = ["item.lang == \"en\"", "steps.verdict.choice != \"tie\""]))]
    pub when: Option<Text>,
    /// A list, or a bare expression that gives one: the step is done once for each element, which its templates read
    /// as `each`. Each of its fields is then a list.
    #[schemars(extend("examples" = ["item.sections", ["en", "de"]]))]
    pub for_each: Option<ForEach>,
    /// What a failure does. `fail`: the case fails; `skip`: the step counts as skipped; `default`: as done, with that
    /// as its text, choice, value or passed.
    #[schemars(extend("default" = "fail"))]
    #[schemars(extend("examples" = ["skip", {"default": "no answer"}]))]
    pub on_error: Option<OnError>,
    /// Steps to wait for. Those that templates read are waited for anyway.
    #[schemars(extend("examples" = [["debate"]]))]
    pub after: Option<Vec<Spanned<String>>>,
    /// The JSON Schema that the answer of a `chat` must match, or `file://` and the path of one.
    #[schemars(extend("examples" = [{"type": "object", "properties": {"fits": {"type": "boolean"}}}, "file://answer.schema.json"]))]
    pub schema: Option<SchemaSource>,
    /// How often an answer that cannot be read is asked for again, with what is wrong with it.
    #[schemars(extend("default" = 1))]
    #[schemars(extend("examples" = [2]))]
    pub repair: Option<Setting<Repairs>>,
    /// How often a request is sent again, where the step asks a model; what is not given is as in `limits`.
    #[schemars(extend("examples" = [{"attempts": 2}]))]
    pub retries: Option<Retries>,
    /// How long a request may take, where the step asks a model; what is not given is as in `limits`.
    #[schemars(extend("examples" = [{"total": "20m"}]))]
    pub timeouts: Option<Timeouts>,
}

/// One question, one answer.
#[derive(Clone, Debug, JsonSchema)]
pub struct Chat {
    /// Who answers: a name from `actors`.
    #[schemars(extend("examples" = ["pro"]))]
    pub actor: Required<Spanned<String>>,
    /// What is asked: a template.
    #[schemars(example = &"Summarise: {{ item.text }}")]
    pub prompt: Required<Text>,
    /// The step whose talk this one continues, or several in order: `chat` and `dialogue` steps. Their prompts and
    /// answers, and what they continue themselves, come before the prompt; a dialogue as the actor saw it.
    #[schemars(extend("examples" = ["draft", ["debate", "draft"]]))]
    pub history: Option<StepNames>,
}

/// One step, or several.
#[derive(Clone, Debug)]
pub struct StepNames(pub Vec<Spanned<String>>);

impl Named for Step {
    const WORD: &'static str = "step";
    const ONE: &'static str = "a step";
    const HYPHENS: bool = false;
}

impl Decode for Step {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let step = Self {
            chat: fields.optional("chat", report),
            dialogue: fields.optional("dialogue", report),
            judge: fields.optional("judge", report),
            transform: fields.optional("transform", report),
            assert: fields.optional("assert", report),
            aggregate: fields.optional("aggregate", report),
            when: fields.optional("when", report),
            for_each: fields.optional("for_each", report),
            on_error: fields.optional("on_error", report),
            after: fields.optional("after", report),
            schema: fields.optional("schema", report),
            repair: fields.optional("repair", report),
            retries: fields.optional("retries", report),
            timeouts: fields.optional("timeouts", report),
        };
        let remedy = "a step is one `chat` (a question), `dialogue` (turns), `judge` (a verdict), `transform` (a \
                      value), `assert` (a claim) or `aggregate` (over all cases): two of them are two steps";
        fields.one_of(KINDS, remedy, report);
        let gathers = step.aggregate.as_ref().is_some_and(|aggregate| aggregate.prompt.is_none());
        if step.transform.is_some() || step.assert.is_some() || gathers {
            for key in ["retries", "timeouts"].into_iter().filter(|key| fields.has(key)) {
                let message = format!("`{key}` of {} bounds nothing", place.what);
                let help =
                    format!("remove `{key}`: it goes with a chat, a dialogue, a judge or an aggregate by: chat");
                report.push(
                    Diagnostic::error(code::WRONG_PLACE, message)
                        .at(&fields.span_of(key), "no model is asked here")
                        .help(help),
                );
            }
        }
        fields.finish(report);
        Some(step)
    }
}

impl Decode for Chat {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let chat = Self {
            actor: fields.required("actor", report),
            prompt: fields.required("prompt", report),
            history: fields.optional("history", report),
        };
        fields.finish(report);
        Some(chat)
    }
}

impl Decode for StepNames {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Invalid => None,
            Kind::Scalar(_) => Spanned::decode(node, place, report).map(|name| Self(vec![name])),
            Kind::List(written) => {
                let names = Vec::decode(node, place, report)?;
                no_twins(&names, place, report);
                if written.is_empty() {
                    report.push(
                        Diagnostic::error(code::BAD_LIST, format!("{} is empty", place.what))
                            .at(&node.span, "at least one step must be given")
                            .help("leave it out where nothing is continued"),
                    );
                }
                Some(Self(names))
            }
            Kind::Map(_) => {
                report.push(
                    wrong_type(node, place, "the name of a step, or a list of them")
                        .help("`last` and `tokens` bound what the speakers of a `dialogue` see: they go there"),
                );
                None
            }
        }
    }
}

/// Checks that at least two entries are written, and that none stands twice.
pub(super) fn distinct(entries: &[Spanned<String>], written: usize, place: &Place, report: &mut Vec<Diagnostic>) {
    no_twins(entries, place, report);
    if written < 2 {
        report.push(
            Diagnostic::error(code::BAD_LIST, format!("{} needs at least two entries", place.what))
                .at(&place.at, format!("there {} {written}", if written == 1 { "is" } else { "are" }))
                .help("write [one, other], or one entry a line after `- `"),
        );
    }
}

fn no_twins(entries: &[Spanned<String>], place: &Place, report: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, &Spanned<String>> = BTreeMap::new();
    for entry in entries {
        let first = *seen.entry(entry.value.as_str()).or_insert(entry);
        if first.span != entry.span {
            report.push(
                Diagnostic::error(code::BAD_LIST, format!("{} names `{}` twice", place.what, entry.value))
                    .at(&entry.span, "again here")
                    .at(&first.span, "first here")
                    .help("keep one of them"),
            );
        }
    }
}
