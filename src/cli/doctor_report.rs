//! What `pipe doctor` found, as text and as JSON.

use std::io;

use serde_json::{Value, json};

use super::devices;
use super::doctor::Findings;
use super::doctor_trace::Traced;
use super::printer::{BOLD, DIM, Printer, inert, paint};
use crate::backend::discover::{Finding, Looked, Model, Why, short_name};
use crate::gpu::Gpus;
use crate::report::{columns, wrapped};

/// Where texts stand beside what they are about.
const TEXT_INDENT: usize = 12;

/// Says what was found, in the order in which `auto` goes through it.
///
/// # Errors
/// Output that cannot be written.
pub(super) fn say(findings: &Findings, printer: &mut Printer) -> io::Result<()> {
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

    let is_silent =
        |looked: &&Looked| matches!(looked.found, Finding::NoAnswer(_)) && !looked.place.why.is_explicit();
    for looked in findings.looked.iter().filter(|looked| !is_silent(looked)) {
        lines.add("server", &looked.to_string());
    }
    for endpoint in findings.looked.iter().filter_map(|looked| looked.place.url.as_ref().ok()) {
        findings.known.line(&endpoint.to_string()).iter().for_each(|line| lines.add("known", line));
    }
    findings.known.trouble.iter().for_each(|trouble| lines.add("known", trouble));
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
    for line in devices::lines(&findings.gpus) {
        lines.add("gpu", &line);
    }
    for (about, text) in findings.traced.iter().flat_map(Traced::lines) {
        lines.add(about, &text);
    }
    lines.blank();
    lines.strong("auto is", &auto(findings));
    for suggestion in suggestions(findings) {
        lines.add("to do", &suggestion);
    }
    printer.data(&lines.text)
}

fn address(looked: &Looked) -> String {
    let url = looked.place.url.as_ref().map_or_else(String::clone, ToString::to_string);
    let short = url.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    match &looked.place.why {
        Why::UsualPort(server) => format!("{short} ({server})"),
        why @ Why::Variable(_) => format!("{short} ({why})"),
    }
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
            list.push(format!("{} has no model: {}", address(looked), server.kind.how_to_get("MODEL")));
        }
    }
    // A machine without a driver needs none; a driver that fails is no machine's wish.
    list.extend(match &findings.gpus {
        Gpus::None { trouble, .. } if trouble.is_surprising() => Some(format!("devices: {}", trouble.remedy())),
        _ => None,
    });
    list.extend(findings.looked.iter().flat_map(|looked| on_the_cpu(looked, &findings.gpus)));
    if findings.looked.iter().any(|looked| looked.found == Finding::NeedsKey) {
        list.push("set OPENAI_API_KEY (and OPENAI_BASE_URL) for the server that wants a key".to_owned());
    }
    if findings.server.is_none() && !findings.embedded.is_usable() {
        list.push(
            "start a model server here (Ollama, llama.cpp, vLLM, LM Studio, SGLang), or set PIPE_BASE_URL".to_owned(),
        );
        if !findings.embedded.is_built_in {
            list.push("or run ./try in a clone of pipe: it builds pipe with the embedded model".to_owned());
        }
        list.push("without any model: `pipe run FILE --backend sim` goes through the motions".to_owned());
    }
    list
}

/// Says which models of a server lie in part beside the memory of devices, and what helps.
///
/// Where none of a model is on a device and this machine has none, there is nothing to do about it for a server here.
fn on_the_cpu(looked: &Looked, gpus: &Gpus) -> Vec<String> {
    let (Finding::Server(server), Ok(url)) = (&looked.found, &looked.place.url) else { return Vec::new() };
    let has_device = matches!(gpus, Gpus::Found { gpus, .. } if !gpus.is_empty());
    let says = |model: &Model| {
        let memory = model.memory?;
        let says = memory.says(short_name(&model.name))?;
        let remedy = match memory.on_device {
            0 if url.is_loopback() && !has_device => return None,
            0 => {
                "its server sees no device with room, or was started without one (a container needs `--gpus all`): its \
                 log says which"
            }
            _ => {
                "let it fit: a shorter context (`OLLAMA_CONTEXT_LENGTH`), fewer requests at a time \
                 (`OLLAMA_NUM_PARALLEL`), a smaller quantization, or `ollama stop` for the others that are loaded"
            }
        };
        Some(format!("{says} (at {}); {remedy}", url.short()))
    };
    server.models.iter().flatten().filter_map(says).collect()
}

/// Returns what was found, for programs.
pub(super) fn to_json(findings: &Findings) -> Value {
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
            "known": looked.place.url.as_ref().map_or(Value::Null, |url| findings.known.json(&url.to_string())),
            "server": server.map(|server| json!({
                "kind": server.kind.word(),
                "version": server.version,
                "slots": server.slots,
                "models": server.models.as_ref().map(|models| models.iter()
                    .map(|model| json!({
                        "name": model.name, "loaded": model.is_loaded, "bytes": model.memory.map(|memory| memory.bytes),
                        "gpu_bytes": model.memory.map(|memory| memory.on_device),
                    })).collect::<Vec<_>>()),
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
        "gpu": devices::to_json(&findings.gpus),
        "traced": findings.traced.as_ref().map(Traced::to_json),
        "auto": auto(findings),
        "usable": findings.is_usable(),
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
        self.text.extend([about, gap.as_str(), lines.trim_start(), "\n"]);
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }
}
