//! Which model servers are there: what `auto` looks at, and what stands behind a given URL.
//! Reads: the environment (through a closure) and a few pages of each server. Gives: [`Looked`], fit to be printed.
//! Never: a key sent to a place that the user did not name, a model loaded, a choice made in silence.
//! Start at [`look()`] and [`choose`].

mod details;
mod listing;
mod look;
mod places;

pub(super) use details::in_ollama;
pub use look::{Chosen, Finding, Looked, choose, look};
pub(crate) use look::{LONG, ask, explicit_key, look_until_found};
pub use places::{Env, Place, Why};

use std::num::NonZeroU32;

use crate::event::InMemory;

/// A server that speaks OpenAI's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Which program it is.
    pub kind: ServerKind,
    /// Its version, where it tells.
    pub version: Option<String>,
    /// Its models in its own order; none when it does not list them.
    pub models: Option<Vec<Model>>,
    /// How many requests it works on at a time, where it tells.
    pub slots: Option<NonZeroU32>,
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
    /// Returns the name under which the server has a model, if it has it.
    ///
    /// `llama3.2` finds `llama3.2:latest`, and the last part of a path (with or without `.gguf`) finds the path, when
    /// just one model fits. A server that lists nothing is taken at the user's word.
    #[must_use]
    pub fn find(&self, asked: &str) -> Option<&str> {
        let models = self.models.as_deref()?;
        if let Some(exact) = models.iter().find(|model| model.name == asked) {
            return Some(&exact.name);
        }
        let mut near = models.iter().map(|model| model.name.as_str()).filter(|name| is_same(name, asked));
        match (near.next(), near.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Returns the model that `auto` stands for: a loaded one, else the first that can chat by its name, else the first.
    #[must_use]
    pub fn usual(&self) -> Option<&str> {
        let models = self.models.as_deref()?;
        let chats = |model: &&Model| can_chat(&model.name);
        let loaded = models.iter().filter(|model| model.is_loaded);
        let usual = loaded.clone().find(chats).or_else(|| models.iter().find(chats)).or_else(|| models.first());
        usual.map(|model| model.name.as_str())
    }
}

/// Returns a model's name as people call it: without folders and `.gguf`.
#[must_use]
pub fn short_name(name: &str) -> &str {
    let Some(file) = name.strip_suffix(".gguf") else { return name };
    file.rsplit(['/', '\\']).next().unwrap_or(file)
}

fn is_same(listed: &str, asked: &str) -> bool {
    let last = listed.rsplit(['/', '\\']).next().unwrap_or(listed);
    listed.strip_suffix(":latest") == Some(asked)
        || (last.len() < listed.len() && last == asked)
        || last.strip_suffix(".gguf") == Some(asked)
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
        Server { kind: ServerKind::Ollama, version: None, models: Some(models), slots: None }
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
        assert_eq!(short_name("/m/Smol.Q4.gguf"), "Smol.Q4");
        assert_eq!(short_name("org/model"), "org/model");
    }
}
