//! What an answer is kept under, which answers are worth it, and the look at what was answered before.

use std::sync::Arc;

use crate::backend::{ChatRequest, Format};
use crate::base::{CaseNo, Digest, Hasher, RunId, TokenCount};
use crate::cache::{Cache, Entry, Kept, Key};
use crate::event::{Answer, BackendResolved, FinishReason, Outcome, Report, Usage, Verdict};

/// The cache, as calls see it.
pub struct Recall {
    /// Where answers of before are.
    pub cache: Arc<Cache>,
    /// False when everything is asked, and its answer takes the place of the one of before.
    pub reads: bool,
    /// Who answers at each backend, by the plan's order.
    pub backends: Vec<BackendResolved>,
    /// The run that asks, for whoever finds its answers later.
    pub run: RunId,
}

/// What an answer is worth to whoever asks the same later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is what was asked for.
    Good,
    /// It has not the form that was asked for: of use only as the way to one that has.
    Flawed,
    /// Asking again may come to more.
    None,
}

impl Recall {
    /// Returns what the answer to a request is kept under.
    ///
    /// `wished` is the shape that was wished for: a server that does not take it is asked without, and the answer is
    /// read by the same rules. Not in it: whether it is streamed, time limits, keys.
    pub(super) fn key(&self, backend: usize, request: &ChatRequest, wished: &Format, repeat: u32) -> Key {
        let BackendResolved { endpoint, server, .. } = &self.backends[backend];
        let ChatRequest { model, messages, temperature, top_p, max_tokens, stop, seed, reasoning, extra, .. } =
            request;
        let hasher = Hasher::new("pipe cache 1").field(endpoint.as_bytes()).field(server.as_bytes());
        let hasher = hasher.field(model.as_bytes()).number(messages.len() as u64);
        let hasher = messages.iter().fold(hasher, |hasher, message| {
            hasher.field(message.role.word().as_bytes()).field(message.content.as_bytes())
        });
        let real = |hasher: Hasher, number: Option<f64>| match number {
            None => hasher.field(b""),
            Some(number) => hasher.number(number.to_bits()),
        };
        let hasher = real(real(hasher, *temperature), *top_p);
        let hasher = max_tokens.map_or(hasher.clone().field(b""), |most| hasher.number(u64::from(most)));
        let hasher = stop.iter().fold(hasher.number(stop.len() as u64), |hasher, text| hasher.field(text.as_bytes()));
        let hasher = match wished {
            Format::Text => hasher.field(b"text"),
            Format::Choice(options) => {
                options.iter().fold(hasher.field(b"choice").number(options.len() as u64), |hasher, one| {
                    hasher.field(one.as_bytes())
                })
            }
            Format::Json(schema) => hasher.field(b"json").field(schema.to_string().as_bytes()),
        };
        let mut hasher = hasher.number(u64::from(*seed)).number(u64::from(repeat));
        // Only where the file has them, so that what was kept before stays found.
        if let Some(reasoning) = reasoning {
            hasher = hasher.field(b"reasoning").field(reasoning.word().as_bytes());
        }
        if !extra.is_empty() {
            let extra = serde_json::to_string(&**extra).expect("a map of JSON values has a JSON form");
            hasher = hasher.field(b"extra_body").field(extra.as_bytes());
        }
        hasher.finish()
    }

    /// Returns the answer of a report as it is to be kept, with what it is worth; none for one that is worth nothing.
    pub(super) fn entry(
        &self,
        key: Key,
        case: CaseNo,
        report: &Report,
        max_tokens: Option<u32>,
        texts: &[(Digest, Arc<str>)],
    ) -> Option<(Worth, Entry)> {
        let Report { outcome: Outcome::Answered(answer), usage, timings, .. } = report else { return None };
        // The answer's is the latest of them.
        let (_, text) = texts.iter().rfind(|(digest, _)| *digest == answer.text)?;
        let worth = Worth::of(answer, text, usage, max_tokens);
        let kept = Kept {
            run: self.run.clone(),
            case,
            text: Arc::clone(text),
            finish: answer.finish,
            model: answer.model.clone(),
            usage: *usage,
            total_us: timings.total_us,
        };
        (worth != Worth::None).then_some((worth, Entry { key, kept }))
    }

    /// Looks for the answer of before, off the runtime's threads.
    pub(super) async fn find(&self, key: Key) -> Option<Kept> {
        if !self.reads {
            return None;
        }
        let cache = Arc::clone(&self.cache);
        // A look that panicked found nothing: the request is sent then.
        tokio::task::spawn_blocking(move || cache.find(&key)).await.ok().flatten()
    }
}

