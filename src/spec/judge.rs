//! A judge: who is asked what, in which form, how often.

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place, wrong_type};
use super::node::{Kind, Node, Spanned};
use super::steps::distinct;
use super::{Count, Flag, Number, Required, SchemaSource, Setting, Text, VoteRule};
use crate::diag::{Diagnostic, code};

/// What a judge may be asked for.
const FORMS: &[&str] = &["choose", "score", "pairwise", "rank", "schema"];
/// Who may be asked.
const ASKED: &[&str] = &["actor", "panel"];

/// A verdict: one of some options, a score, the better of two texts, an order of texts, or a value.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["choose"]}, {"required": ["score"]}, {"required": ["pairwise"]}, {"required": ["rank"]},
    {"required": ["schema"]},
]))]
#[schemars(extend("anyOf" = [
    {"required": ["actor"], "not": {"required": ["panel"]}}, {"required": ["panel"], "not": {"required": ["actor"]}},
]))]
pub struct Judge {
    /// Who judges: a name from `actors`.
    #[schemars(extend("examples" = ["referee"]))]
    pub actor: Option<Spanned<String>>,
    /// Several who judge, each for themselves: at least two names from `actors`.
    #[schemars(extend("minItems" = 2, "uniqueItems" = true))]
    #[schemars(extend("examples" = [["strict", "kind", "terse"]]))]
    pub panel: Option<Vec<Spanned<String>>>,
    /// What is asked: a template. How to answer is added to it.
    #[schemars(example = &"Who argued better?\n{{ steps.debate.transcript }}")]
    pub question: Required<Text>,
    /// The options, at least two. Later steps read `choice`.
    #[schemars(extend("minItems" = 2, "uniqueItems" = true))]
    #[schemars(extend("examples" = [["pro", "con", "tie"]]))]
    pub choose: Option<Vec<Spanned<String>>>,
    /// A number on a scale. Later steps read `score`.
    #[schemars(extend("examples" = [{"min": 1, "max": 5, "levels": {"1": "useless", "5": "excellent"}}]))]
    pub score: Option<Score>,
    /// The better of two texts, or `tie`: names of chat steps, or names with templates. Later steps read `choice`.
    #[schemars(extend("examples" = [["draft", "rewrite"], {"human": "{{ item.human }}", "model": "{{ steps.draft.text }}"}]))]
    pub pairwise: Option<Contestants>,
    /// Texts from the best to the worst: names of chat steps, or names with templates. Later steps read `ranking`.
    #[schemars(extend("examples" = [["one", "two", "three"]]))]
    pub rank: Option<Contestants>,
    /// The JSON Schema of the answer, or `file://` and the path of one. Later steps read `json`.
    #[schemars(extend("examples" = [{"type": "object", "properties": {"fits": {"type": "boolean"}}}]))]
    pub schema: Option<SchemaSource>,
    /// How often each is asked, each time with another seed.
    #[schemars(extend("default" = 1))]
    #[schemars(extend("examples" = [3]))]
    pub votes: Option<Setting<Count>>,
    /// How votes become one verdict. Default: `mean` for `score` and `rank`, else `majority`.
    #[schemars(extend("examples" = ["unanimous"]))]
    pub vote: Option<Setting<VoteRule>>,
    /// Two speakers among the options: shown as A and B, and asked again exchanged.
    #[schemars(extend("minItems" = 2, "maxItems" = 2, "uniqueItems" = true))]
    #[schemars(extend("examples" = [["pro", "con"]]))]
    pub blind: Option<Vec<Spanned<String>>>,
    /// Whether each question is asked again in reverse order, and counts only where both agree. Default: for `pairwise`.
    #[schemars(extend("examples" = [true]))]
    pub swap: Option<Setting<Flag>>,
    /// Whether a reason comes before the verdict. Later steps read `reason`.
    #[schemars(extend("default" = false))]
    #[schemars(extend("examples" = [true]))]
    pub explain: Option<Setting<Flag>>,
}

/// A scale of numbers.
#[derive(Clone, Debug, JsonSchema)]
pub struct Score {
    /// The lowest score.
    #[schemars(extend("examples" = [1]))]
    pub min: Required<Setting<Number>>,
    /// The highest score.
    #[schemars(extend("examples" = [5]))]
    pub max: Required<Setting<Number>>,
    /// How far scores are apart.
    #[schemars(extend("default" = 1))]
    #[schemars(extend("examples" = [0.5]))]
    pub step: Option<Setting<Number>>,
    /// What scores mean: one name for each, the lowest first; or some scores with their names.
    #[schemars(extend("examples" = [["poor", "fair", "good"], {"1": "poor", "5": "excellent"}]))]
    pub levels: Option<Levels>,
}

/// Names of scores.
#[derive(Clone, Debug)]
pub enum Levels {
    /// One for each score, the lowest first.
    All(Vec<Spanned<String>>),
    /// For some of them.
    Some(Vec<(Spanned<f64>, Spanned<String>)>),
}

