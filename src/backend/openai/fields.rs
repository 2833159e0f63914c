//! Which field of a request a refusal is about, when it is one that the file does not ask for.
//! Reads: an error and the request that it refuses. Gives: the capability that the server lacks.
//! Start at [`refused`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::IgnoredAny;

use super::error_object::ErrorObject;
use super::refusal::Asked;
use crate::event::{FailureKind, Feature};

/// Fields that are sent though no file names them, and the capability that each is.
const OWN: &[(&str, Feature)] = &[
    ("seed", Feature::Seed),
    ("stream_options", Feature::StreamOptions),
    ("include_usage", Feature::StreamOptions),
    ("max_completion_tokens", Feature::MaxCompletionTokens),
    ("max_tokens", Feature::MaxTokens),
    ("reasoning_effort", Feature::ReasoningEffort),
    ("chat_template_kwargs", Feature::TemplateKwargs),
    ("enable_thinking", Feature::TemplateKwargs),
    ("thinking_budget_tokens", Feature::ThinkingBudget),
    ("thinking_token_budget", Feature::ThinkingBudget),
    ("thinking_budget", Feature::ThinkingBudget),
    ("reasoning_budget", Feature::ThinkingBudget),
    ("reasoning", Feature::ReasoningObject),
    ("thinking", Feature::ThinkingObject),
];
/// A part of a field stands in the body under the name of the whole.
const PARTS: &[(&str, &str)] = &[("include_usage", "stream_options"), ("enable_thinking", "chat_template_kwargs")];
/// Fields by which thoughts are asked for, in the order in which one is held to be meant.
const REASONING: &[&str] = &[
    "reasoning_effort",
    "thinking_budget_tokens",
    "thinking_token_budget",
    "thinking_budget",
    "reasoning_budget",
    "chat_template_kwargs",
    "thinking",
    "reasoning",
];
/// Words by which a server says that it does not take something at all.
const REFUSING: &[&str] = &[
    "unsupported",
    "not support",
    "n't support",
    "unexpected",
    "unknown",
    "unrecognized",
    "unrecognised",
    "extra",
    "not permitted",
    "not allowed",
    "additional propert",
    "cannot find field",
    "no such field",
    "not recognized",
    "not a valid",
    "invalid param",
    "invalid field",
    "invalid argument",
    "no longer",
    "not accept",
    "n't accept",
    "not implemented",
    "unavailable",
    "not available",
    "disallowed",
    "illegal",
    "deprecated",
    "ignored",
    "not enabled",
    "only support",
];
/// Words about a value that is out of its range: the field itself is taken.
const OF_VALUE: &[&str] = &[
    "too large",
    "too big",
    "too high",
    "too small",
    "at most",
    "at least",
    "must be",
    "maximum",
    "minimum",
    "exceed",
    "greater than",
    "less than",
    "larger than",
    "out of range",
    "up to",
    "between",
];
/// Names of the shape of an answer, of its parts and of what is made of it, in the words of many vendors.
const FORMAT: &[&str] = &[
    "response_format",
    "response format",
    "responseformat",
    "response_schema",
    "responseschema",
    "response schema",
    "responsemimetype",
    "response_mime_type",
    "output_config",
    "output_format",
    "json_schema",
    "json schema",
    "jsonschema",
    "json_object",
    "json mode",
    "json_mode",
    "structured output",
    "structured_output",
    "structured-output",
    "guided",
    "grammar",
    "additionalproperties",
    "schema conversion",
    "unrecognized schema",
    "invalid schema",
    "text.format",
    "strict mode",
    "constrained decoding",
    "schema",
];

/// Returns what the server lacks, when it refuses a field that the request had and that no file asks for.
pub(super) fn refused(
    error: &ErrorObject,
    said: &str,
    status: Option<u16>,
    asked: &Asked<'_>,
) -> Option<FailureKind> {
    if matches!(status, Some(401..=403 | 429)) {
        return None;
    }
    let sent = Sent::of(asked);
    if error.params.iter().any(|param| sent.is_of_user(param)) {
        return None;
    }
    // Elsewhere than in these, a field is meant only where a part of the error is there to name it.
    let is_refusal = matches!(status, None | Some(400 | 404 | 405 | 415 | 422 | 500 | 501));
    let typed = error.params.iter().map(String::as_str).find(|param| sent.field(param).is_some());
    if let Some(param) = typed {
        let name = sent.field(param)?;
        if name == "stream" {
            return sent.streaming(said, true);
        }
        if name == "response_format" {
            return sent.format(said);
        }
        return sent.feature(name, said, true);
    }
    if !is_refusal {
        return None;
    }
    let format = || if FORMAT.iter().any(|name| said.contains(name)) { sent.format(said) } else { None };
    sent.streaming(said, false).or_else(|| sent.named(said)).or_else(format).or_else(|| sent.reasoning(said))
}

