//! Finding the error in what a server sends instead of an answer, whatever the shape.
//! Start at [`ErrorObject::find`].

use serde_json::{Map, Value};

/// How deep errors lie inside of others; known ones lie three deep.
const DEPTH: usize = 6;
/// Fields that hold the words for people.
const MESSAGES: &[&str] = &[
    "message",
    "msg",
    "detail",
    "error_description",
    "error_message",
    "error_msg",
    "errorMessage",
    "status_msg",
    "Message",
    "faultstring",
    "title",
    "reason",
];
/// Fields that hold a word for programs.
const CODES: &[&str] = &["code", "type", "status", "error_code", "status_code", "reason", "error_type", "errorType"];
/// Fields that name the field of the request that is refused.
const PARAMS: &[&str] = &["param", "parameter", "field", "loc", "path", "pointer"];

/// The parts of an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ErrorObject {
    /// For people.
    pub(super) message: String,
    /// For programs, in small letters: code, type, status, reason.
    pub(super) codes: Vec<String>,
    /// The fields of the request that it is about, in small letters: `seed`, `body.seed`, `stream_options.include_usage`.
    pub(super) params: Vec<String>,
    /// Names of what else it holds, in small letters: `content_filter_result`, `n_prompt_tokens`.
    pub(super) keys: Vec<String>,
    /// More words, such as those of a server further on, in small letters.
    pub(super) said: String,
    /// The HTTP status that it names.
    pub(super) status: Option<u16>,
    /// All of it, for what it says about waiting.
    pub(super) value: Value,
}

impl ErrorObject {
    /// Finds the error in a body whose status is no success.
    pub(super) fn find(value: &Value) -> Option<Self> {
        let mut found = Self { value: value.clone(), ..Self::default() };
        found.add(value, 0);
        if found.message.is_empty() {
            // An object without any known field is shown as it is.
            found.message =
                value.get("error").filter(|error| error.is_object()).map(Value::to_string).unwrap_or_default();
        }
        (!found.message.is_empty() || !found.codes.is_empty()).then_some(found)
    }

    /// Finds the error in a document that was called a success.
    pub(super) fn in_success(value: &Value) -> Option<Self> {
        if let Value::Array(values) = value {
            return values.first().filter(|first| first.get("error").is_some()).and_then(Self::find);
        }
        let object = value.as_object()?;
        let error = object.get("error").filter(|error| is_something(error));
        if error.is_some() {
            return Self::find(value);
        }
        let has_choice = match object.get("choices") {
            Some(Value::Array(choices)) => !choices.is_empty(),
            Some(Value::Object(_)) => true,
            _ => object.get("message").is_some_and(Value::is_object),
        };
        if has_choice || object.contains_key("usage") && object.contains_key("choices") {
            return None;
        }
        let is_called_one =
            ["object", "type"].iter().any(|name| object.get(*name).is_some_and(|word| word == "error"));
        let has_failed = object.get("success") == Some(&Value::Bool(false));
        let is_refused = object.get("base_resp").and_then(|base| base.get("status_code")).is_some_and(is_not_zero);
        let is_word = |word: &Value| is_something(word) && word != "ok" && word != "success";
        let has_words = MESSAGES.iter().any(|name| object.get(*name).is_some_and(is_word));
        let is_coded =
            ["code", "error_code", "status_code"].iter().any(|name| object.get(*name).is_some_and(is_not_zero));
        let is_bare = !object.contains_key("choices") && !object.contains_key("object");
        let is_error = is_called_one || has_failed || is_refused || has_words && (is_coded || is_bare);
        is_error.then(|| Self::find(value)).flatten()
    }

    /// Reads what stands under `error`.
    pub(super) fn of_error(error: &Value) -> Option<Self> {
        if is_something(error) { Self::find(error) } else { None }
    }

    /// Takes an error that is only a text.
    pub(super) fn plain(text: &str) -> Self {
        Self { message: text.to_owned(), ..Self::default() }
    }

