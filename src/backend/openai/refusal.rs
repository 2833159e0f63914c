//! Reading a refusal: an HTTP status with a body, or an error in a 200 or a stream.
//! Reads: what came and the request that it refuses. Gives: a [`Failure`], in the server's own words.
//! Start at [`Refusal::of_body`].

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::error_object::ErrorObject;
use super::rules_after::AFTER;
use super::rules_before::BEFORE;
use super::{fields, page};
use crate::backend::http::{Scrub, retry_after};
use crate::backend::port::ChatRequest;
use crate::event::{Failure, FailureKind, Usage};

/// How much of a body without an error object is shown, in characters.
const EXCERPT: usize = 120;

/// The request that an answer is to.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) request: &'a ChatRequest,
    /// As it was sent.
    pub(super) body: &'a [u8],
    pub(super) scrub: &'a Scrub,
}

/// What a server said instead of an answer.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The HTTP status, or the one that an error in a 200 names.
    pub(super) status: Option<u16>,
    pub(super) error: ErrorObject,
    /// All that may say what sort of error it is, in small letters: message, codes, names of fields.
    pub(super) said: String,
    /// The wait that it dictates, in milliseconds.
    pub(super) wait_ms: Option<u64>,
    /// The title of a page for people, when it is one.
    pub(super) page: Option<String>,
    usage: Usage,
}

impl Refusal {
    /// Reads the body of an answer whose status is no success.
    pub(super) fn of_body(status: StatusCode, headers: &HeaderMap, body: &[u8], scrub: &Scrub) -> Self {
        let status = Some(status.as_u16());
        let document = document(body);
        let usage = document.as_ref().map(super::lenient::usage_of).unwrap_or_default();
        if let Some(error) = document.as_ref().and_then(ErrorObject::find) {
            return Self { usage, ..Self::of(status, error, headers, None) };
        }
        let is_challenge = headers.contains_key("cf-mitigated");
        if body.trim_ascii().is_empty() && !is_challenge {
            return Self::of(status, ErrorObject::default(), headers, None);
        }
        if page::is_page(body) || is_challenge {
            // What a page says is for people: a word in it says nothing about the error.
            let title = page::title(body, scrub);
            return Self::of(status, ErrorObject::default(), headers, Some(title));
        }
        Self::of(status, ErrorObject::plain(&scrub.excerpt(body, EXCERPT)), headers, None)
    }

    /// Takes an error that came in an answer that was called a success.
    pub(super) fn of_success(error: ErrorObject, usage: Usage) -> Self {
        let status = error.status;
        Self { usage, ..Self::of(status, error, &HeaderMap::new(), None) }
    }

    fn of(status: Option<u16>, error: ErrorObject, headers: &HeaderMap, page: Option<String>) -> Self {
        let codes = error.codes.join(" ");
        let said = format!("{} {codes} {}{}", error.message, error.params.join(" "), error.said).to_lowercase();
        let wait_ms = retry_after::told(headers, Some(&error.value), &said);
        Self { status, error, said, wait_ms, page, usage: Usage::default() }
    }

    /// Returns what was spent on it, where the server says so.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Turns it into a failure of a request.
    pub(super) fn failure(&self, asked: &Asked<'_>) -> Failure {
        let kind = self.kind(asked);
        let message = match &self.page {
            Some(_) if self.status == Some(403) => {
                "something in front of the server refuses this client".to_owned() + &self.shown_page()
            }
            Some(_) => format!("a page instead of an answer{}", self.shown_page()),
            None if self.error.message.is_empty() && self.error.codes.is_empty() => "no reason given".to_owned(),
            None if self.error.message.is_empty() => self.error.codes.join(", "),
            None => self.error.message.clone(),
        };
        let hint = self.hint(kind, asked);
        let detail = match self.status {
            Some(status) => format!("{status}: {message}{hint}"),
            None => format!("the answer is an error: {message}{hint}"),
        };
        let waits = matches!(kind, FailureKind::Throttled | FailureKind::Overloaded | FailureKind::Loading);
        let retry_after_ms = self.wait_ms.filter(|_| waits);
        Failure { status: self.status, retry_after_ms, ..Failure::new(kind, detail) }
    }

