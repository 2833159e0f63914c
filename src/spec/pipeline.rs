//! The whole file, and those who speak in it.

use std::sync::Arc;

use schemars::JsonSchema;

use super::decode::{Decode, Fields, Place};
use super::node::{Kind, Node, Spanned};
use super::table::{Named, filled};
use super::{
    BaseUrl, CacheUse, Defaults, Document, Effort, ExtraBody, Headers, Items, Limits, Matrix, Number, ParamType,
    PipelineName, Rate, ReadText, Repeat, Required, Results, RunStop, Scalar, Seed, Setting, Share, Slots, Step,
    Table, Telemetry, Temperature, Text, Tokens, TopP, Version, Word,
};
use crate::diag::{Diagnostic, code};

/// A pipeline of language-model calls: who speaks, in which steps, over which items.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(title = "pipe pipeline, version 1")]
pub struct Spec {
    /// The version of this language. Always 1.
    #[schemars(extend("examples" = [1]))]
    pub version: Required<Spanned<Version>>,
    /// Files whose sections come in: where both have a key, maps are joined, and everything else is as it stands here;
    /// a later file counts over an earlier one. Paths are relative to the file that they stand in.
    #[schemars(extend("examples" = [["common.yaml"]]))]
    pub include: Option<Vec<Text>>,
    /// The pipeline's name, part of the names of its runs. Default: the file's name.
    #[schemars(example = &"debate")]
    pub name: Option<Spanned<PipelineName>>,
    /// One sentence for people.
    #[schemars(extend("examples" = ["Two debaters argue a motion; a judge names the winner."]))]
    pub description: Option<Spanned<String>>,
    /// The seed of the run; each call gets one derived from it.
    #[schemars(extend("default" = 0))]
    #[schemars(extend("examples" = [7]))]
    pub seed: Option<Setting<Seed>>,
    /// Values that the command line may change: `pipe run FILE -p rounds=5`. Templates read them as `params.rounds`.
    #[schemars(extend("examples" = [{"rounds": {"type": "integer", "default": 3, "minimum": 1}}]))]
    pub params: Option<Table<Param>>,
    /// Where models answer. Omitted: one backend, `auto`.
    #[schemars(extend("examples" = [{"local": {"base_url": "http://127.0.0.1:8080/v1"}}]))]
    pub backends: Option<Table<Backend>>,
    /// Names for a backend and a model on it.
    #[schemars(extend("examples" = [{"small": {"backend": "local", "model": "llama3.2"}}]))]
    pub models: Option<Table<Model>>,
    /// Those who speak.
    #[schemars(extend("minProperties" = 1))]
    #[schemars(extend("examples" = [{"pro": {"system": "You argue FOR the motion.", "temperature": 0.9}, "referee": {"temperature": 0}}]))]
    pub actors: Required<Table<Actor>>,
    /// What every actor and every step inherits; a key that it has itself counts instead.
    #[schemars(extend("examples" = [{"actors": {"temperature": 0.7}, "steps": {"on_error": "skip"}}]))]
    pub defaults: Option<Defaults>,
    /// The steps run once for each item. Omitted: one empty item.
    #[schemars(extend("examples" = [{"values": [{"motion": "Tea is better than coffee."}]}, {"path": "motions.jsonl"}]))]
    pub items: Option<Items>,
    /// How often each item is run, each time with other seeds: a number, or `max` and when it is enough.
    #[schemars(extend("default" = 1))]
    #[schemars(extend("examples" = [20, "{{ params.times }}", {"max": 50, "stop": {"decided": {"of": "steps.verdict.choice"}}}]))]
    pub repeat: Option<Repeat>,
    /// Every combination of some values, as in CI: each item runs once in each. Templates read `matrix.NAME`.
    /// `exclude` leaves combinations out, `include` adds values to them, or combinations of their own.
    #[schemars(extend("examples" = [{"model": {"set": "models.small.model", "to": ["llama3.2", "qwen2.5:7b"]}, "lang": ["en", "de"]}]))]
    pub matrix: Option<Matrix>,
    /// What is done, in the order in which steps read each other.
    #[schemars(extend("minProperties" = 1))]
    #[schemars(extend("examples" = [{"ask": {"chat": {"actor": "pro", "prompt": "{{ item.motion }}"}}}]))]
    pub steps: Required<Table<Step>>,
    /// When the run is over before its last case.
    #[schemars(extend("examples" = [{"any": [{"budget": {"tokens": "5M"}}, {"errors": {"fraction": "5%", "after": 50}}]}]))]
    pub stop: Option<RunStop>,
    /// The share of cases that may fail before the exit code is 1. Omitted: none.
    #[schemars(extend("examples" = ["2%"]))]
    pub tolerate: Option<Setting<Share>>,
    /// Bounds of the run.
    #[schemars(extend("examples" = [{"concurrency": 4, "timeouts": {"total": "10m"}}]))]
    pub limits: Option<Limits>,
    /// Whether a call is answered from what an earlier run of this project was answered, when it asks the same of the
    /// same model. Every repeat counts as another question. `refresh` asks anew and keeps the new answers.
    #[schemars(extend("default" = false))]
    #[schemars(extend("examples" = [true]))]
    pub cache: Option<Setting<CacheUse>>,
    /// Where the table of results goes. Omitted: to standard output.
    #[schemars(extend("examples" = [{"path": "results.jsonl"}]))]
    pub results: Option<Results>,
    /// How the run is told to an OpenTelemetry collector.
    #[schemars(extend("examples" = [{"content": "hash"}]))]
    pub telemetry: Option<Telemetry>,
}

