//! Which program a server is, what it has in memory, how many requests it takes.

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::future::join;
use futures_util::join;
use serde_json::Value;

use super::listing::Listed;
use super::{Model, Server, ServerKind};
use crate::backend::http::{BaseUrl, Client, Credentials};
use crate::event::{Features, InMemory};

/// Most that is read of a page, in bytes; vLLM's metrics are some 100 kB.
const PAGE_LIMIT: usize = 1 << 20;

/// What the pages say that tell servers apart; each is absent where the server has no such page.
#[derive(Default)]
struct Pages {
    /// Ollama: `{"version": …}`.
    api_version: Option<Value>,
    /// Ollama: what is loaded.
    api_ps: Option<Value>,
    /// Ollama: what there is, with digests.
    api_tags: Option<Value>,
    /// llama.cpp: `total_slots`.
    props: Option<Value>,
    /// SGLang.
    server_info: Option<Value>,
    /// vLLM.
    version: Option<Value>,
    /// LM Studio: models with `state` and `type`.
    studio: Option<Value>,
    /// vLLM and SGLang prefix their names.
    metrics: String,
}

/// Asks a server that has listed `listed` who it is. Each page that does not come in time counts as absent.
///
/// A server behind https that is not this machine is asked nothing more: none of the local programs speaks https.
pub(super) async fn identify(
    client: &Client,
    base: &BaseUrl,
    credentials: &Credentials,
    limit: Duration,
    names_itself: &str,
    listed: Vec<Listed>,
) -> Server {
    let pages = if base.is_https() && !base.is_loopback() {
        Pages::default()
    } else {
        fetch(client, base, credentials, limit).await
    };
    let owner = listed.iter().map(|model| model.owner.as_str()).find(|owner| !owner.is_empty());
    let kind = kind(&pages, owner.unwrap_or_default(), names_itself);
    let version = [&pages.api_version, &pages.version, &pages.server_info]
        .into_iter()
        .find_map(|page| page.as_ref()?.get("version")?.as_str().map(str::to_owned));
    let slots = pages.props.as_ref().and_then(|props| props.get("total_slots")?.as_u64());
    let slots = slots.and_then(|slots| NonZeroU32::new(u32::try_from(slots).ok()?));
    let has_native_face = pages.api_version.as_ref().is_some_and(|page| page.get("version").is_some());
    let cuts_prompts = kind == ServerKind::Ollama || (kind == ServerKind::OpenAiCompatible && has_native_face);
    let models = Some(models(kind, &pages, listed));
    Server { kind, version, models, slots, cuts_prompts, lacks: Features::NONE }
}

async fn fetch(client: &Client, base: &BaseUrl, credentials: &Credentials, limit: Duration) -> Pages {
    let get = async |path: &str| {
        let page = client.get(base.beside(path), credentials, limit, PAGE_LIMIT).await.ok()?;
        page.status.is_success().then_some(page.body)
    };
    // LM Studio answers 200 with an error object to everything that it does not know.
    let object = async |path: &str| {
        let value: Value = serde_json::from_slice(&get(path).await?).ok()?;
        (value.is_object() && value.get("error").is_none()).then_some(value)
    };
    let (first, second) = join(
        async {
            join!(
                object("/api/version"),
                object("/api/ps"),
                object("/api/tags"),
                object("/props"),
                object("/get_server_info")
            )
        },
        async { join!(object("/version"), object("/api/v0/models"), get("/metrics")) },
    )
    .await;
    let (api_version, api_ps, api_tags, props, server_info) = first;
    let (version, studio, metrics) = second;
    let metrics = metrics.map(|metrics| String::from_utf8_lossy(&metrics).into_owned()).unwrap_or_default();
    Pages { api_version, api_ps, api_tags, props, server_info, version, studio, metrics }
}

fn kind(pages: &Pages, owner: &str, names_itself: &str) -> ServerKind {
    let has = |page: &Option<Value>, field: &str| page.as_ref().is_some_and(|page| page.get(field).is_some());
    if has(&pages.props, "total_slots") || owner == "llamacpp" || names_itself.contains("llama.cpp") {
        ServerKind::LlamaCpp
    } else if has(&pages.api_version, "version") && has(&pages.api_ps, "models") {
        ServerKind::Ollama
    } else if studio_models(pages).is_some() {
        ServerKind::LmStudio
    } else if owner == "sglang" || pages.metrics.contains("sglang:") || pages.server_info.is_some() {
        ServerKind::Sglang
    } else if owner == "vllm" || pages.metrics.contains("vllm:") {
        ServerKind::Vllm
    } else {
        ServerKind::OpenAiCompatible
    }
}

fn models(kind: ServerKind, pages: &Pages, listed: Vec<Listed>) -> Vec<Model> {
    let in_ollama = |page: &Option<Value>, name: &str| {
        let called = page.as_ref()?.get("models")?.as_array()?.iter().find(|entry| is_called(entry, name));
        called.filter(|_| kind == ServerKind::Ollama).cloned()
    };
    let in_studio = |name: &str| studio_models(pages)?.iter().find(|model| text(model, "id") == name);
    listed
        .into_iter()
        .filter(|model| in_studio(&model.name).is_none_or(|entry| text(entry, "type") != "embeddings"))
        .map(|model| {
            let running = in_ollama(&pages.api_ps, &model.name);
            let is_loaded = match kind {
                ServerKind::Ollama => running.is_some(),
                ServerKind::LmStudio => in_studio(&model.name).is_some_and(|entry| text(entry, "state") == "loaded"),
                // One model a process, in memory since the start; a llama.cpp router tells of each.
                ServerKind::LlamaCpp | ServerKind::Vllm | ServerKind::Sglang => model.is_loaded.unwrap_or(true),
                ServerKind::OpenAiCompatible => model.is_loaded.unwrap_or(false),
            };
            let entries = [running.clone(), in_ollama(&pages.api_tags, &model.name)];
            let digests = entries.iter().flatten().map(|entry| text(entry, "digest").to_owned());
            let digest = digests.into_iter().find(|digest| !digest.is_empty());
            Model { memory: running.as_ref().and_then(memory), digest, name: model.name, is_loaded }
        })
        .collect()
}

/// A model that an Ollama has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::backend) struct Running {
    /// Where it lies.
    pub(in crate::backend) memory: Option<InMemory>,
    /// How many tokens a prompt and its answer may have together.
    pub(in crate::backend) context: Option<u64>,
}

/// Finds a model in Ollama's `/api/ps`.
pub(in crate::backend) fn in_ollama(page: &Value, model: &str) -> Option<Running> {
    let entry = page.get("models")?.as_array()?.iter().find(|entry| is_called(entry, model))?;
    let context = entry.get("context_length").and_then(Value::as_u64).filter(|context| *context > 0);
    Some(Running { memory: memory(entry), context })
}

fn is_called(entry: &Value, name: &str) -> bool {
    text(entry, "name") == name || text(entry, "model") == name
}

/// Reads `size` and `size_vram` of an entry of Ollama's `/api/ps`, both in bytes.
fn memory(running: &Value) -> Option<InMemory> {
    let bytes = running.get("size")?.as_u64().filter(|bytes| *bytes > 0)?;
    Some(InMemory { bytes, on_device: running.get("size_vram")?.as_u64()?.min(bytes) })
}

fn studio_models(pages: &Pages) -> Option<&Vec<Value>> {
    let models = pages.studio.as_ref()?.get("data")?.as_array()?;
    models.iter().all(|model| model.get("state").is_some()).then_some(models)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
