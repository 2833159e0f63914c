//! Asking one address for its list of models, and what else it is when it has one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::listing::{self, Listing, NoList, NoListSort};
use super::{Server, details};
use crate::backend::http::{BaseUrl, Client, Credentials};
use crate::event::Features;

/// Most that is read of a list, in bytes; large providers list some hundred models in 500 kB.
const LIST_LIMIT: usize = 4 << 20;
/// Before the second try for a list; the third waits twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for a list in all, when a server tells to wait: a run that needs no list must not stand still for one.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a server is looked at, and how hard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the list, all tries together; waits that the server tells are not counted.
    list: Duration,
    /// For the pages that say which program it is, all at once.
    pages: Duration,
    /// For a list that is refused in passing.
    tries: u32,
    /// Whether the list is looked for at the other path, too, where two are possible.
    both_paths: bool,
}

impl Patience {
    /// For a place that nobody named: enough for a busy machine, and a firewall that swallows costs no more.
    pub(crate) const GLANCE: Self =
        Self { list: Duration::from_secs(1), pages: Duration::from_secs(1), tries: 1, both_paths: true };
    /// For a named server whose models are named: the list is a help, and the first call waits for it.
    pub(crate) const NAMED: Self =
        Self { list: Duration::from_secs(4), pages: Duration::from_secs(1), tries: 3, both_paths: false };
    /// For a named server whose list decides which model is asked.
    pub(crate) const LISTED: Self =
        Self { list: Duration::from_secs(10), pages: Duration::from_secs(1), tries: 3, both_paths: true };
}

/// What answers at an address.
#[derive(Debug)]
pub(crate) enum Found {
    /// A server with its list, at the path where the list is.
    Server(BaseUrl, Server),
    /// A server that is loading its model.
    Loading,
    /// An answer that is no list.
    NoList(NoList),
    /// An answer in another protocol; in words.
    OtherProtocol(String),
    /// Nothing; in words.
    NoAnswer(String),
}

/// Asks an address for its list, and a server that has one which program it is: a server without is asked nothing more.
pub(crate) async fn examine(client: &Client, base: &BaseUrl, credentials: &Credentials, patience: Patience) -> Found {
    let mut lacks = Features::NONE;
    let mut answer = list(client, base, lacks, credentials, patience).await;
    if let Listing::Refused(NoList { sort: NoListSort::NotServed | NoListSort::NotAList, .. }) = answer.listing
        && patience.both_paths
        && let Some(path) = base.path_in_use(lacks)
    {
        let without = lacks.with(path);
        let other = list(client, base, without, credentials, patience).await;
        if matches!(other.listing, Listing::Models(_)) {
            (answer, lacks) = (other, without);
        }
    }
    match answer.listing {
        Listing::Models(listed) => {
            let base = base.clone().settled(lacks);
            let limit = patience.pages;
            let server = details::identify(client, &base, credentials, limit, &answer.names_itself, listed).await;
            Found::Server(base, Server { lacks, ..server })
        }
        Listing::Loading => Found::Loading,
        Listing::Refused(none) => Found::NoList(none),
        Listing::OtherProtocol(words) => Found::OtherProtocol(words),
        Listing::NoAnswer(why) => Found::NoAnswer(why),
    }
}

struct Answer {
    listing: Listing,
    /// The header `Server`, in small letters.
    names_itself: String,
}

async fn list(
    client: &Client,
    base: &BaseUrl,
    lacks: Features,
    credentials: &Credentials,
    patience: Patience,
) -> Answer {
    let uri = base.api("/models", lacks);
    let mut left = patience.list;
    let mut waited = Duration::ZERO;
    let mut tries = 0;
    loop {
        tries += 1;
        let began = Instant::now();
        let page = client.get(uri.clone(), credentials, left, LIST_LIMIT).await;
        left = left.saturating_sub(began.elapsed());
        let name = page.as_ref().ok().and_then(|page| page.headers.get(http::header::SERVER)?.to_str().ok());
        let names_itself = name.unwrap_or_default().to_lowercase();
        let listing = listing::read(page, &uri, credentials.scrub());
        let Listing::Refused(NoList { sort: NoListSort::Passing, wait, .. }) = &listing else {
            return Answer { listing, names_itself };
        };
        let pause = wait.unwrap_or(PAUSE * tries);
        if tries >= patience.tries || waited + pause > LONGEST_WAIT || left.is_zero() {
            return Answer { listing, names_itself };
        }
        waited += pause;
        sleep(pause).await;
    }
}