    /// Returns true when a code is one of some.
    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&code.as_str()))
    }

    fn add(&mut self, value: &Value, depth: usize) {
        if depth > DEPTH {
            return;
        }
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.add(value, depth + 1)),
            Value::Object(object) => self.add_object(object, depth),
            Value::String(text) => self.say(text, depth),
            _ => {}
        }
    }

    fn add_object(&mut self, object: &Map<String, Value>, depth: usize) {
        self.keys.extend(object.keys().map(|key| key.to_ascii_lowercase()));
        for name in CODES {
            match object.get(*name) {
                Some(Value::String(code)) => self.code(code),
                Some(Value::Number(code)) => self.code(&code.to_string()),
                _ => {}
            }
        }
        for name in PARAMS {
            match object.get(*name) {
                Some(Value::String(param)) => self.params.push(param.to_ascii_lowercase()),
                Some(Value::Array(parts)) => {
                    let parts =
                        parts.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
                    self.params.push(parts.collect::<Vec<_>>().join(".").to_ascii_lowercase());
                }
                _ => {}
            }
        }
        // The error itself first, so that its words are those that are shown.
        for name in ["error", "errors", "base_resp", "fault"] {
            if let Some(inner) = object.get(name).filter(|inner| is_something(inner)) {
                self.add(inner, depth + 1);
            }
        }
        let place = object.get("loc").and(self.params.last()).filter(|_| self.message.is_empty()).cloned();
        for name in MESSAGES {
            if let Some(inner) = object.get(*name) {
                self.add(inner, depth + 1);
            }
        }
        if let Some(place) = place
            && !self.message.is_empty()
        {
            self.message.insert_str(0, &format!("{place}: "));
        }
        for name in ["details", "metadata", "innererror", "raw", "fieldViolations", "violations", "moderation"] {
            if let Some(inner) = object.get(name) {
                self.add_details(inner, depth + 1);
            }
        }
    }

    /// Reads what explains an error further: its words are shown only where the error's own say nothing.
    fn add_details(&mut self, value: &Value, depth: usize) {
        let own = std::mem::take(&mut self.message);
        self.add(value, depth);
        let more = std::mem::replace(&mut self.message, own);
        for word in strings(value) {
            self.said.push(' ');
            self.said.push_str(&word.to_lowercase());
        }
        let says_nothing = self.message.is_empty() || self.message.trim_end_matches('.') == "Provider returned error";
        if says_nothing && !more.is_empty() {
            self.message = if self.message.is_empty() { more } else { format!("{}: {more}", self.message) };
        }
    }

    /// Takes words; JSON inside of them is read as what it is.
    fn say(&mut self, text: &str, depth: usize) {
        let start = text.find(['{', '[']);
        if let Some(start) = start
            && let Ok(inner @ (Value::Object(_) | Value::Array(_))) =
                serde_json::from_str::<Value>(text[start..].trim())
        {
            let before = self.message.len();
            let lead = text[..start].trim_end_matches([' ', '-', ':']).trim();
            self.add(&inner, depth + 1);
            let is_read = self.message.len() > before || before > 0;
            if is_read {
                if !lead.is_empty() && before == 0 {
                    self.message.insert_str(0, &format!("{lead}: "));
                }
                return;
            }
        }
        if self.message.is_empty() {
            text.clone_into(&mut self.message);
        } else if !self.message.contains(text) {
            self.said.push(' ');
            self.said.push_str(&text.to_lowercase());
        }
    }

    fn code(&mut self, code: &str) {
        let status = code.parse().ok().filter(|status| (400..600).contains(status));
        self.status = self.status.or(status);
        if code != "error" {
            self.codes.push(code.to_ascii_lowercase());
        }
    }
}

/// Returns true for what says something: not null, false, empty.
fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn is_not_zero(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64() != Some(0.0) && number.as_u64() != Some(200),
        Value::String(text) => !matches!(text.as_str(), "" | "0" | "200"),
        _ => false,
    }
}

/// Returns all texts in a value.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(strings).collect(),
        Value::Object(object) => object.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}
