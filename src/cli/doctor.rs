//! `pipe doctor`: what is found here, what would be used, and what to do where nothing would.

use indicatif::{ProgressBar, ProgressStyle};

use super::args::DoctorArgs;
use super::doctor_report::{say, to_json};
use super::doctor_trace::{Traced, follow};
use super::exit::{CommandError, Exit, with_causes};
use super::learned::Known;
use super::printer::Printer;
use crate::backend::discover::{self, Env, Looked};
use crate::backend::weights::{self, DEMO, Fetched};
use crate::gpu::{Gpus, SOURCE_VARIABLE};
use crate::journal::Home;

/// Everything that was found.
pub(super) struct Findings {
    /// The folder of runs.
    pub(super) home: String,
    /// How many runs there are.
    pub(super) runs: Result<usize, String>,
    /// Where `auto` looked, in its order.
    pub(super) looked: Vec<Looked>,
    /// What earlier runs learned of servers.
    pub(super) known: Known,
    /// What `auto` stands for among the servers: the model with its server, and the address.
    pub(super) server: Option<(String, String)>,
    /// The model inside this program.
    pub(super) embedded: Embedded,
    /// Graphics devices.
    pub(super) gpus: Gpus,
    /// What became of a traced request, where a collector is named.
    pub(super) traced: Option<Traced>,
}

impl Findings {
    /// Tells whether a pipeline that names no backend can run.
    pub(super) const fn is_usable(&self) -> bool {
        self.server.is_some() || self.embedded.is_usable()
    }
}

/// What stands for the model inside this program.
pub(super) struct Embedded {
    /// Whether this binary has it.
    pub(super) is_built_in: bool,
    /// The file of weights, or why there is none.
    pub(super) weights: Result<String, String>,
}

impl Embedded {
    pub(super) const fn is_usable(&self) -> bool {
        self.is_built_in && self.weights.is_ok()
    }
}

/// Looks around and says what there is; fetches weights first when asked to.
///
/// # Errors
/// Weights that cannot be fetched, TLS that cannot be set up, output that cannot be written. That nothing usable is
/// found is an exit code.
///
/// # Cancel safety
/// May be dropped at any time; a download then leaves nothing.
pub(super) async fn doctor(args: &DoctorArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    examine(args, home, &|name| std::env::var(name).ok(), printer).await
}

pub(super) async fn examine(
    args: &DoctorArgs,
    home: &Home,
    env: Env<'_>,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    if let Some(url) = &args.fetch_model {
        fetch(url, env, printer).await?;
    }
    let looked = discover::look(env, None)
        .await
        .map_err(|error| CommandError::new(Exit::BackendUnusable, format!("TLS cannot be set up: {error}")))?;
    let named = env(SOURCE_VARIABLE);
    let gpus = tokio::task::spawn_blocking(move || crate::gpu::probe(named.as_deref()));
    let gpus = gpus.await.map_err(|error| CommandError::new(Exit::Bug, format!("looking for devices: {error}")))?;
    let chosen = discover::choose(&looked, &[]);
    let traced = follow(args, env, chosen, printer).await?;
    let is_refused = args.trace_to.is_some() && traced.as_ref().is_some_and(Traced::is_refused);
    let findings = Findings { traced, ..gather(home, looked, gpus, env) };
    if args.json {
        printer.line(&to_json(&findings).to_string())?;
    } else {
        say(&findings, printer)?;
    }
    Ok(if findings.is_usable() && !is_refused { Exit::Done } else { Exit::BackendUnusable })
}

async fn fetch(url: &str, env: Env<'_>, printer: &mut Printer) -> Result<(), CommandError> {
    let told = |error: weights::WeightsError| CommandError::new(Exit::BackendUnusable, with_causes(&error));
    let path = weights::cache_path(env).map_err(told)?;
    printer.say(&format!("fetching {} ({} MB) into {}", DEMO.file, DEMO.bytes / 1_000_000, path.display()));
    let bar = if printer.err().is_terminal() { ProgressBar::new(DEMO.bytes) } else { ProgressBar::hidden() };
    bar.set_style(
        ProgressStyle::with_template("{bytes} of {total_bytes}, {binary_bytes_per_sec}")
            .expect("a template of words that indicatif knows"),
    );
    let fetched = weights::fetch(url, &DEMO, &path, &|Fetched { bytes, .. }| bar.set_position(bytes)).await;
    bar.finish_and_clear();
    fetched.map_err(told)?;
    printer.say("fetched, and its content is right");
    Ok(())
}

fn gather(home: &Home, looked: Vec<Looked>, gpus: Gpus, env: Env<'_>) -> Findings {
    let runs = home.runs().map(|runs| runs.len()).map_err(|error| with_causes(&error));
    let server = discover::choose(&looked, &[]).map(|chosen| {
        let model = chosen.server.usual().map_or("its model", discover::short_name);
        let address = format!("{} ({})", chosen.url, chosen.looked.place.why);
        (format!("{model} by {}", chosen.server.kind.word()), address)
    });
    let weights = weights::locate(env).map_err(|error| with_causes(&error)).map(|located| {
        let what = if located.is_demo { "the demo model" } else { "named by PIPE_EMBEDDED_GGUF" };
        format!("{} ({what})", located.path.display())
    });
    let embedded = Embedded { is_built_in: cfg!(feature = "embedded"), weights };
    let known = Known::read(Some(home.path()));
    Findings { home: home.path().display().to_string(), runs, looked, known, server, embedded, gpus, traced: None }
}
