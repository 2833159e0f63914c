//! A server whose URL is named: whether it is there, what it lists, and under which names its models are asked.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::connect::{Connected, LOAD, LOAD_POLL, Wanted, asked_name, named, names};
use super::connect_error::ConnectError;
use super::discover::{Found, Model, NoListSort, Patience, Server, ServerKind, examine, short_name};
use super::first_call::FirstCall;
use super::http::{BaseUrl, Client, Credentials};
use super::ollama::Ollama;
use super::openai::{ConfigError, OpenAi, OpenAiConfig};
use super::port::Backend;
use crate::base::ModelName;
use crate::event::{BackendResolved, Features};

/// Calls in flight where neither the user nor the server says how many.
const USUAL_SLOTS: NonZeroU32 = NonZeroU32::new(4).expect("4 is not 0");
/// Most names of a list that a notice shows.
const SHOWN: usize = 5;

/// What lets requests in: the key, and more headers.
#[derive(Clone, Default)]
pub(super) struct Access {
    pub(super) key: Option<Arc<str>>,
    pub(super) headers: Vec<(Arc<str>, Arc<str>)>,
}

type Notice<'a> = &'a (dyn Fn(&str) + Sync);

/// Connects a server that is named by its URL.
///
/// Where every model is named too, the list is a help and no condition: whatever answers is taken.
pub(super) async fn at_url(wanted: &Wanted, url: &str, notice: Notice<'_>) -> Result<Connected, Vec<ConnectError>> {
    let config = |source: ConfigError| vec![ConnectError::Config { backend: wanted.name.clone(), source }];
    let base = BaseUrl::parse(url).map_err(|error| config(error.into()))?;
    let key = wanted.api_key.clone().filter(|key| !key.is_empty());
    let access = Access { key, headers: wanted.headers.clone() };
    // Made first, so that a key or a header that cannot be sent is named as such.
    let checked = adapter(base.clone(), &access, ServerKind::default(), USUAL_SLOTS).map_err(config)?;
    let needs_list = named(wanted).len() < wanted.models.len() || wanted.models.is_empty();
    if wanted.is_unlisted && !needs_list {
        let mut connected = stand(wanted, &base.unlisted(), &Server::default(), &access, notice)?;
        connected.lists = Some(false);
        return Ok(connected);
    }
    let client = Client::to(&base, 1).map_err(|error| config(error.into()))?;
    let patience = if needs_list { Patience::LISTED } else { Patience::NAMED };
    let found = when_loaded(wanted, &client, &base, checked.credentials(), patience, notice).await;
    let (backend, url) = (wanted.name.clone(), base.to_string());
    match found {
        Found::Server(base, server) => {
            let mut connected = stand(wanted, &base, &server, &access, notice)?;
            connected.lists = Some(true);
            Ok(connected)
        }
        Found::NoList(none) if !needs_list => {
            // That a page is not there is no news; anything else is.
            if none.sort != NoListSort::NotServed {
                let models = quoted(&named(wanted));
                notice(&format!(
                    "{backend}: {url} does not list its models ({}); asking it for {models} anyway",
                    none.words
                ));
            }
            let mut connected = stand(wanted, &base.unlisted(), &Server::default(), &access, notice)?;
            // A key or an hour later there may be one.
            let may_change = matches!(none.sort, NoListSort::Passing | NoListSort::NeedsKey);
            connected.lists = (!may_change).then_some(false);
            Ok(connected)
        }
        Found::NoList(none) => Err(vec![match none.sort {
            NoListSort::NeedsKey => {
                let has_key = checked.credentials().has_key();
                ConnectError::Unauthorized { backend, url, has_key, words: none.words }
            }
            NoListSort::NotAList => ConnectError::NotAServer { backend, url, what: none.words },
            NoListSort::NotServed | NoListSort::Passing | NoListSort::Refused => {
                ConnectError::NoList { backend, url, words: none.words }
            }
        }]),
        Found::Loading => Err(vec![ConnectError::Loading { backend, url }]),
        Found::OtherProtocol(what) => Err(vec![ConnectError::NotAServer { backend, url, what }]),
        Found::NoAnswer(why) => Err(vec![ConnectError::Unreachable { backend, url, why }]),
    }
}

/// Looks at a server until it is not loading its model any more, up to 2 minutes.
async fn when_loaded(
    wanted: &Wanted,
    client: &Client,
    base: &BaseUrl,
    credentials: &Credentials,
    patience: Patience,
    notice: Notice<'_>,
) -> Found {
    let started = Instant::now();
    let mut found = examine(client, base, credentials, patience).await;
    if matches!(found, Found::Loading) {
        notice(&format!("{}: {base}: a server that is still loading its model; waiting for it", wanted.name));
    }
    while matches!(found, Found::Loading) && started.elapsed() < LOAD {
        sleep(LOAD_POLL).await;
        found = examine(client, base, credentials, patience).await;
    }
    found
}

