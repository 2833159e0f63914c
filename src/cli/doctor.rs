//! `pipe doctor`: what is found here, what would be used, and what to do where nothing would.

use std::io;

use serde_json::{Value, json};

use super::args::DoctorArgs;
use super::exit::{CommandError, Exit, with_causes};
use super::printer::{BOLD, DIM, Printer, inert, paint};
use crate::backend::discover::{self, Finding, Looked};
use crate::backend::weights::{self, DEMO, Fetched};
use crate::journal::Home;
use crate::report::{columns, wrapped};

/// Where texts stand beside what they are about.
const TEXT_INDENT: usize = 12;

/// Everything that was found.
struct Findings {
    home: String,
    runs: Result<usize, String>,
    looked: Vec<Looked>,
    /// What `auto` stands for among the servers: its address, what it is, and the model.
    server: Option<(String, String)>,
    embedded: Embedded,
    devices: Value,
    device_lines: Vec<String>,
}

/// What stands for the model inside this program.
struct Embedded {
    is_built_in: bool,
    /// The file of weights, or why there is none.
    weights: Result<String, String>,
}

impl Embedded {
    const fn is_usable(&self) -> bool {
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
    let env = |name: &str| std::env::var(name).ok();
    if let Some(url) = &args.fetch_model {
        fetch(url, &env, printer).await?;
    }
    let looked = discover::look(&env, None)
        .await
        .map_err(|error| CommandError::new(Exit::BackendUnusable, format!("TLS cannot be set up: {error}")))?;
    let findings = gather(home, looked, &env);
    if args.json {
        printer.line(&to_json(&findings).to_string())?;
    } else {
        say(&findings, printer)?;
    }
    let is_usable = findings.server.is_some() || findings.embedded.is_usable();
    Ok(if is_usable { Exit::Done } else { Exit::BackendUnusable })
}

async fn fetch(url: &str, env: weights::Environment<'_>, printer: &mut Printer) -> Result<(), CommandError> {
    let told = |error: weights::WeightsError| CommandError::new(Exit::BackendUnusable, with_causes(&error));
    let path = weights::cache_path(env).map_err(told)?;
    printer.say(&format!("fetching {} ({} MB) into {}", DEMO.file, DEMO.bytes / 1_000_000, path.display()));
    let tenth = std::sync::atomic::AtomicU64::new(0);
    let progress = |Fetched { bytes, of }: Fetched| {
        // A line for every tenth: readable on a terminal and in a log.
        let reached = bytes * 10 / of.max(1);
        if tenth.fetch_max(reached, std::sync::atomic::Ordering::Relaxed) < reached {
            tracing::info!(percent = reached * 10, "fetching weights");
        }
    };
    weights::fetch(url, &DEMO, &path, &progress).await.map_err(told)?;
    printer.say("fetched, and its content is right");
    Ok(())
}

fn gather(home: &Home, looked: Vec<Looked>, env: weights::Environment<'_>) -> Findings {
    let runs = home.runs().map(|runs| runs.len()).map_err(|error| with_causes(&error));
    let server = discover::choose(&looked, &[]).map(|chosen| {
        let model = chosen.server.usual().map(discover::short_name).unwrap_or("its model");
        let why = format!("{} ({})", chosen.url, chosen.looked.place.why);
        (format!("{model} by {}", chosen.server.kind.word()), why)
    });
    let weights = weights::locate(env).map_err(|error| with_causes(&error)).map(|located| {
        let what = if located.is_demo { "demo model" } else { "named by PIPE_EMBEDDED_GGUF" };
        format!("{} ({what})", located.path.display())
    });
    let embedded = Embedded { is_built_in: cfg!(feature = "embedded"), weights };
    let home = home.path().display().to_string();
    let (devices, device_lines) = (Value::Null, Vec::new());
    Findings { home, runs, looked, server, embedded, devices, device_lines }
}

fn say(findings: &Findings, printer: &mut Printer) -> io::Result<()> {
    let width = printer.out().reading_width();
    let mut lines = Lines { width, text: String::new() };
    lines.add("pipe", env!("CARGO_PKG_VERSION"));
    let runs = match &findings.runs {
        Ok(0) => "no runs yet".to_owned(),
        Ok(1) => "1 run".to_owned(),
        Ok(count) => format!("{count} runs"),
        Err(error) => error.clone(),
    };
    lines.add("project", &format!("{}: {runs}", findings.home));
    lines.blank();

    let is_silent = |looked: &&Looked| matches!(looked.found, Finding::NoAnswer(_)) && !looked.place.why.is_explicit();
    for looked in findings.looked.iter().filter(|looked| !is_silent(looked)) {
        lines.add("server", &looked.to_string());
    }
    let silent: Vec<String> = findings.looked.iter().filter(is_silent).map(address).collect();
    if !silent.is_empty() {
        lines.add("no answer", &silent.join(", "));
    }
    let weights = match &findings.embedded.weights {
        Ok(path) => path.clone(),
        Err(error) => format!("no weights: {error}"),
    };
    let built_in = if findings.embedded.is_built_in { "built in" } else { "not built into this pipe" };
    lines.add("embedded", &format!("{built_in}; {weights}"));
    for device in &findings.device_lines {
        lines.add("device", device);
    }
    lines.blank();
    lines.strong("auto is", &auto(findings));
    for suggestion in suggestions(findings) {
        lines.add("to do", &suggestion);
    }
    printer.data(&lines.text)
}

fn address(looked: &&Looked) -> String {
    let url = looked.place.url.as_ref().map_or_else(String::clone, ToString::to_string);
    let short = url.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    format!("{short} ({})", looked.place.why)
}

fn auto(findings: &Findings) -> String {
    match &findings.server {
        Some((what, why)) => format!("{what} at {why}, the first place in this order that has a model"),
        None if findings.embedded.is_usable() => "the embedded model, as no server with a model answers".to_owned(),
        None => "nothing: no server with a model answers, and there is no embedded model".to_owned(),
    }
}

fn suggestions(findings: &Findings) -> Vec<String> {
    let mut list = Vec::new();
    let has_no_model = |looked: &&Looked| match &looked.found {
        Finding::Server(server) => server.models.as_ref().is_some_and(Vec::is_empty),
        Finding::Loading | Finding::NeedsKey | Finding::NotAServer(_) | Finding::NoAnswer(_) => false,
    };
    for looked in findings.looked.iter().filter(has_no_model) {
        if let Finding::Server(server) = &looked.found {
            list.push(format!("{} has no model: {}", address(&looked), server.kind.how_to_get("MODEL")));
        }
    }
    if findings.looked.iter().any(|looked| looked.found == Finding::NeedsKey) {
        list.push("set OPENAI_API_KEY (and OPENAI_BASE_URL) for the server that wants a key".to_owned());
    }
    if findings.server.is_none() && !findings.embedded.is_usable() {
        list.push("start a model server here (Ollama, llama.cpp, vLLM, LM Studio, SGLang), or set PIPE_BASE_URL".to_owned());
        if !findings.embedded.is_built_in {
            list.push("or run ./try in a clone of pipe: it builds pipe with the embedded model".to_owned());
        }
        list.push("without any model: `pipe run FILE --backend sim` goes through the motions".to_owned());
    }
    list
}

fn to_json(findings: &Findings) -> Value {
    let places = findings.looked.iter().map(|looked| {
        let (state, server) = match &looked.found {
            Finding::Server(server) => ("server", Some(server)),
            Finding::Loading => ("loading", None),
            Finding::NeedsKey => ("needs_key", None),
            Finding::NotAServer(_) => ("no_model_server", None),
            Finding::NoAnswer(_) => ("no_answer", None),
        };
        json!({
            "url": looked.place.url.as_ref().ok().map(ToString::to_string),
            "why": looked.place.why.to_string(),
            "state": state,
            "says": looked.found.to_string(),
            "server": server.map(|server| json!({
                "kind": server.kind.word(),
                "version": server.version,
                "slots": server.slots,
                "models": server.models.as_ref().map(|models| models.iter()
                    .map(|model| json!({ "name": model.name, "loaded": model.is_loaded })).collect::<Vec<_>>()),
            })),
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "home": findings.home,
        "runs": findings.runs.as_ref().ok(),
        "places": places.collect::<Vec<_>>(),
        "embedded": {
            "built_in": findings.embedded.is_built_in,
            "weights": findings.embedded.weights.as_ref().ok(),
            "problem": findings.embedded.weights.as_ref().err(),
        },
        "devices": findings.devices,
        "auto": auto(findings),
        "usable": findings.server.is_some() || findings.embedded.is_usable(),
        "suggestions": suggestions(findings),
    })
}

/// Texts in a column beside what they are about.
struct Lines {
    width: usize,
    text: String,
}

impl Lines {
    fn add(&mut self, about: &str, text: &str) {
        self.put(&paint(DIM, about), columns(about), &inert(text));
    }

    fn strong(&mut self, about: &str, text: &str) {
        self.put(&paint(BOLD, about), columns(about), &inert(text));
    }

    fn put(&mut self, about: &str, taken: usize, text: &str) {
        let lines = wrapped(text, self.width, TEXT_INDENT);
        let gap = " ".repeat(TEXT_INDENT - taken);
        self.text.push_str(&format!("{about}{gap}{}\n", lines.trim_start()));
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }
}
