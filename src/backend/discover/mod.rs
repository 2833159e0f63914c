//! Which model servers are there: what `auto` looks at, and what stands behind a given URL.
//! Reads: the environment (through a closure) and a few pages of each server. Gives: [`Looked`], fit to be printed.
//! Never: a key sent to a place that the user did not name, a model loaded, a choice made in silence.
//! Start at [`look()`] and [`choose`].

mod details;
mod examine;
mod listing;
mod look;
mod names;
mod places;

pub(super) use details::{Running, in_ollama};
pub(super) use examine::{Found, Patience, examine};
pub(super) use listing::NoListSort;
pub use look::{Chosen, Finding, Looked, choose, look};
pub(crate) use look::{explicit_key, look_until_found};
pub use places::{Env, Place, Why};

use std::num::NonZeroU32;

use names::{find, near};

use crate::event::{Features, InMemory};

/// A server that speaks OpenAI's API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Which program it is.
    pub kind: ServerKind,
    /// Its version, where it tells.
    pub version: Option<String>,
    /// Its models in its own order; none when it does not list them.
    pub models: Option<Vec<Model>>,
    /// How many requests it works on at a time, where it tells.
    pub slots: Option<NonZeroU32>,
    /// True where a prompt that is too long may be cut without an error: an Ollama, or what has its own pages.
    pub cuts_prompts: bool,
    /// The path without a list, where two were possible and the other one has it.
    pub lacks: Features,
}

/// A model that a server lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name that requests must carry.
    pub name: String,
    /// True when it is known to be in memory.
    pub is_loaded: bool,
    /// Where it lies, where the server tells: Ollama does.
    pub memory: Option<InMemory>,
    /// The digest of its file, where the server tells: Ollama does.
    pub digest: Option<String>,
}

/// Programs that are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerKind {
    /// Ollama.
    Ollama,
    /// llama.cpp's server.
    LlamaCpp,
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// LM Studio.
    LmStudio,
    /// Anything else that lists models.
    #[default]
    OpenAiCompatible,
}

impl ServerKind {
    /// Returns the word that reports and the journal use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::LlamaCpp => "llama.cpp",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::LmStudio => "lm-studio",
            Self::OpenAiCompatible => "openai-compatible",
        }
    }

    /// Says how a model that the server does not have gets there.
    #[must_use]
    pub fn how_to_get(self, model: &str) -> String {
        match self {
            Self::Ollama => format!("`ollama pull {model}` fetches it"),
            Self::LmStudio => format!("`lms get {model}` fetches it"),
            Self::LlamaCpp => "start llama-server with that model (`-m FILE.gguf`)".to_owned(),
            Self::Vllm => format!("start the server with it (`vllm serve {model}`)"),
            Self::Sglang => format!("start the server with it (`--model-path {model}`)"),
            Self::OpenAiCompatible => "ask whoever runs the server for it".to_owned(),
        }
    }
}

impl Server {
    /// Returns the name under which requests reach a model, if the list has it.
    ///
    /// `llama3.2` finds `llama3.2:latest`, and the last part of a path (with or without `.gguf`) finds the path, when
    /// just one model fits. What the list has as a pattern (`openai/*`), behind `models/`, or without a suffix that
    /// routes (`:online`) is sent as it is asked for.
    #[must_use]
    pub fn find<'a>(&'a self, asked: &'a str) -> Option<&'a str> {
        let names: Vec<&str> = self.models.as_deref()?.iter().map(|model| model.name.as_str()).collect();
        // At a program on a machine a suffix is a part of the name: the size, the quantization.
        find(&names, asked, !self.lists_all())
    }

    /// Returns the names in the list that may have been meant, the nearest first, at most 3.
    #[must_use]
    pub fn near(&self, asked: &str) -> Vec<&str> {
        near(self.models.iter().flatten().map(|model| model.name.as_str()), asked)
    }

    /// Returns true for a program whose list is complete: it has no aliases, deployments or other hosts behind it.
    #[must_use]
    pub const fn lists_all(&self) -> bool {
        !matches!(self.kind, ServerKind::OpenAiCompatible)
    }

    /// Returns the model that `auto` stands for: a loaded one, else the first that can chat by its name, else the first.
    #[must_use]
    pub fn usual(&self) -> Option<&str> {
        let models = self.models.as_deref()?;
        let chats = |model: &&Model| can_chat(&model.name);
        // A pattern is no model.
        let all = models.iter().filter(|model| !model.name.contains('*'));
        let loaded = all.clone().filter(|model| model.is_loaded);
        let usual = loaded.clone().find(chats).or_else(|| all.clone().find(chats)).or_else(|| all.clone().next());
        usual.map(|model| model.name.as_str())
    }
}

/// Returns a model's name as people call it: without folders and `.gguf`.
#[must_use]
pub fn short_name(name: &str) -> &str {
    let Some(file) = name.strip_suffix(".gguf") else { return name };
    file.rsplit(['/', '\\']).next().unwrap_or(file)
}

/// Servers list models of other trades among those that chat; their names are all that most of them tell.
fn can_chat(name: &str) -> bool {
    let name = name.to_lowercase();
    ![
        "embed",
        "rerank",
        "whisper",
        "tts",
        "dall-e",
        "moderation",
        "bge-",
        "davinci",
        "babbage",
        "transcribe",
        "image",
    ]
    .iter()
    .any(|other| name.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(models: &[(&str, bool)]) -> Server {
        let model = |&(name, is_loaded): &(&str, bool)| Model {
            name: name.to_owned(),
            is_loaded,
            memory: None,
            digest: None,
        };
        let models = models.iter().map(model).collect();
        Server { kind: ServerKind::Ollama, models: Some(models), ..Server::default() }
    }

    #[test]
    fn finds_a_named_model_and_never_another() {
        let found = server(&[("llama3.2:latest", false), ("/m/Smol.Q4.gguf", true), ("a/x", false), ("b/x", false)]);
        assert_eq!(found.find("llama3.2"), Some("llama3.2:latest"));
        assert_eq!(found.find("llama3"), None);
        assert_eq!(found.find("Smol.Q4"), Some("/m/Smol.Q4.gguf"));
        assert_eq!(found.find("Smol.Q4.gguf"), Some("/m/Smol.Q4.gguf"));
        assert_eq!(found.find("x"), None, "two fit");
        assert_eq!(found.find("a/x"), Some("a/x"));
    }

    #[test]
    fn auto_is_what_is_loaded_else_what_chats() {
        assert_eq!(server(&[("nomic-embed-text", false), ("a", false), ("b", true)]).usual(), Some("b"));
        assert_eq!(server(&[("nomic-embed-text", true), ("a", false)]).usual(), Some("a"));
        assert_eq!(server(&[("nomic-embed-text", false)]).usual(), Some("nomic-embed-text"));
        assert_eq!(server(&[]).usual(), None);
        assert_eq!(server(&[("openai/*", false)]).usual(), None, "a pattern is no model");
        assert_eq!(short_name("/m/Smol.Q4.gguf"), "Smol.Q4");
        assert_eq!(short_name("org/model"), "org/model");
    }
}
