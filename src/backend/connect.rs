//! From what a pipeline asks for to backends that stand: found, checked, their models named, once per run.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::connect_error::ConnectError;
use super::connect_url::{Access, at_url, stand};
use super::discover::{self, Env, Finding, Looked, Server, choose, look_until_found};
use super::http::BaseUrl;
use super::openai::ConfigError;
use super::port::Backend;
use super::sim::Sim;
use crate::base::{BackendName, ModelName};
use crate::event::{BackendResolved, Features};

/// Calls in flight at the simulated backend unless told: as many as a large batching server takes.
const SIM_SLOTS: NonZeroU32 = NonZeroU32::new(64).expect("64 is not 0");
/// How long a named server may take to load its model before a run begins.
pub(super) const LOAD: Duration = Duration::from_secs(120);
/// Between two looks at a server that is loading.
pub(super) const LOAD_POLL: Duration = Duration::from_millis(500);
/// What a pipeline writes for "whatever is there".
const AUTO: &str = "auto";

/// A backend that a pipeline asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its key under `backends`.
    pub name: BackendName,
    /// Where.
    pub target: Target,
    /// Bearer token. Sent only to a URL that the user named, never to what `auto` found by its port.
    pub api_key: Option<Arc<str>>,
    /// More headers of each request: names and values. Sent only where the key is.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// True when an earlier run met no list of models there: it is not asked for when every model is named.
    pub is_unlisted: bool,
    /// Models that actors ask it for; none is `auto`.
    pub models: Vec<Option<Arc<str>>>,
    /// Calls in flight; none is what the server tells, else 4 (simulated: 64).
    pub concurrency: Option<NonZeroU32>,
}

/// Where a backend is asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The first usable server that [`discover::look`] finds, else the embedded model.
    Auto,
    /// The model inside this program.
    Embedded,
    /// No model: see [`super::sim`].
    Sim {
        /// How many times faster than life; 0 means at once.
        speed: u32,
    },
    /// A server; see [`BaseUrl`].
    Url(String),
}

/// A backend that can be asked.
#[derive(Clone)]
pub struct Connected {
    /// It.
    pub backend: Arc<dyn Backend>,
    /// What its name stands for in this run.
    pub resolved: BackendResolved,
    /// One line for people: `auto: llama.cpp at http://127.0.0.1:8080 (SmolLM2, 4 slots)`.
    pub says: String,
    /// True for a model that is only good for a demonstration.
    pub demo: bool,
    /// Whether it lists its models; none where that is not known, or not the question.
    pub lists: Option<bool>,
}

/// Connects every backend of a plan, all at once, in the order given.
///
/// Reads the lists of models and sends no request that costs anything. `notice` is told, in a line for people, when
/// something takes long: a server that is loading its model is waited for, up to 2 minutes.
///
/// # Errors
/// Everything that stands in the way, one error per backend and model.
///
/// # Cancel safety
/// May be dropped at any time.
pub async fn connect(
    wanted: &[Wanted],
    env: Env<'_>,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Connected>, Vec<ConnectError>> {
    let outcomes = join_all(wanted.iter().map(|wanted| connect_one(wanted, env, notice))).await;
    let mut connected = Vec::new();
    let mut errors = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(one) => connected.push(one),
            Err(mut several) => errors.append(&mut several),
        }
    }
    if errors.is_empty() { Ok(connected) } else { Err(errors) }
}

async fn connect_one(
    wanted: &Wanted,
    env: Env<'_>,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<Connected, Vec<ConnectError>> {
    match &wanted.target {
        Target::Sim { speed } => Ok(sim(wanted, *speed)),
        Target::Embedded => embedded(wanted, env),
        Target::Url(url) => at_url(wanted, url, notice).await,
        Target::Auto => match env("PIPE_BASE_URL").as_deref().map(str::trim) {
            Some("sim") => Ok(sim(wanted, 1)),
            Some("embedded") => embedded(wanted, env),
            Some(_) | None => auto(wanted, env, notice).await,
        },
    }
}

fn sim(wanted: &Wanted, speed: u32) -> Connected {
    let slots = wanted.concurrency.unwrap_or(SIM_SLOTS).get();
    let models = wanted.models.iter().map(|asked| {
        let sent = asked.as_deref().unwrap_or("sim");
        (asked_name(asked.as_deref()), ModelName::from(sent))
    });
    let resolved = BackendResolved {
        backend: wanted.name.clone(),
        endpoint: "sim".to_owned(),
        server: "sim".to_owned(),
        slots,
        models: models.collect(),
        memory: Vec::new(),
        version: None,
        digests: Vec::new(),
        lacks: Features::NONE,
        models_lack: Vec::new(),
    };
    let says = format!("{}: simulated answers, no model ({slots} slots)", wanted.name);
    Connected { backend: Arc::new(Sim { speed }), resolved, says, demo: false, lists: None }
}

