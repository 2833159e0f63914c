//! From the environment to an embedded model that stands, in the words of [`Connected`].
//! Reads: the environment, how many slots are wanted. Gives: a backend and what to say of it. Never: servers.
//! Start at [`connect`].

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::adapter::{EmbeddedConfig, default_threads, open};
use super::model::EmbeddedError;
use crate::backend::discover::Env;
use crate::backend::{ConnectError, Connected, weights};
use crate::base::{BackendName, ModelName, with_causes};
use crate::event::{BackendResolved, Features};

/// How many answers are made at a time unless told: on one core of a server four cost a fifth less CPU time
/// per token than one, eight a third less.
pub const DEFAULT_SLOTS: NonZeroU32 = NonZeroU32::new(4).expect("4 is not 0");
/// On processors more sequences add nothing but memory.
const MOST_SLOTS: NonZeroU32 = NonZeroU32::new(32).expect("32 is not 0");
/// Tokens over all sequences; for the demo model 23 kB each, so 750 MB at most.
const CONTEXT_IN_ALL: u32 = 32_768;
/// The longest sequence.
const CONTEXT_PER_SLOT: u32 = 4_096;
const THREADS: &str = "PIPE_EMBEDDED_THREADS";

/// Opens the weights that `PIPE_EMBEDDED_GGUF` names, else the demo model in the cache; blocks while they load.
///
/// At most 32 slots are given; each holds 4,096 tokens up to 8 slots, and 32,768 by their number beyond.
/// `PIPE_EMBEDDED_THREADS` sets how many threads compute.
///
/// # Errors
/// [`ConnectError::Embedded`]: no weights, or they cannot be used; the text says what to do.
pub fn connect(env: Env<'_>, slots: Option<NonZeroU32>) -> Result<Connected, ConnectError> {
    let unusable = |error: &dyn Error| ConnectError::Embedded { reason: with_causes(error) };
    let located = weights::locate(env).map_err(|error| unusable(&error))?;
    let slots = slots.unwrap_or(DEFAULT_SLOTS).min(MOST_SLOTS);
    let threads = threads(env).map_err(|error| unusable(&error))?;
    let config = EmbeddedConfig {
        weights: located.path,
        slots,
        context_per_slot: CONTEXT_PER_SLOT.min(CONTEXT_IN_ALL / slots),
        threads: Some(threads),
    };
    let embedded = open(config).map_err(|error| unusable(&error))?;
    let model = Arc::clone(embedded.model());
    let says = format!("embedded {model} ({}, {})", counted(slots, "slot"), counted(threads, "thread"));
    // Weights of somebody's own are not read twice for it.
    let digest = located.is_demo.then(|| (ModelName::from(&*model), format!("sha256:{}", weights::DEMO.sha256)));
    let digests = digest.into_iter().collect();
    let resolved = BackendResolved {
        backend: BackendName::from("embedded"),
        endpoint: "embedded".to_owned(),
        server: "embedded".to_owned(),
        slots: slots.get(),
        models: vec![(ModelName::from("auto"), ModelName::from(&*model))],
        memory: Vec::new(),
        version: None,
        digests,
        lacks: Features::NONE,
        models_lack: Vec::new(),
    };
    Ok(Connected { backend: Arc::new(embedded), resolved, says, demo: located.is_demo, lists: None })
}

fn threads(env: Env<'_>) -> Result<NonZeroU32, EmbeddedError> {
    let Some(value) = env(THREADS).filter(|value| !value.is_empty()) else { return Ok(default_threads()) };
    value.trim().parse().map_err(|_| EmbeddedError::Setting { variable: THREADS, value })
}

fn counted(number: NonZeroU32, thing: &str) -> String {
    let ending = if number.get() == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect_with(variables: &[(&str, &str)], slots: Option<u32>) -> Result<Connected, String> {
        let set = |name: &str| {
            let own = variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            own.or_else(|| std::env::var(name).ok())
        };
        connect(&set, slots.and_then(NonZeroU32::new)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_stands_is_said_and_slots_have_a_limit() {
        let connected = connect_with(&[(THREADS, "1")], None).expect("tests of the embedded model need its weights");
        assert_eq!(connected.says, "embedded SmolLM2-135M-Instruct.Q4_1 (4 slots, 1 thread)");
        assert_eq!((connected.resolved.slots, connected.resolved.endpoint.as_str()), (4, "embedded"));
        drop(connected);
        let connected =
            connect_with(&[(THREADS, "2")], Some(500)).expect("tests of the embedded model need its weights");
        assert_eq!(connected.resolved.slots, 32);
    }

    #[test]
    fn what_is_wrong_names_its_remedy() {
        let error = connect_with(&[(THREADS, "all")], None).err().unwrap();
        assert!(error.contains("PIPE_EMBEDDED_THREADS is \"all\"; it takes a whole number from 1 on"), "{error}");
        let error = connect_with(&[("PIPE_EMBEDDED_GGUF", "/nowhere.gguf")], None).err().unwrap();
        assert!(error.contains("PIPE_EMBEDDED_GGUF names /nowhere.gguf"), "{error}");
    }
}