/// Texts to compare.
#[derive(Clone, Debug)]
pub enum Contestants {
    /// Names of steps, or templates.
    Listed(Vec<Text>),
    /// Names and their templates.
    Named(Vec<(Spanned<String>, Text)>),
}

impl Contestants {
    /// Returns how many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Listed(texts) => texts.len(),
            Self::Named(texts) => texts.len(),
        }
    }

    /// Returns true when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Decode for Judge {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let judge = Self {
            actor: fields.optional("actor", report),
            panel: fields.optional("panel", report),
            question: fields.required("question", report),
            choose: fields.optional("choose", report),
            score: fields.optional("score", report),
            pairwise: fields.optional("pairwise", report),
            rank: fields.optional("rank", report),
            schema: fields.optional("schema", report),
            votes: fields.optional("votes", report),
            vote: fields.optional("vote", report),
            blind: fields.optional("blind", report),
            swap: fields.optional("swap", report),
            explain: fields.optional("explain", report),
        };
        fields.one_of(FORMS, "a judge is asked for one thing: two of them are two steps", report);
        fields.one_of(ASKED, "one who judges is the `actor`; several are a `panel`", report);
        for (key, list) in [("panel", &judge.panel), ("choose", &judge.choose), ("blind", &judge.blind)] {
            let Some(list) = list else { continue };
            let place = fields.place_of(key, &fields.span_of(key));
            distinct(list, fields.length_of(key), &place, report);
        }
        if let Some(third) = judge.blind.as_ref().and_then(|names| names.get(2)) {
            let place = fields.place_of("blind", &fields.span_of("blind"));
            report.push(
                Diagnostic::error(code::BAD_LIST, format!("{} takes two names", place.what))
                    .at(&third.span, "the third")
                    .help("blind judging tells two speakers apart: A and B"),
            );
        }
        fields.finish(report);
        Some(judge)
    }
}

impl Decode for Score {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let score = Self {
            min: fields.required("min", report),
            max: fields.required("max", report),
            step: fields.optional("step", report),
            levels: fields.optional("levels", report),
        };
        fields.finish(report);
        Some(score)
    }
}

impl Decode for Levels {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::List(_) => Vec::decode(node, place, report).map(Self::All),
            Kind::Map(entries) => {
                let mut levels = Vec::new();
                for (name, value) in entries {
                    let Ok(number) = name.value.trim().parse::<f64>() else {
                        report.push(
                            Diagnostic::error(
                                code::WRONG_TYPE,
                                format!("each key of {} must be a number", place.what),
                            )
                            .at(&name.span, "this is text")
                            .help("write scores with their names: { 1: poor, 5: excellent }"),
                        );
                        continue;
                    };
                    let what = Place { what: format!("level {number} of {}", place.what), at: name.span.clone() };
                    let Some(text) = Spanned::<String>::decode(value, &what, report) else { continue };
                    levels.push((Spanned::new(number, name.span.clone()), text));
                }
                Some(Self::Some(levels))
            }
            Kind::Invalid => None,
            Kind::Scalar(_) => {
                report.push(
                    wrong_type(node, place, "a list of names, or a map from score to name")
                        .help("write [poor, fair, good], or { 1: poor, 5: excellent }"),
                );
                None
            }
        }
    }
}

impl Decode for Contestants {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let written = match &node.kind {
            Kind::List(entries) => entries.len(),
            Kind::Map(entries) => entries.len(),
            Kind::Invalid => return None,
            Kind::Scalar(_) => {
                report.push(wrong_type(node, place, "a list of steps, or a map from name to text").help(
                    "write [draft, rewrite], or { human: \"{{ item.text }}\", model: \"{{ steps.draft.text }}\" }",
                ));
                return None;
            }
        };
        if written < 2 {
            report.push(
                Diagnostic::error(code::BAD_LIST, format!("{} needs at least two texts", place.what))
                    .at(&place.at, format!("there {} {written}", if written == 1 { "is" } else { "are" }))
                    .help("write [one, other], or one entry a line after `- `"),
            );
        }
        match &node.kind {
            Kind::Map(entries) => {
                let mut texts = Vec::new();
                for (name, value) in entries {
                    let what = Place { what: format!("`{}` of {}", name.value, place.what), at: name.span.clone() };
                    texts.extend(Text::decode(value, &what, report).map(|text| (name.clone(), text)));
                }
                Some(Self::Named(texts))
            }
            Kind::List(_) | Kind::Scalar(_) | Kind::Invalid => {
                let texts: Vec<Text> = Vec::decode(node, place, report)?;
                let names: Vec<_> =
                    texts.iter().map(|text| Spanned::new(text.value.clone(), text.span.clone())).collect();
                if written >= 2 {
                    distinct(&names, written, place, report);
                }
                Some(Self::Listed(texts))
            }
        }
    }
}