impl Worth {
    /// Returns what an answer is worth.
    pub(super) fn of(answer: &Answer, text: &str, usage: &Usage, max_tokens: Option<u32>) -> Self {
        let at_its_limit = |most: u32| usage.output.is_none_or(|TokenCount(count)| count >= u64::from(most));
        match answer.finish {
            // Cut at the end of the context: a server with more room says more.
            FinishReason::Length if !max_tokens.is_some_and(at_its_limit) => return Self::None,
            FinishReason::Length | FinishReason::Stop | FinishReason::Other => {}
        }
        if text.trim().is_empty() {
            return Self::None;
        }
        let is_unscored = matches!(answer.facts.verdict, Some(Verdict::Unscored(_)));
        if is_unscored || answer.facts.invalid.is_some() { Self::Flawed } else { Self::Good }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::{CallLimits, Message, Role};
    use crate::event::{Facts, Unscored};

    fn request() -> ChatRequest {
        let message = |role, content| Message { role, content: Arc::from(content) };
        let limit = Duration::from_secs(1);
        ChatRequest {
            model: Arc::from("tiny"),
            messages: vec![message(Role::System, "Be brief."), message(Role::User, "Tea?")],
            temperature: Some(0.5),
            top_p: None,
            max_tokens: Some(16),
            stop: vec!["END".to_owned()],
            seed: 7,
            format: Format::Text,
            stream: false,
            reasoning: None,
            extra: std::sync::Arc::default(),
            lacks: crate::event::Features::NONE,
            trace: None,
            limits: CallLimits { connect: limit, first_token: limit, idle: limit },
        }
    }

    fn recall(endpoint: &str, server: &str) -> (tempfile::TempDir, Recall) {
        let home = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(home.path()).unwrap());
        let resolved = BackendResolved {
            backend: "local".into(),
            endpoint: endpoint.to_owned(),
            server: server.to_owned(),
            slots: 4,
            models: Vec::new(),
            memory: Vec::new(),
            version: None,
            digests: Vec::new(),
            lacks: crate::event::Features::NONE,
            models_lack: Vec::new(),
        };
        (home, Recall { cache, reads: true, backends: vec![resolved], run: RunId::from("tea-1") })
    }

    #[test]
    fn everything_that_can_change_an_answer_changes_its_key() {
        let (_home, here) = recall("http://127.0.0.1:1/v1", "llama.cpp");
        let first = here.key(0, &request(), &Format::Text, 1);
        assert_eq!(first, here.key(0, &request(), &Format::Text, 1));
        // As it was before there was `reasoning` and `extra_body`: answers that are kept stay valid.
        assert_eq!(first.to_string(), "5a5726bb897201da4be7f92e7a4d6688");
        let edits: [fn(&mut ChatRequest); 12] = [
            |request| request.model = Arc::from("small"),
            |request| request.messages[0].role = Role::User,
            |request| request.messages[1].content = Arc::from("Tea!"),
            |request| drop(request.messages.remove(0)),
            |request| request.temperature = None,
            |request| (request.temperature, request.top_p) = (None, Some(0.5)),
            |request| request.max_tokens = None,
            |request| request.stop.clear(),
            |request| request.seed = 8,
            |request| request.reasoning = Some(crate::backend::Reasoning::Off),
            |request| request.reasoning = Some(crate::backend::Reasoning::Low),
            |request| request.extra = Arc::new([("top_k".to_owned(), 40.into())].into_iter().collect()),
        ];
        let mut keys = vec![first];
        for edit in edits {
            let mut other = request();
            edit(&mut other);
            keys.push(here.key(0, &other, &Format::Text, 1));
        }
        let tea = |words: &[&str]| Format::Choice(words.iter().map(|&word| word.to_owned()).collect());
        keys.push(here.key(0, &request(), &tea(&["tea", "coffee"]), 1));
        keys.push(here.key(0, &request(), &tea(&["teacoffee"]), 1));
        keys.push(here.key(0, &request(), &Format::Json(Arc::new(serde_json::json!({ "type": "object" }))), 1));
        keys.push(here.key(0, &request(), &Format::Text, 2));
        for (endpoint, server) in [("http://127.0.0.1:2/v1", "llama.cpp"), ("http://127.0.0.1:1/v1", "vllm")] {
            let (_home, there) = recall(endpoint, server);
            keys.push(there.key(0, &request(), &Format::Text, 1));
        }
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn how_it_is_sent_changes_no_key() {
        let (_home, here) = recall("sim", "sim");
        let mut other = request();
        other.stream = true;
        other.format = Format::Choice(Vec::new());
        other.limits.idle = Duration::from_secs(9);
        assert_eq!(here.key(0, &request(), &Format::Text, 1), here.key(0, &other, &Format::Text, 1));
    }

    #[test]
    fn an_answer_is_good_that_nobody_would_ask_for_again() {
        let worth = |finish, text: &str, output: Option<u64>, most, facts| {
            let answer = Answer {
                prompt_about: None,
                reason: None,
                thought: None,
                text: Digest::of(text.as_bytes()),
                finish,
                model: None,
                id: None,
                facts,
            };
            let usage = Usage { output: output.map(TokenCount), ..Usage::default() };
            Worth::of(&answer, text, &usage, most)
        };
        let none = Facts::default;
        assert_eq!(worth(FinishReason::Stop, "Tea.", None, None, none()), Worth::Good);
        assert_eq!(worth(FinishReason::Length, "Tea is", Some(16), Some(16), none()), Worth::Good);
        assert_eq!(worth(FinishReason::Length, "Tea is", None, Some(16), none()), Worth::Good);
        assert_eq!(worth(FinishReason::Length, "Tea is", Some(9), Some(16), none()), Worth::None);
        assert_eq!(worth(FinishReason::Length, "Tea is", Some(9), None, none()), Worth::None);
        assert_eq!(worth(FinishReason::Stop, " \n", Some(1), None, none()), Worth::None);
        let unscored = Facts { verdict: Some(Verdict::Unscored(Unscored::Unreadable)), ..Facts::default() };
        assert_eq!(worth(FinishReason::Stop, "Tea?", None, None, unscored), Worth::Flawed);
        let invalid = Facts { invalid: Some("it is no JSON".to_owned()), ..Facts::default() };
        assert_eq!(worth(FinishReason::Stop, "Tea?", None, None, invalid), Worth::Flawed);
    }
}
