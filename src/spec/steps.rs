//! The steps, one key per kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place};
use super::node::{Node, Spanned};
use super::table::Named;
use super::{Count, Dialogue, Required, Setting, Text};
use crate::diag::{Diagnostic, code};

/// The kinds of a step.
const KINDS: &[&str] = &["chat", "dialogue", "judge"];

/// One step: exactly one of `chat`, `dialogue`, `judge`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["chat"]}, {"required": ["dialogue"]}, {"required": ["judge"]}]))]
pub struct Step {
    /// One question, one answer. Later steps read `text`, `json` and `status`.
    #[schemars(extend("examples" = [{"actor": "pro", "prompt": "Summarise: {{ item.text }}"}]))]
    pub chat: Option<Chat>,
    /// Several actors in turns. Later steps read `transcript`, `turns`, `last`, `stopped_by` and `status`.
    #[schemars(extend("examples" = [{"actors": ["pro", "con"], "opening": "{{ item.motion }}", "stop": {"rounds": 3}}]))]
    pub dialogue: Option<Dialogue>,
    /// A choice among options. Later steps read `choice`, `votes`, `flipped` and `status`.
    #[schemars(extend("examples" = [{"actor": "referee", "question": "Who won?\n{{ steps.debate.transcript }}", "choose": ["pro", "con", "tie"]}]))]
    pub judge: Option<Judge>,
    /// Steps to wait for. Those that templates read are waited for anyway.
    #[schemars(extend("examples" = [["debate"]]))]
    pub after: Option<Vec<Spanned<String>>>,
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
}

/// A choice among options.
#[derive(Clone, Debug, JsonSchema)]
pub struct Judge {
    /// Who judges: a name from `actors`.
    #[schemars(extend("examples" = ["referee"]))]
    pub actor: Required<Spanned<String>>,
    /// What is asked: a template. How to answer is added to it.
    #[schemars(example = &"Who argued better?\n{{ steps.debate.transcript }}")]
    pub question: Required<Text>,
    /// The options, at least two.
    #[schemars(extend("minItems" = 2, "uniqueItems" = true))]
    #[schemars(extend("examples" = [["pro", "con", "tie"]]))]
    pub choose: Required<Vec<Spanned<String>>>,
    /// How often it is asked, each time with another seed.
    #[schemars(extend("default" = 1))]
    #[schemars(extend("examples" = [3]))]
    pub votes: Option<Setting<Count>>,
    /// Two speakers among the options: shown as A and B, and asked again exchanged.
    #[schemars(extend("minItems" = 2, "maxItems" = 2, "uniqueItems" = true))]
    #[schemars(extend("examples" = [["pro", "con"]]))]
    pub blind: Option<Vec<Spanned<String>>>,
}

impl Named for Step {
    const WORD: &'static str = "step";
    const ONE: &'static str = "a step";
    const HYPHENS: bool = false;
}

impl Decode for Step {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        // A misspelt kind is reported as an unknown key; that none is there would only repeat it.
        if KINDS.iter().any(|kind| fields.has(kind)) || !fields.has_unknown(&["chat", "dialogue", "judge", "after"]) {
            let remedy = "a step is one `chat` (a question), one `dialogue` (turns) or one `judge` (a choice): \
                          two of them are two steps";
            fields.exactly_one(KINDS, remedy, report);
        }
        let step = Self {
            chat: fields.optional("chat", report),
            dialogue: fields.optional("dialogue", report),
            judge: fields.optional("judge", report),
            after: fields.optional("after", report),
        };
        fields.finish(report);
        Some(step)
    }
}

impl Decode for Chat {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let chat = Self { actor: fields.required("actor", report), prompt: fields.required("prompt", report) };
        fields.finish(report);
        Some(chat)
    }
}

impl Decode for Judge {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let judge = Self {
            actor: fields.required("actor", report),
            question: fields.required("question", report),
            choose: fields.required("choose", report),
            votes: fields.optional("votes", report),
            blind: fields.optional("blind", report),
        };
        if let Some(options) = judge.choose.as_ref() {
            let place = fields.place_of("choose", &fields.span_of("choose"));
            distinct(options, fields.length_of("choose"), &place, report);
        }
        if let Some(names) = &judge.blind {
            let place = fields.place_of("blind", &fields.span_of("blind"));
            distinct(names, fields.length_of("blind"), &place, report);
            if let Some(third) = names.get(2) {
                report.push(
                    Diagnostic::error(code::BAD_LIST, format!("{} takes two names", place.what))
                        .at(&third.span, "the third")
                        .help("blind judging tells two speakers apart: A and B"),
                );
            }
        }
        fields.finish(report);
        Some(judge)
    }
}

/// Checks that at least two entries are written, and that none stands twice.
pub(super) fn distinct(entries: &[Spanned<String>], written: usize, place: &Place, report: &mut Vec<Diagnostic>) {
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
    if written < 2 {
        report.push(
            Diagnostic::error(code::BAD_LIST, format!("{} needs at least two entries", place.what))
                .at(&place.at, format!("there {} {written}", if written == 1 { "is" } else { "are" }))
                .help("write [one, other], or one entry a line after `- `"),
        );
    }
}
