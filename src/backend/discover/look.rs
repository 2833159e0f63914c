//! Looking at places, and choosing among what was found.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;

use super::examine::{Found, Patience, examine};
use super::listing::NoListSort;
use super::places::{Env, Place, rounds};
use super::{Server, short_name};
use crate::backend::http::{BaseUrl, Client, Credentials, TrustError, Unsendable};

/// One place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Where, and why there.
    pub place: Place,
    /// What was found.
    pub found: Finding,
}

/// What answers at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A server with models, or one that may have some and does not list them.
    Server(Server),
    /// A server that is loading its model just now.
    Loading,
    /// A server that wants a key that it was not given.
    NeedsKey,
    /// Something else; in words.
    NotAServer(String),
    /// Nothing; in words.
    NoAnswer(String),
}

/// The server that `auto` stands for.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// Where it is.
    pub url: &'a BaseUrl,
    /// What it is.
    pub server: &'a Server,
    /// The place it was found at.
    pub looked: &'a Looked,
}

/// Looks at every place that `auto` knows, all at once, for a report.
///
/// `key` goes only to addresses that `PIPE_BASE_URL` or `OPENAI_BASE_URL` name; without one, `OPENAI_API_KEY` does.
/// Takes at most some 2 seconds. The files that tell of containers are read; nothing is written.
///
/// # Errors
/// When TLS cannot be set up on this machine.
///
/// # Cancel safety
/// May be dropped at any time.
pub async fn look(env: Env<'_>, key: Option<Arc<str>>) -> Result<Vec<Looked>, TrustError> {
    let client = Client::new(1)?;
    Ok(look_at_all(&client, rounds(env, Path::new("/")).into_iter().flatten(), explicit_key(env, key).as_ref()).await)
}

/// Looks until there is something to choose, no further: variables, then this machine, then the one around it.
///
/// The choice is the same as after a look at everything, since earlier places are preferred.
pub(crate) async fn look_until_found(
    env: Env<'_>,
    key: Option<Arc<str>>,
    named: &[&str],
) -> Result<Vec<Looked>, TrustError> {
    let client = Client::new(1)?;
    let key = explicit_key(env, key);
    let mut looked = Vec::new();
    for round in rounds(env, Path::new("/")) {
        looked.extend(look_at_all(&client, round, key.as_ref()).await);
        if choose(&looked, named).is_some() {
            break;
        }
    }
    Ok(looked)
}

async fn look_at_all(
    client: &Client,
    places: impl IntoIterator<Item = Place>,
    key: Option<&Arc<str>>,
) -> Vec<Looked> {
    join_all(places.into_iter().map(|place| look_at(client, place, key.cloned()))).await
}

/// Returns the key for an address that the user named.
pub(crate) fn explicit_key(env: Env<'_>, key: Option<Arc<str>>) -> Option<Arc<str>> {
    key.or_else(|| env("OPENAI_API_KEY").map(Arc::from)).filter(|key| !key.is_empty())
}

async fn look_at(client: &Client, place: Place, key: Option<Arc<str>>) -> Looked {
    let url = match &place.url {
        Err(error) => return Looked { found: Finding::NoAnswer(error.clone()), place },
        Ok(url) => url.clone(),
    };
    let is_explicit = place.why.is_explicit();
    let credentials = match Credentials::new(&url, key.filter(|_| is_explicit).as_ref(), &[]) {
        Ok(credentials) => credentials,
        Err(Unsendable::Key | Unsendable::Header { .. }) => {
            let why = "the api key holds a character that no HTTP header may";
            return Looked { place, found: Finding::NoAnswer(why.to_owned()) };
        }
    };
    match examine(client, &url, &credentials, Patience::GLANCE).await {
        Found::Server(url, server) => {
            Looked { place: Place { url: Ok(url), ..place }, found: Finding::Server(server) }
        }
        // Many things answer 404; only where the user named the address does that still mean a model server.
        Found::NoList(none) if none.sort == NoListSort::NotServed && is_explicit => {
            Looked { place: Place { url: Ok(url.unlisted()), ..place }, found: Finding::Server(Server::default()) }
        }
        found => Looked { found: finding(found), place },
    }
}

fn finding(found: Found) -> Finding {
    match found {
        Found::Server(_, server) => Finding::Server(server),
        Found::Loading => Finding::Loading,
        Found::NoList(none) => match none.sort {
            NoListSort::NotServed => Finding::NotAServer("answered, but has no list of models".to_owned()),
            NoListSort::NeedsKey => Finding::NeedsKey,
            NoListSort::Passing | NoListSort::Refused | NoListSort::NotAList => Finding::NotAServer(none.words),
        },
        Found::OtherProtocol(words) => Finding::NotAServer(words),
        Found::NoAnswer(why) => Finding::NoAnswer(why),
    }
}

/// Chooses the first server that has every model named, and any model at all.
///
/// A server that lists no models is chosen only for named ones, which are then taken on trust.
#[must_use]
pub fn choose<'a>(looked: &'a [Looked], named: &[&str]) -> Option<Chosen<'a>> {
    looked.iter().find_map(|looked| {
        let (Ok(url), Finding::Server(server)) = (&looked.place.url, &looked.found) else { return None };
        let is_usable = match &server.models {
            Some(models) => !models.is_empty() && named.iter().all(|name| server.find(name).is_some()),
            None => !named.is_empty(),
        };
        is_usable.then_some(Chosen { url, server, looked })
    })
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place.url {
            Ok(url) => write!(f, "{url} ({}): {}", self.place.why, self.found),
            Err(_) => write!(f, "{}: {}", self.place.why, self.found),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Loading => f.write_str("a server that is still loading its model"),
            Self::NeedsKey => f.write_str("a server that wants a key; none was sent, or it was refused"),
            Self::NotAServer(what) => f.write_str(what),
            Self::NoAnswer(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        f.write_str(self.kind.word())?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        if let Some(slots) = self.slots {
            write!(f, ", {slots} slots")?;
        }
        let Some(models) = &self.models else { return f.write_str(", does not list its models") };
        match models.len() {
            0 => return f.write_str(", no models"),
            1 => f.write_str(", 1 model: ")?,
            count => write!(f, ", {count} models: ")?,
        }
        for (place, model) in models.iter().take(SHOWN).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            let loaded = match model.memory {
                Some(memory) => format!(" (loaded, {} % of it in GPU memory)", memory.percent()),
                None if model.is_loaded => " (loaded)".to_owned(),
                None => String::new(),
            };
            write!(f, "{comma}{}{loaded}", short_name(&model.name))?;
        }
        if models.len() > SHOWN { f.write_str(", …") } else { Ok(()) }
    }
}