/// A value that the command line may change.
#[derive(Clone, Debug, JsonSchema)]
pub struct Param {
    /// What values it takes. Omitted: those of the default's type.
    #[schemars(rename = "type")]
    #[schemars(extend("examples" = ["integer"]))]
    pub kind: Option<Spanned<ParamType>>,
    /// Its value when nothing else is said. Omitted: it must be given.
    #[schemars(extend("examples" = [3]))]
    pub default: Option<Setting<Scalar>>,
    /// The least number it takes.
    #[schemars(extend("examples" = [1]))]
    pub minimum: Option<Spanned<Number>>,
    /// The greatest number it takes.
    #[schemars(extend("examples" = [20]))]
    pub maximum: Option<Spanned<Number>>,
    /// One sentence for people.
    #[schemars(extend("examples" = ["Rounds of the debate."]))]
    pub description: Option<Spanned<String>>,
}

/// A place where models answer.
#[derive(Clone, Debug, JsonSchema)]
pub struct Backend {
    /// `auto` (found on this machine, else embedded), `embedded`, `sim`, `sim:SPEED`, or the URL of an
    /// OpenAI-compatible server.
    #[schemars(extend("default" = "auto"), example = &"http://127.0.0.1:8080/v1")]
    pub base_url: Option<Setting<BaseUrl>>,
    /// The key that the server asks for, from the environment only.
    #[schemars(example = &"${OPENAI_API_KEY:-}")]
    pub api_key: Option<Text>,
    /// More headers of each request: text, or `${NAME}` from the environment. Their values are kept as secret as a key.
    #[schemars(extend("examples" = [{"X-Gateway-Team": "lab", "X-Api-Key": "${GATEWAY_KEY:-}"}]))]
    pub headers: Option<Headers>,
    /// What it may be asked for at once.
    #[schemars(extend("examples" = [{"concurrency": 4}]))]
    pub limits: Option<BackendLimits>,
}

/// What a backend may be asked for at once.
#[derive(Clone, Debug, JsonSchema)]
pub struct BackendLimits {
    /// Calls in flight. `auto`: as many as the server serves at once.
    #[schemars(extend("default" = "auto"))]
    #[schemars(extend("examples" = [4]))]
    pub concurrency: Option<Setting<Slots>>,
}

/// A name for a backend and a model on it.
#[derive(Clone, Debug, JsonSchema)]
pub struct Model {
    /// A name from `backends`. May be omitted when there is only one.
    #[schemars(extend("examples" = ["local"]))]
    pub backend: Option<Setting<Word>>,
    /// The model as the server names it. `auto`: what it has loaded, else its first.
    #[schemars(extend("default" = "auto"))]
    #[schemars(extend("examples" = ["llama3.2", "qwen2.5:7b"]))]
    pub model: Option<Setting<Word>>,
    /// How much it may think before it answers: `off`, `low`, `medium`, `high`, or a `budget` of tokens. It is sent as
    /// the server takes it. Omitted: as the server does.
    #[schemars(extend("examples" = ["low", "off", {"budget": "2k"}]))]
    pub reasoning: Option<Effort>,
    /// More fields of the request's body, as they are. They replace what would be there.
    #[schemars(extend("examples" = [{"top_k": 40, "provider": {"order": ["groq"]}}]))]
    pub extra_body: Option<ExtraBody>,
    /// What its tokens cost, for `pipe plan` and the summary. An edit of it asks nothing again.
    #[schemars(extend("examples" = [{"input": "0.15 USD/M", "output": "0.60 USD/M"}]))]
    pub price: Option<ModelPrice>,
}

