//! Why a backend cannot be used, in words that name the remedy.

use std::fmt::Write;

use super::discover::Looked;
use super::openai::ConfigError;
use crate::base::BackendName;

/// Most models that are listed in a message.
const SHOWN: usize = 20;

/// Why a backend cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its configuration cannot work; its cause says why.
    #[error("backend \"{backend}\"")]
    Config {
        /// Which.
        backend: BackendName,
        /// Why.
        source: ConfigError,
    },
    /// Nothing answers at its URL.
    #[error("backend \"{backend}\": {url}: {why}{}", if why.contains(';') { "" } else { "; is the server running?" })]
    Unreachable {
        /// Which.
        backend: BackendName,
        /// Where.
        url: String,
        /// What the attempt met.
        why: String,
    },
    /// Something answers that is no model server.
    #[error("backend \"{backend}\": {url}: {what}")]
    NotAServer {
        /// Which.
        backend: BackendName,
        /// Where.
        url: String,
        /// What answers.
        what: String,
    },
    /// 401 or 403.
    #[error("backend \"{backend}\": {url} {} ({words}); {}",
        if *has_key { "refuses the api key" } else { "wants an api key" },
        if *has_key { "check `api_key` of the backend" }
        else { "set `api_key` of the backend, such as `${OPENAI_API_KEY}`" })]
    Unauthorized {
        /// Which.
        backend: BackendName,
        /// Where.
        url: String,
        /// Whether one was sent.
        has_key: bool,
        /// What came.
        words: String,
    },
    /// `auto`, and the server does not list its models.
    #[error(
        "backend \"{backend}\": {url} does not list its models ({words}), so `auto` cannot choose one; \
        name one with --model NAME, or under the actor"
    )]
    NoList {
        /// Which.
        backend: BackendName,
        /// Where.
        url: String,
        /// What came.
        words: String,
    },
    /// Still loading after 2 minutes.
    #[error("backend \"{backend}\": {url} is still loading its model after 2 minutes; try again when it is ready")]
    Loading {
        /// Which.
        backend: BackendName,
        /// Where.
        url: String,
    },
    /// `auto`, and there is nothing.
    #[error(
        "backend \"{backend}\": no model server found; looked at:{}\nto go on, do one of these:\n  \
        start a server on this machine, such as `ollama serve` or `llama-server -m MODEL.gguf`\n  \
        name one with --backend URL\n  \
        build with the embedded model: cargo build --release --features embedded",
        list(looked)
    )]
    NothingFound {
        /// Which.
        backend: BackendName,
        /// Everything that was looked at.
        looked: Vec<Looked>,
    },
    /// A named model that is not there. Models are never swapped.
    #[error(
        "backend \"{backend}\": {place} has no model \"{model}\"{}; {}; {how_to_get}",
        meant(near),
        existing(exist)
    )]
    ModelMissing {
        /// Which.
        backend: BackendName,
        /// Where it was looked for.
        place: String,
        /// What was asked for.
        model: String,
        /// What may have been meant.
        near: Box<[String]>,
        /// What is there.
        exist: Box<[String]>,
        /// What to do.
        how_to_get: String,
    },
    /// `auto`, and the server lists none.
    #[error("backend \"{backend}\": {url} has no models; {how_to_get}")]
    NoModel {
        /// Which.
        backend: BackendName,
        /// Where.
        url: String,
        /// What to do.
        how_to_get: String,
    },
    /// The embedded model was asked for, and this program has none.
    #[error(
        "backend \"{backend}\": this build has no embedded model; build with it: \
        cargo build --release --features embedded (needs cmake, libclang and g++), or name a server with --backend URL"
    )]
    NotBuiltIn {
        /// Which.
        backend: BackendName,
    },
    /// The embedded model cannot be used.
    #[error("the embedded model cannot be used: {reason}")]
    Embedded {
        /// Why, and what to do.
        reason: String,
    },
}

fn list(looked: &[Looked]) -> String {
    looked.iter().fold(String::new(), |mut text, looked| {
        write!(text, "\n  {looked}").expect("writing to a string cannot fail");
        text
    })
}

fn meant(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean \"{}\"?", near.join("\", \"")) }
}

fn existing(models: &[String]) -> String {
    match models.len() {
        0 => "it has none".to_owned(),
        count if count > SHOWN => format!("it has {}, … ({count} in all)", models[..SHOWN].join(", ")),
        _ => format!("it has {}", models.join(", ")),
    }
}