/// Names the models of a server that is there, and makes the adapter.
pub(super) fn stand(
    wanted: &Wanted,
    base: &BaseUrl,
    server: &Server,
    access: &Access,
    notice: Notice<'_>,
) -> Result<Connected, Vec<ConnectError>> {
    let mut models = Vec::new();
    let mut unlisted = Vec::new();
    let mut errors = Vec::new();
    for asked in &wanted.models {
        match resolve(wanted, base, server, asked.as_deref()) {
            Ok(Sent::Listed(sent)) => models.push((asked_name(asked.as_deref()), ModelName::from(sent))),
            Ok(Sent::Covered(sent)) => {
                models.push((asked_name(asked.as_deref()), ModelName::from(&*sent)));
                unlisted.push(Arc::from(sent));
            }
            Ok(Sent::Unlisted(sent)) => {
                notice(&format!("{}: {}", wanted.name, not_listed(base, server, &sent)));
                models.push((asked_name(asked.as_deref()), ModelName::from(&*sent)));
                unlisted.push(Arc::from(sent));
            }
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let slots = wanted.concurrency.or(server.slots).unwrap_or(USUAL_SLOTS);
    let adapter = adapter(base.clone(), access, server.kind, slots)
        .map_err(|source| vec![ConnectError::Config { backend: wanted.name.clone(), source }])?;
    let mut shown: Vec<&str> = models.iter().map(|(_, sent)| short_name(sent.as_str())).collect();
    shown.dedup();
    let says = format!(
        "{}: {} at {} ({}{}{slots} slots)",
        wanted.name,
        server.kind.word(),
        base.short(),
        shown.join(", "),
        if shown.is_empty() { "" } else { ", " },
    );
    let resolved = BackendResolved {
        backend: wanted.name.clone(),
        endpoint: base.to_string(),
        server: server.kind.word().to_owned(),
        slots: slots.get(),
        memory: of_asked(server, &models, |model| model.memory),
        version: server.version.clone(),
        digests: of_asked(server, &models, |model| model.digest.clone()),
        lacks: server.lacks,
        models_lack: Vec::new(),
        models,
    };
    let mut backend: Arc<dyn Backend> =
        if server.cuts_prompts { Arc::new(Ollama::new(adapter)) } else { Arc::new(adapter) };
    if !unlisted.is_empty() || base.path_in_use(Features::NONE).is_some() {
        backend = Arc::new(FirstCall::new(backend, base.clone(), unlisted));
    }
    Ok(Connected { backend, resolved, says, demo: false, lists: None })
}

/// Returns what a server tells of the models that it is asked for, each once.
fn of_asked<T>(
    server: &Server,
    models: &[(ModelName, ModelName)],
    tell: impl Fn(&Model) -> Option<T>,
) -> Vec<(ModelName, T)> {
    let is_asked = |name: &str| models.iter().any(|(_, sent)| sent.as_str() == name);
    let asked = server.models.iter().flatten().filter(|model| is_asked(&model.name));
    asked.filter_map(|model| Some((ModelName::from(model.name.as_str()), tell(model)?))).collect()
}

/// The name that requests carry.
enum Sent {
    /// The server has it, or does not list its models.
    Listed(String),
    /// The list speaks of it without its name: by a pattern, or without a suffix.
    Covered(String),
    /// The server lists others. It may still have it: an alias, a deployment, a model of another host.
    Unlisted(String),
}

fn resolve(wanted: &Wanted, base: &BaseUrl, server: &Server, asked: Option<&str>) -> Result<Sent, ConnectError> {
    let backend = wanted.name.clone();
    let Some(name) = asked else {
        return server.usual().map(|name| Sent::Listed(name.to_owned())).ok_or_else(|| ConnectError::NoModel {
            backend,
            url: base.to_string(),
            how_to_get: match server.kind {
                ServerKind::Ollama => "fetch one, such as `ollama pull llama3.2`".to_owned(),
                _ => "name one with --model NAME, or under the actor".to_owned(),
            },
        });
    };
    match server.find(name) {
        Some(sent) if server.models.iter().flatten().any(|model| model.name == sent) => {
            Ok(Sent::Listed(sent.to_owned()))
        }
        Some(sent) => Ok(Sent::Covered(sent.to_owned())),
        // A server that does not list its models is taken at the user's word.
        None if server.models.is_none() => Ok(Sent::Listed(name.to_owned())),
        None if !server.lists_all() => Ok(Sent::Unlisted(name.to_owned())),
        None => Err(ConnectError::ModelMissing {
            backend,
            place: base.to_string(),
            model: name.to_owned(),
            near: server.near(name).into_iter().map(str::to_owned).collect(),
            exist: names(server).into(),
            how_to_get: server.kind.how_to_get(name),
        }),
    }
}

/// Says that a model is not in the list, and that the server has the last word.
fn not_listed(base: &BaseUrl, server: &Server, name: &str) -> String {
    let near = match server.near(name) {
        near if near.is_empty() => String::new(),
        near => format!("; did you mean {}?", quoted(&near)),
    };
    let all = names(server);
    let lists = match all.len() {
        0 => "its list is empty".to_owned(),
        count if count > SHOWN => format!("it lists {}, … ({count} in all)", all[..SHOWN].join(", ")),
        _ => format!("it lists {}", all.join(", ")),
    };
    format!("{base} does not list {name:?} ({lists}{near}); asking it anyway: the first answer decides")
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

fn adapter(base: BaseUrl, access: &Access, server: ServerKind, slots: NonZeroU32) -> Result<OpenAi, ConfigError> {
    let pool = usize::try_from(slots.get()).unwrap_or(usize::MAX);
    let Access { key, headers } = access.clone();
    OpenAi::at(base, OpenAiConfig { base_url: String::new(), api_key: key, headers, server, pool })
}