/// Connects the model inside this program, which the embedded module calls by the one name that it knows.
#[cfg(feature = "embedded")]
fn embedded(wanted: &Wanted, env: Env<'_>) -> Result<Connected, Vec<ConnectError>> {
    let mut connected = super::embedded::connect(env, wanted.concurrency).map_err(|error| vec![error])?;
    let own = connected.resolved.models.first().map_or_else(|| ModelName::from("embedded"), |(_, sent)| sent.clone());
    let mut missing = Vec::new();
    let mut models = Vec::new();
    for asked in &wanted.models {
        match asked.as_deref() {
            Some(name) if name != own.as_str() && name != "embedded" => missing.push(ConnectError::ModelMissing {
                backend: wanted.name.clone(),
                place: "the embedded model".to_owned(),
                model: name.to_owned(),
                near: Box::default(),
                exist: [own.to_string()].into(),
                how_to_get: "start a server that has it and name it with --backend URL".to_owned(),
            }),
            asked => models.push((asked_name(asked), own.clone())),
        }
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    connected.resolved.backend = wanted.name.clone();
    connected.resolved.models = models;
    connected.says = format!("{}: {}", wanted.name, connected.says);
    Ok(connected)
}

#[cfg(not(feature = "embedded"))]
fn embedded(wanted: &Wanted, _: Env<'_>) -> Result<Connected, Vec<ConnectError>> {
    Err(vec![ConnectError::NotBuiltIn { backend: wanted.name.clone() }])
}

async fn auto(wanted: &Wanted, env: Env<'_>, notice: &(dyn Fn(&str) + Sync)) -> Result<Connected, Vec<ConnectError>> {
    let tls = |error| vec![ConnectError::Config { backend: wanted.name.clone(), source: ConfigError::Tls(error) }];
    let named = named(wanted);
    let started = Instant::now();
    let mut is_told = false;
    let mut looked = look_until_found(env, wanted.api_key.clone(), &named).await.map_err(tls)?;
    while choose(&looked, &named).is_none()
        && let Some(loading) = looked.iter().find(|looked| looked.found == Finding::Loading)
        && started.elapsed() < LOAD
    {
        if !std::mem::replace(&mut is_told, true) {
            notice(&format!("{}: {loading}; waiting for it", wanted.name));
        }
        sleep(LOAD_POLL).await;
        looked = look_until_found(env, wanted.api_key.clone(), &named).await.map_err(tls)?;
    }
    let Some(chosen) = choose(&looked, &named) else {
        return nothing_found(wanted, env, looked);
    };
    let is_explicit = chosen.looked.place.why.is_explicit();
    let access = if is_explicit {
        Access { key: discover::explicit_key(env, wanted.api_key.clone()), headers: wanted.headers.clone() }
    } else {
        Access::default()
    };
    let mut connected = stand(wanted, chosen.url, chosen.server, &access, &|_| {})?;
    connected.says.push_str(&passed_over(&looked, chosen.url));
    Ok(connected)
}

/// Says which addresses of the user's own were passed over, so that no fallback is silent.
fn passed_over(looked: &[Looked], chosen: &BaseUrl) -> String {
    let before = looked.iter().take_while(|looked| looked.place.url.as_ref() != Ok(chosen));
    let explicit = before.filter(|looked| looked.place.why.is_explicit());
    explicit.fold(String::new(), |text, looked| format!("{text}; passed over {looked}"))
}

/// No server will do: the embedded model, unless a server lacks just the model that is asked for by name.
fn nothing_found(wanted: &Wanted, env: Env<'_>, looked: Vec<Looked>) -> Result<Connected, Vec<ConnectError>> {
    let named = named(wanted);
    let without = |name: &&str| {
        let servers: Vec<(&Looked, &Server)> = looked
            .iter()
            .filter_map(|looked| match &looked.found {
                Finding::Server(server) if server.models.is_some() => Some((looked, server)),
                _ => None,
            })
            .collect();
        let (first, server) = servers.first()?;
        Some(ConnectError::ModelMissing {
            backend: wanted.name.clone(),
            place: match &first.place.url {
                Ok(url) if servers.len() == 1 => url.to_string(),
                _ => "every server found".to_owned(),
            },
            model: (*name).to_owned(),
            near: servers.iter().flat_map(|(_, server)| server.near(name)).map(str::to_owned).collect(),
            exist: servers.iter().flat_map(|(_, server)| names(server)).collect(),
            how_to_get: server.kind.how_to_get(name),
        })
    };
    let missing: Vec<ConnectError> = named.iter().filter_map(without).collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    match embedded(wanted, env) {
        Ok(connected) => Ok(connected),
        Err(mut errors) => {
            let not_built_in = matches!(errors[..], [ConnectError::NotBuiltIn { .. }]);
            let nothing = ConnectError::NothingFound { backend: wanted.name.clone(), looked };
            if not_built_in {
                return Err(vec![nothing]);
            }
            errors.insert(0, nothing);
            Err(errors)
        }
    }
}

pub(super) fn names(server: &Server) -> Vec<String> {
    server.models.iter().flatten().map(|model| model.name.clone()).collect()
}

pub(super) fn named(wanted: &Wanted) -> Vec<&str> {
    wanted.models.iter().filter_map(Option::as_deref).collect()
}

pub(super) fn asked_name(asked: Option<&str>) -> ModelName {
    ModelName::from(asked.unwrap_or(AUTO))
}
