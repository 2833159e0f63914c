//! What `pipe init` writes, and writing it without harm to what is there.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::Template;
use crate::cli::exit::{CommandError, Exit};

/// Where a template says its backends.
const BACKENDS: &str = "# Backends: here.\n";
/// The file that editors read beside a pipeline; every template names it in its first line.
const SCHEMA: &str = "pipe.schema.json";
const IGNORE: &str = ".gitignore";
/// What git must not see: runs.
const IGNORED: &str = ".pipe/";

/// A file to be written.
pub(super) struct NewFile {
    /// Relative to the folder.
    pub(super) path: String,
    pub(super) text: String,
    /// What it is for.
    pub(super) says: &'static str,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is there now.
    New,
    /// It was there, and has one line more.
    Added,
    /// It was there with this text.
    Same,
}

/// Returns what there is to write.
pub(super) fn files(template: Template, backend: &str) -> Vec<NewFile> {
    let (pipeline, data_name, data, data_says) = match template {
        Template::Debate => (
            include_str!("templates/debate.yaml"),
            "motions.jsonl",
            include_str!("templates/motions.jsonl"),
            "three motions, one a line",
        ),
        Template::Score => (
            include_str!("templates/score.yaml"),
            "reviews.jsonl",
            include_str!("templates/reviews.jsonl"),
            "four reviews, one a line",
        ),
        Template::Chat => (
            include_str!("templates/chat.yaml"),
            "topics.jsonl",
            include_str!("templates/topics.jsonl"),
            "three topics, one a line",
        ),
    };
    let file = format!("{}.yaml", template.word());
    let schema = serde_json::to_string_pretty(&crate::spec::schema()).expect("a schema is JSON");
    let new = |path: &str, text: String, says| NewFile { path: path.to_owned(), text, says };
    vec![
        new(&file, pipeline.replace(BACKENDS, &backends(backend)), "who is asked what: start here"),
        new(data_name, data.to_owned(), data_says),
        new(SCHEMA, schema + "\n", "lets editors complete and check; `pipe schema` prints it"),
        new(
            ".github/workflows/pipelines.yml",
            include_str!("templates/workflow.yml").replace("FILE", &file),
            "checks the pipeline at every push to GitHub",
        ),
        new(IGNORE, format!("{IGNORED}\n"), "keeps runs out of git"),
    ]
}

/// Says in YAML where answers come from.
fn backends(backend: &str) -> String {
    match backend {
        "auto" => "# No `backends`: pipe takes the model server that it finds on this machine (`pipe doctor` tells which).\n"
            .to_owned(),
        "sim" => "# Answers are made up: for a real model, take these two lines out, or write its server's URL.\n\
                  backends:\n  main: { base_url: sim }\n"
            .to_owned(),
        url if is_far(url) => format!(
            "# The key comes from the environment: it stands in no file.\n\
             backends:\n  main: {{ base_url: {url:?}, api_key: \"${{OPENAI_API_KEY:-}}\" }}\n"
        ),
        near => format!("backends:\n  main: {{ base_url: {near:?} }}\n"),
    }
}

/// Tells whether a server may ask for a key: those on this machine do not.
fn is_far(url: &str) -> bool {
    let near = ["localhost", "127.0.0.1", "[::1]"];
    let host = url.split_once("://").map(|(_, rest)| rest);
    host.is_some_and(|host| !near.iter().any(|name| host.starts_with(name)))
}

/// Writes the files, or none of them.
///
/// # Errors
/// One is there already with another text, or the folder takes no files.
pub(super) fn write(folder: &Path, files: &[NewFile], force: bool) -> Result<Vec<Written>, CommandError> {
    let mut found = Vec::new();
    let mut in_the_way = Vec::new();
    for file in files {
        let path = folder.join(&file.path);
        let there = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => None,
            Err(_) => Some(String::new()),
        };
        found.push(match there {
            None => Written::New,
            Some(text) if text == file.text => Written::Same,
            Some(text) if file.path == IGNORE && text.lines().any(|line| line.trim() == IGNORED) => Written::Same,
            Some(_) if file.path == IGNORE => Written::Added,
            Some(_) => {
                in_the_way.push(path.display().to_string());
                Written::New
            }
        });
    }
    if !in_the_way.is_empty() && !force {
        let verb = if in_the_way.len() == 1 { "is" } else { "are" };
        let message = format!("{} {verb} there already; nothing was written", in_the_way.join(", "));
        return Err(CommandError::new(Exit::Usage, message)
            .help("name another folder, as in `pipe init talks`; --force writes over them"));
    }
    for (file, written) in files.iter().zip(&found) {
        write_one(&folder.join(&file.path), &file.text, *written).map_err(|error| {
            let path = folder.join(&file.path);
            CommandError::new(Exit::Usage, format!("cannot write {}: {error}", path.display()))
                .help("name a folder that you may write to")
        })?;
    }
    Ok(found)
}

fn write_one(path: &Path, text: &str, written: Written) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match written {
        Written::Same => Ok(()),
        Written::New => fs::write(path, text),
        Written::Added => {
            let there = fs::read(path)?;
            let gap = if there.is_empty() || there.ends_with(b"\n") { "" } else { "\n" };
            fs::File::options().append(true).open(path)?.write_all(format!("{gap}{text}").as_bytes())
        }
    }
}