/// What the tokens of a model cost.
#[derive(Clone, Debug, JsonSchema)]
pub struct ModelPrice {
    /// Of prompts: `USD/M` is dollars for a million tokens, `USD/k` for a thousand.
    #[schemars(extend("examples" = ["0.15 USD/M"]))]
    pub input: Required<Setting<Rate>>,
    /// Of answers.
    #[schemars(extend("examples" = ["0.60 USD/M"]))]
    pub output: Required<Setting<Rate>>,
    /// Of prompts that the server finds in its cache. Omitted: as `input`.
    #[schemars(extend("examples" = ["0.075 USD/M"]))]
    pub cached: Option<Setting<Rate>>,
}

/// One who speaks.
#[derive(Clone, Debug, JsonSchema)]
pub struct Actor {
    /// A name from `models`, or a model of the only backend, or `auto`.
    #[schemars(extend("default" = "auto"))]
    #[schemars(extend("examples" = ["small", "llama3.2"]))]
    pub model: Option<Setting<Word>>,
    /// The system prompt, a template; or `file://` and the path of one.
    #[schemars(example = &"You argue FOR the motion.", example = &"file://prompts/con.md")]
    pub system: Option<Text>,
    /// How freely it chooses its words. Omitted: as the server likes.
    #[schemars(extend("examples" = [0.9]))]
    pub temperature: Option<Setting<Temperature>>,
    /// The share of likely words it chooses among. Omitted: as the server likes.
    #[schemars(extend("examples" = [0.95]))]
    pub top_p: Option<Setting<TopP>>,
    /// The longest answer.
    #[schemars(extend("examples" = [160, "2k"]))]
    pub max_tokens: Option<Setting<Tokens>>,
    /// Texts that end an answer, at most four.
    #[schemars(extend("maxItems" = 4))]
    #[schemars(extend("examples" = [["END"]]))]
    pub stop: Option<Vec<Spanned<String>>>,
    /// How much it may think before it answers: `off`, `low`, `medium`, `high`, or a `budget` of tokens. Omitted: as
    /// its entry of `models` says, else as the server does.
    #[schemars(extend("examples" = ["high", "off", {"budget": 512}]))]
    pub reasoning: Option<Effort>,
    /// More fields of the request's body, as they are. They replace what would be there, also those of its entry of
    /// `models`.
    #[schemars(extend("examples" = [{"top_k": 40, "min_p": 0.05}]))]
    pub extra_body: Option<ExtraBody>,
}

/// Reads a file.
///
/// The specification is there whenever the text is YAML, so that later checks can go on beside what is reported here.
#[must_use]
pub fn parse(file: Arc<str>, text: &str) -> (Option<Spec>, Vec<Diagnostic>) {
    parse_with(file, text, &[])
}

/// Reads a file in which some values are replaced first: pairs of a dotted path and a value in YAML.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "a name that is shared anyway; callers have it at hand as such")]
pub fn parse_with(file: Arc<str>, text: &str, replace: &[(String, String)]) -> (Option<Spec>, Vec<Diagnostic>) {
    let mut report = Vec::new();
    let document = Document::read(&file, text, replace, &mut report);
    specified(document, report)
}

/// Reads a file with all that it includes.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "a name that is shared anyway; callers have it at hand as such")]
pub fn parse_beside(file: Arc<str>, text: &str, read: ReadText<'_>) -> (Option<Spec>, Vec<Diagnostic>) {
    let mut report = Vec::new();
    let document = Document::assembled(&file, text, &[], read, &mut report);
    specified(document, report)
}

fn specified(document: Option<Document>, mut report: Vec<Diagnostic>) -> (Option<Spec>, Vec<Diagnostic>) {
    let Some(document) = document else { return (None, report) };
    let mut shape = Vec::new();
    let (spec, inherited) = document.spec(&mut shape);
    report.extend(inherited.told(shape));
    (spec, report)
}