/// What a request held.
struct Sent<'a> {
    asked: &'a Asked<'a>,
    fields: BTreeSet<Cow<'a, str>>,
}

impl<'a> Sent<'a> {
    fn of(asked: &'a Asked<'a>) -> Self {
        #[expect(clippy::zero_sized_map_values, reason = "what is read of a field is its name")]
        let fields: BTreeMap<Cow<'a, str>, IgnoredAny> = serde_json::from_slice(asked.body).unwrap_or_default();
        Self { asked, fields: fields.into_keys().collect() }
    }

    /// Returns the field of the request that a path names: `body.seed` is `seed`.
    fn field(&self, path: &str) -> Option<&'static str> {
        let parts = || path.split(['.', '/', '[', ']', ' ', '\'', '"', '`']).filter(|part| !part.is_empty());
        let own = OWN.iter().map(|(name, _)| *name).chain(["stream", "response_format"]);
        let first = parts().find(|part| *part != "body" && *part != "request")?;
        own.into_iter().find(|name| *name == first && self.has(name)).or_else(|| {
            // Another vendor's name for the format.
            (self.has("response_format") && FORMAT.iter().any(|name| path.contains(name)))
                .then_some("response_format")
        })
    }

    /// Returns true when a path names a field that a file asks for.
    fn is_of_user(&self, path: &str) -> bool {
        let first =
            path.split(['.', '/', '[']).find(|part| !part.is_empty() && *part != "body" && *part != "request");
        first.is_some_and(|first| self.users().any(|name| name == first))
    }

    /// Returns the fields that a file asks for, but for those that each request has.
    fn users(&self) -> impl Iterator<Item = &str> {
        let extra = &self.asked.request.extra;
        let is_users = move |name: &&str| USERS.contains(name) || extra.contains_key(*name);
        self.fields.iter().map(AsRef::as_ref).filter(is_users)
    }

    /// Returns true when the request had a field that no file asks for.
    fn has(&self, name: &str) -> bool {
        let whole = PARTS.iter().find(|(part, _)| *part == name).map_or(name, |(_, whole)| *whole);
        self.fields.contains(whole) && !self.asked.request.extra.contains_key(whole)
    }

    fn lacking(&self, feature: Feature) -> Option<FailureKind> {
        let is_known = self.asked.request.lacks.has(feature);
        (!is_known).then_some(match feature {
            Feature::ResponseFormat => FailureKind::FormatUnsupported,
            feature => FailureKind::Unsupported(feature),
        })
    }

    /// Finds the first own field whose name stands in the words, as a name or beside words that refuse.
    fn named(&self, said: &str) -> Option<FailureKind> {
        let is_refusing = REFUSING.iter().any(|word| said.contains(word));
        let first_of_user = self
            .users()
            .filter_map(|name| mention(said, name).filter(|mention| mention.is_quoted))
            .map(|mention| mention.at)
            .min();
        let mut found: Option<(usize, FailureKind)> = None;
        for (name, _) in OWN.iter().filter(|(name, _)| self.has(name)) {
            let Some(mention) = mention(said, name).filter(|mention| mention.is_quoted || is_refusing) else {
                continue;
            };
            // What is named before it, in quotes, is what the refusal is about.
            let is_aside = first_of_user.is_some_and(|at| at < mention.at);
            if is_aside || found.is_some_and(|(at, _)| at <= mention.at) {
                continue;
            }
            if let Some(kind) = self.feature(name, said, false) {
                found = Some((mention.at, kind));
            }
        }
        found.map(|(_, kind)| kind)
    }

    fn feature(&self, name: &str, said: &str, is_typed: bool) -> Option<FailureKind> {
        let (_, feature) = *OWN.iter().find(|(own, _)| *own == name)?;
        let is_length = matches!(feature, Feature::MaxTokens | Feature::MaxCompletionTokens);
        if is_length {
            // The length is the file's: only the name that it is sent under is ours.
            let other = if feature == Feature::MaxTokens { "max_completion_tokens" } else { "max_tokens" };
            let offers = mention(said, other).is_some();
            let is_of_value = OF_VALUE.iter().any(|word| said.contains(word));
            let is_of_name = REFUSING.iter().any(|word| said.contains(word)) && !is_of_value;
            let renames = offers && (said.contains("instead") || said.contains("use "));
            if !(renames || is_of_name && (is_typed || !said.contains("context"))) {
                return None;
            }
        }
        self.lacking(feature)
    }

    /// Reads refusals of the shape of an answer.
    fn format(&self, said: &str) -> Option<FailureKind> {
        if !self.has("response_format") || said.contains("database schema") {
            return None;
        }
        let offers = said.contains("json_object") && !said.contains("'json' in some form");
        let smaller = (offers && !self.asked.request.lacks.has(Feature::JsonSchema)).then_some(Feature::JsonSchema);
        self.lacking(smaller.unwrap_or(Feature::ResponseFormat))
    }

    /// Reads refusals of the way of sending.
    fn streaming(&self, said: &str, is_typed: bool) -> Option<FailureKind> {
        if !said.contains("stream") {
            return None;
        }
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if self.asked.request.stream {
            let refuses = says(&[
                "streaming is not",
                "streaming not",
                "stream is not",
                "stream not",
                "not support stream",
                "n't support stream",
                "unsupported parameter: 'stream'",
                "unsupported value: 'stream'",
                "streaming is disabled",
                "streaming is unsupported",
                "streaming unsupported",
                "streaming disabled",
                "stream=false",
                "stream to false",
                "disable stream",
                "streaming responses are not",
                "to stream this",
                "without stream",
                "only non-stream",
                "only support non-stream",
                "only supports non-stream",
            ]);
            return if refuses || is_typed { self.lacking(Feature::Streamed) } else { None };
        }
        let wants = says(&[
            "only support stream",
            "only supports stream",
            "only supported in stream",
            "only available in stream",
            "stream mode",
            "streaming mode",
            "must be stream",
            "must stream",
            "stream must be",
            "stream` must be",
            "stream' must be",
            "stream\" must be",
            "stream to true",
            "stream=true",
            "stream = true",
            "stream: true",
            "requires stream",
            "require stream",
            "streaming is required",
            "stream is required",
            "enable the stream",
            "enable stream",
            "enable_stream",
            "use stream",
            "non-stream",
            "non stream",
            "nonstream",
            "not streaming",
            "without streaming",
        ]);
        if wants { self.lacking(Feature::Whole) } else { None }
    }

    /// Reads refusals to think: they name no field.
    fn reasoning(&self, said: &str) -> Option<FailureKind> {
        if self.users().any(|name| mention(said, name).is_some()) {
            return None;
        }
        let is_about =
            ["thinking", "reasoning", "reason ", "think"].iter().any(|word| mention(said, word.trim()).is_some());
        if !is_about || !REFUSING.iter().any(|word| said.contains(word)) {
            return None;
        }
        REASONING.iter().filter(|name| self.has(name)).find_map(|name| self.feature(name, said, false))
    }
}

/// Fields that only a file asks for.
const USERS: &[&str] = &["temperature", "top_p", "stop"];

/// Where a name stands.
#[derive(Clone, Copy)]
struct Mention {
    at: usize,
    /// In quotes, or in a path: it is a name and no word of the language.
    is_quoted: bool,
}

/// Finds a name in words, not as a part of another one; a place in quotes is preferred.
fn mention(said: &str, name: &str) -> Option<Mention> {
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let is_quote = |c: char| matches!(c, '\'' | '"' | '`' | '‘' | '’' | '“' | '”');
    let mut found: Option<Mention> = None;
    for (at, _) in said.match_indices(name) {
        let before = said[..at].chars().next_back();
        let after = said[at + name.len()..].chars().next();
        if before.is_some_and(is_of_name) || after.is_some_and(is_of_name) {
            continue;
        }
        let is_path =
            before == Some('.') || after == Some('.') && said[at + name.len() + 1..].starts_with(is_of_name);
        let is_quoted = is_path || before.is_some_and(is_quote) && after.is_some_and(|c| is_quote(c) || c == '.');
        if found.is_none_or(|found| is_quoted && !found.is_quoted) {
            found = Some(Mention { at, is_quoted });
        }
    }
    found
}