    fn kind(&self, asked: &Asked<'_>) -> FailureKind {
        if let Some(rule) = BEFORE.iter().find(|rule| rule.holds(self)) {
            return rule.kind;
        }
        if let Some(kind) = fields::refused(&self.error, &self.said, self.status, asked) {
            return kind;
        }
        let rule = AFTER.iter().find(|rule| rule.holds(self));
        // Without a status of its own, an error may be about a model all the same.
        let is_told = rule.is_none_or(|rule| {
            matches!(rule.kind, FailureKind::Overloaded | FailureKind::Refused)
                && self.status.is_none_or(|status| status == 500)
        });
        match rule {
            _ if is_told && self.names_missing_model(asked) => FailureKind::ModelMissing,
            Some(rule) => rule.kind,
            None if self.status == Some(404) => self.not_found(asked),
            None => FailureKind::Refused,
        }
    }

    /// Decides about a 404 that names no model by a code or in words that are known.
    fn not_found(&self, asked: &Asked<'_>) -> FailureKind {
        let model = asked.request.model.to_lowercase();
        if !model.is_empty() && self.said.contains(&model) { FailureKind::ModelMissing } else { FailureKind::Refused }
    }

    /// Returns true when a sentence says that the model is not there.
    fn names_missing_model(&self, asked: &Asked<'_>) -> bool {
        const MISSING: &[&str] = &[
            "not found",
            "not exist",
            "n't exist",
            "unknown",
            "no such model",
            "no such deployment",
            "not a valid",
            "not available",
            "invalid model",
            "could not find",
            "cannot find",
            "can't find",
            "couldn't find",
            "no router",
            "not recognized",
            "unsupported model",
            "not served",
            "not deployed",
            "not installed",
            "no model named",
        ];
        let may_name = !matches!(self.status, Some(500..)) || self.said.contains(&asked.request.model.to_lowercase());
        let sentences = self.said.split(['\n', ';']).flat_map(|line| line.split(". "));
        may_name
            && sentences.into_iter().any(|sentence| {
                let says = |words: &[&str]| words.iter().any(|word| sentence.contains(word));
                says(&["model", "deployment"])
                    && says(MISSING)
                    && !says(&[
                        "field",
                        "parameter",
                        "argument",
                        "propert",
                        "role",
                        "url",
                        "endpoint",
                        "route ",
                        "template",
                        "schema",
                    ])
            })
    }

    /// Returns a remedy, where one fits.
    fn hint(&self, kind: FailureKind, asked: &Asked<'_>) -> &'static str {
        match (kind, self.status) {
            (FailureKind::Unauthorized | FailureKind::Forbidden, _) if self.page.is_some() => "",
            (FailureKind::Unauthorized, _) => "; check the api key",
            (FailureKind::Forbidden, _) => "; check what the api key may do",
            (FailureKind::Refused, Some(404)) if self.gives_no_reason() => "; is the base URL right?",
            (FailureKind::Loading, _) if self.said.contains("loading") => "; the model is being loaded",
            (FailureKind::Overloaded, Some(408 | 504 | 524)) if !asked.request.stream => {
                "; a proxy may not wait for whole answers: with `limits.timeouts.first_token` set they stream"
            }
            _ => "",
        }
    }

    /// Returns true when a 404 says only that it is one.
    fn gives_no_reason(&self) -> bool {
        const NOTHING: &[&str] =
            &["not found", "page", "resource", "404", "no such", "error", "the", "requested", "url", "this"];
        const ABOUT_PATH: &[&str] = &[
            "invalid url",
            "cannot post",
            "no route",
            "unknown url",
            "unknown path",
            "unknown endpoint",
            "no such page",
            "unknown_url",
        ];
        let mut rest = self.error.message.to_lowercase();
        if self.page.is_some() || ABOUT_PATH.iter().any(|words| self.said.contains(words)) {
            return true;
        }
        for word in NOTHING {
            rest = rest.replace(word, "");
        }
        !rest.chars().any(char::is_alphanumeric)
    }

    fn shown_page(&self) -> String {
        match self.page.as_deref() {
            None | Some("") => String::new(),
            Some(title) => format!(" (its page says {title:?})"),
        }
    }
}

/// Reads a body as JSON: whole, or as the first event of a stream that refuses.
fn document(body: &[u8]) -> Option<Value> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    serde_json::from_slice(body).ok().or_else(|| {
        let text = std::str::from_utf8(body).ok()?;
        text.lines()
            .filter_map(|line| line.trim_start().strip_prefix("data:"))
            .find_map(|data| serde_json::from_str(data).ok())
    })
}