impl Decode for Spec {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let spec = Self {
            version: fields.required("version", report),
            include: fields.optional("include", report),
            name: fields.optional("name", report),
            description: fields.optional("description", report),
            seed: fields.optional("seed", report),
            params: fields.optional("params", report),
            backends: fields.optional("backends", report),
            models: fields.optional("models", report),
            actors: filled(&mut fields, "actors", report),
            defaults: fields.optional("defaults", report),
            items: fields.optional("items", report),
            repeat: fields.optional("repeat", report),
            matrix: fields.optional("matrix", report),
            steps: filled(&mut fields, "steps", report),
            stop: fields.optional("stop", report),
            tolerate: fields.optional("tolerate", report),
            limits: fields.optional("limits", report),
            cache: fields.optional("cache", report),
            results: fields.optional("results", report),
            telemetry: fields.optional("telemetry", report),
        };
        fields.finish(report);
        Some(spec)
    }
}

impl Named for Param {
    const WORD: &'static str = "param";
    const ONE: &'static str = "a param";
    const HYPHENS: bool = false;
}

impl Decode for Param {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Kind::Scalar(text) = &node.kind {
            report.push(
                super::decode::wrong_type(node, place, "a map of keys and values")
                    .help(format!("write {{ default: {} }}", text.value)),
            );
            return None;
        }
        let mut fields = Fields::of(node, place, report)?;
        let param = Self {
            kind: fields.optional("type", report),
            default: fields.optional("default", report),
            minimum: fields.optional("minimum", report),
            maximum: fields.optional("maximum", report),
            description: fields.optional("description", report),
        };
        fields.finish(report);
        Some(param)
    }
}

impl Named for Backend {
    const WORD: &'static str = "backend";
    const ONE: &'static str = "a backend";
    const HYPHENS: bool = true;
}

impl Decode for Backend {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let backend = Self {
            base_url: fields.optional("base_url", report),
            api_key: fields.optional("api_key", report),
            headers: fields.optional("headers", report),
            limits: fields.optional("limits", report),
        };
        fields.finish(report);
        if let Some(key) = &backend.api_key {
            check_secret(key, place, report);
        }
        Some(backend)
    }
}

fn check_secret(key: &Text, place: &Place, report: &mut Vec<Diagnostic>) {
    let whole = key.value.trim();
    if whole.starts_with("${") && whole.find('}') == Some(whole.len() - 1) {
        return;
    }
    report.push(
        Diagnostic::error(
            code::LITERAL_SECRET,
            format!("`api_key` of {} must come from the environment", place.what),
        )
        .at(&key.span, "this is in the file, where others read it")
        .help("write ${NAME} and set the variable, for instance ${OPENAI_API_KEY}"),
    );
}

impl Decode for BackendLimits {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let limits = Self { concurrency: fields.optional("concurrency", report) };
        fields.finish(report);
        Some(limits)
    }
}

impl Named for Model {
    const WORD: &'static str = "model";
    const ONE: &'static str = "a model";
    const HYPHENS: bool = true;
}

impl Decode for Model {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let model = Self {
            backend: fields.optional("backend", report),
            model: fields.optional("model", report),
            reasoning: fields.optional("reasoning", report),
            extra_body: fields.optional("extra_body", report),
            price: fields.optional("price", report),
        };
        fields.finish(report);
        Some(model)
    }
}

impl Decode for ModelPrice {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let price = Self {
            input: fields.required("input", report),
            output: fields.required("output", report),
            cached: fields.optional("cached", report),
        };
        fields.finish(report);
        Some(price)
    }
}

impl Named for Actor {
    const WORD: &'static str = "actor";
    const ONE: &'static str = "an actor";
    const HYPHENS: bool = false;
}

impl Decode for Actor {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::of(node, place, report)?;
        let actor = Self {
            model: fields.optional("model", report),
            system: fields.optional("system", report),
            temperature: fields.optional("temperature", report),
            top_p: fields.optional("top_p", report),
            max_tokens: fields.optional("max_tokens", report),
            stop: fields.optional("stop", report),
            reasoning: fields.optional("reasoning", report),
            extra_body: fields.optional("extra_body", report),
        };
        if let Some(fifth) = actor.stop.as_ref().and_then(|texts| texts.get(4)) {
            report.push(
                Diagnostic::error(code::BAD_LIST, format!("`stop` of {} has more than four entries", place.what))
                    .at(&fifth.span, "the fifth")
                    .help("servers take at most four"),
            );
        }
        fields.finish(report);
        Some(actor)
    }
}
