//! A pipeline file from disk to a plan, and what is wrong with it onto the screen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args;
use super::diagnostics;
use super::exit::{CommandError, Exit};
use super::files::ProjectFiles;
use super::printer::{Printer, RED, inert, paint};
use crate::diag::{Diagnostic, Severity, code, has_errors};
use crate::plan::{self, Compiled, Items, Overrides, Plan, Surroundings};
use crate::run::{ItemProblem, Source, Survey, survey};
use crate::spec::{self, RowsPath, Setting, Spanned};

/// Most bytes of a pipeline file that are looked at: more than it may have.
const MOST_READ: u64 = 2 << 20;

/// A file that was read and checked.
pub(super) struct Loaded {
    pub(super) plan: Option<Arc<Plan>>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) text: String,
    /// Texts of the files that it names by `file://`, by their path as written.
    pub(super) read: BTreeMap<String, Arc<str>>,
    /// Files that are gone, and whose recorded texts count.
    pub(super) gone: Vec<String>,
    name: Arc<str>,
    files: ProjectFiles,
}

impl Loaded {
    /// Returns the text that a diagnostic's places are in: the pipeline, or a file that it names.
    pub(super) fn source(&self, file: &str) -> Option<String> {
        if file == &*self.name {
            return Some(self.text.clone());
        }
        let from_pipeline = |(path, text): (&String, &Arc<str>)| {
            (path == file || shown(&self.name, path) == file).then(|| text.to_string())
        };
        self.read.iter().find_map(from_pipeline).or_else(|| self.files.read_text(file).ok())
    }

    /// Adds what only the rows tell: columns that templates read and no row has.
    pub(super) fn add_missing_columns(&mut self, plan: &Plan, survey: &Survey) {
        // What stands in the pipeline itself was looked at when it was compiled.
        if matches!(plan.items, Items::Files(_)) && survey.items > 0 {
            let missing = plan.columns.iter().filter(|(column, _)| !survey.columns.contains(*column));
            self.diagnostics.extend(missing.map(|(column, place)| {
                Diagnostic::warning(code::MISSING_COLUMN, format!("no item has a column `{column}`"))
                    .at(place, "always missing")
                    .suggest(column, survey.columns.iter().map(String::as_str))
            }));
        }
    }

    /// Adds what only the disk tells: that the results have no folder to go to.
    pub(super) fn add_missing_folder(&mut self, plan: &Plan) {
        let Some(results) = &plan.results else { return };
        let folder = results.path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
        let Some(folder) = folder else { return };
        let shown = folder.strip_prefix(self.files.root()).unwrap_or(folder);
        self.diagnostics.push(
            Diagnostic::error(code::FILE, format!("there is no folder {} for the results", shown.display()))
                .at(&results.said, "found before the first call, not after the last")
                .help("make the folder, or name another path"),
        );
    }

    /// Adds that the items are not there to what else is wrong: where a plan can be made, reading them tells.
    fn add_missing_items(&mut self) {
        let read = |path: &str| {
            let text = self.read.get(path).map(ToString::to_string);
            text.ok_or_else(|| "it was not read before".to_owned())
        };
        let (spec, _) = spec::parse_beside(Arc::clone(&self.name), &self.text, &read);
        let path = spec.and_then(|spec| spec.items).and_then(|items| items.path);
        let Some(Setting::Literal(Spanned { value: RowsPath(written), mut span })) = path else { return };
        if written == "-" || written.contains(['*', '?', '[']) {
            return;
        }
        let is_own = *span.file == *self.name;
        let path = if is_own { written.clone() } else { spec::beside(&span.file, &written) };
        if self.files.resolve(&path).map_or(true, |path| path.exists()) {
            return;
        }
        if !is_own {
            span.file = shown(&self.name, &span.file).into();
        }
        self.diagnostics.push(
            Diagnostic::error(code::FILE, format!("there is no file {written:?} to read items from"))
                .at(&span, "relative to this file")
                .help("check the path, or write rows here: items: { values: [ … ] }"),
        );
    }

    /// Tells whether everything that keeps it from being a plan stands on the command line.
    pub(super) fn is_misused(&self) -> bool {
        let mut errors =
            self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).peekable();
        let on_command_line =
            |diagnostic: &Diagnostic| diagnostic.labels.first().is_some_and(|label| label.span.file.starts_with('-'));
        errors.peek().is_some() && errors.all(on_command_line)
    }

    /// Prints what is wrong on stderr.
    pub(super) fn say(&self, printer: &mut Printer) {
        if self.diagnostics.is_empty() {
            return;
        }
        // Styles are taken out again where no colour is wanted.
        let rendered = diagnostics::render(&self.diagnostics, &|file| self.source(file), true);
        printer.complain(rendered.trim_end());
    }
}

/// Ends a command whose file or input is wrong and was said so: with `--json` a program gets what `check --json` says.
///
/// The exit code is that of a wrong command line when all that is wrong stands there.
///
/// # Errors
/// Output that cannot be written.
pub(super) fn refuse(
    file: &Path,
    loaded: &Loaded,
    survey: Option<&Result<Survey, Vec<ItemProblem>>>,
    as_json: bool,
    printer: &mut Printer,
) -> Result<Exit, CommandError> {
    let exit = if loaded.is_misused() { Exit::Usage } else { Exit::InvalidPipeline };
    if as_json {
        let message = match exit {
            Exit::Usage => "the command line is wrong",
            _ => "the pipeline is wrong",
        };
        let report = report_json(file, loaded, survey);
        printer
            .line(&json!({ "error": { "exit": exit.code(), "message": message, "files": [report] } }).to_string())?;
    }
    Ok(exit)
}

/// Reads and compiles a pipeline file.
///
/// # Errors
/// The file cannot be read; what is wrong inside of it is in the diagnostics.
pub(super) fn load(file: &Path, overrides: &Overrides, allow_outside: bool) -> Result<Loaded, CommandError> {
    compile(file, text_of(file)?, Recorded::Nothing, overrides, allow_outside)
}

/// Reads and compiles a pipeline file; for a file that it names and that is gone, the recorded text serves.
///
/// # Errors
/// The pipeline file itself cannot be read.
pub(super) fn load_again(
    file: &Path,
    source: &Source,
    overrides: &Overrides,
    allow_outside: bool,
) -> Result<Loaded, CommandError> {
    compile(file, text_of(file)?, Recorded::WhereGone(&source.files), &on_top(overrides, source), allow_outside)
}

/// Adds what was tuned since a run began to what its command line replaces.
pub(super) fn on_top(overrides: &Overrides, source: &Source) -> Overrides {
    let mut overrides = overrides.clone();
    if source.sets.iter().any(|(path, _)| path == "limits.concurrency") {
        // Who says so later is meant, whatever `--concurrency` said at the start.
        overrides.concurrency = None;
    }
    overrides.set.extend_from_slice(&source.sets);
    overrides
}

fn text_of(file: &Path) -> Result<String, CommandError> {
    let bytes = read(file).map_err(|error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path; `pipe init` writes a pipeline to start from",
            _ => "check the file and its permissions",
        };
        CommandError::new(Exit::Usage, format!("cannot read {}: {error}", file.display())).help(help)
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        CommandError::new(Exit::InvalidPipeline, format!("{}:{line} is not UTF-8 text", file.display()))
            .help("save the file as UTF-8")
    })
}

/// Reads no more than the reader of pipelines takes; it says that this is too much.
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(MOST_READ).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Compiles the texts that a run was made of, whatever the files say now.
///
/// # Errors
/// The file's folder cannot be found.
pub(super) fn compile_again(
    file: &Path,
    source: &Source,
    overrides: &Overrides,
    allow_outside: bool,
) -> Result<Loaded, CommandError> {
    let overrides = on_top(overrides, source);
    compile(file, source.text.to_string(), Recorded::Always(&source.files), &overrides, allow_outside)
}

/// Which texts of a run's journal count.
#[derive(Clone, Copy)]
enum Recorded<'a> {
    Nothing,
    WhereGone(&'a BTreeMap<String, Arc<str>>),
    Always(&'a BTreeMap<String, Arc<str>>),
}

fn compile(
    file: &Path,
    text: String,
    recorded: Recorded<'_>,
    overrides: &Overrides,
    allow_outside: bool,
) -> Result<Loaded, CommandError> {
    let files = ProjectFiles::around(file)
        .map(|files| if allow_outside { files.allow_outside() } else { files })
        .map_err(|error| CommandError::new(Exit::Usage, format!("cannot find {}: {error}", file.display())))?;
    let read: RefCell<BTreeMap<String, Arc<str>>> = RefCell::new(match recorded {
        Recorded::Always(texts) => texts.clone(),
        Recorded::Nothing | Recorded::WhereGone(_) => BTreeMap::new(),
    });
    let gone = RefCell::new(Vec::new());
    let around = Surroundings {
        env: &|name| std::env::var(name).ok(),
        read_text: &|path| {
            if let Some(text) = read.borrow().get(path) {
                return Ok(text.to_string());
            }
            let kept = match recorded {
                Recorded::WhereGone(texts) => texts.get(path).filter(|_| !exists(&files, path)),
                Recorded::Nothing | Recorded::Always(_) => None,
            };
            let text = match kept {
                Some(text) => {
                    gone.borrow_mut().push(path.to_owned());
                    text.to_string()
                }
                None => files.read_text(path)?,
            };
            read.borrow_mut().insert(path.to_owned(), Arc::from(text.as_str()));
            Ok(text)
        },
        resolve: &|path| files.resolve(path),
        list: &|path| files.list(path),
    };
    let name: Arc<str> = Arc::from(file.display().to_string());
    let compiled = plan::compile(Arc::clone(&name), &text, overrides, &around);
    let Compiled { plan, mut diagnostics } = never_silent(&name, compiled)?;
    for label in diagnostics.iter_mut().flat_map(|diagnostic| &mut diagnostic.labels) {
        if label.span.file != name && !label.span.file.starts_with('-') {
            label.span.file = shown(&name, &label.span.file).into();
        }
    }
    let (read, gone) = (read.into_inner(), gone.into_inner());
    let mut loaded = Loaded { plan: plan.map(Arc::new), diagnostics, text, read, gone, name, files };
    if loaded.plan.is_none() && overrides.set.is_empty() {
        loaded.add_missing_items();
    }
    Ok(loaded)
}

/// Refuses to refuse a file without a word: that is no fault of the file.
fn never_silent(name: &str, compiled: Compiled) -> Result<Compiled, CommandError> {
    if compiled.plan.is_some() || has_errors(&compiled.diagnostics) {
        return Ok(compiled);
    }
    let message = format!("no plan can be made of {name}, and pipe cannot say why: a bug in pipe, not in the file");
    Err(CommandError::new(Exit::Bug, message).help("take out what was added last, and report it with the file"))
}

/// Returns a file beside the pipeline as it is found from here, where the pipeline is `name`.
fn shown(name: &str, path: &str) -> String {
    if name.contains('/') { spec::beside(name, path) } else { path.to_owned() }
}

fn exists(files: &ProjectFiles, path: &str) -> bool {
    files.resolve(path).map_or(true, |path| path.exists())
}

/// Returns what the options shared by all commands change in a file.
pub(super) fn overrides(args: &args::Overrides) -> Overrides {
    let pair = |assignment: &super::value::Assignment| (assignment.name.clone(), assignment.value.clone());
    Overrides {
        params: args.params.iter().map(pair).collect(),
        set: args.sets.iter().map(pair).collect(),
        ..Overrides::default()
    }
}

/// Looks at the whole input, before any call; what is wrong with it is said, and the exit code then returned.
///
/// # Errors
/// Output that cannot be written.
pub(super) fn surveyed(
    file: &Path,
    loaded: &Loaded,
    plan: &Plan,
    as_json: bool,
    printer: &mut Printer,
) -> Result<Result<Survey, Exit>, CommandError> {
    match survey(plan) {
        Ok(survey) => Ok(Ok(survey)),
        Err(problems) => {
            say_problems(&problems, printer);
            refuse(file, loaded, Some(&Err(problems)), as_json, printer).map(Err)
        }
    }
}

/// Prints what is wrong with the input on stderr.
pub(super) fn say_problems(problems: &[ItemProblem], printer: &mut Printer) {
    for ItemProblem { place, message, help } in problems {
        printer.complain(&format!("{} {}", paint(RED, "error:"), inert(message)));
        printer.complain(&format!("  --> {}", inert(place)));
        printer.complain(&format!("   = help: {}", inert(help)));
    }
}

/// Returns what `check --format github` says of one file.
pub(super) fn annotations(loaded: &Loaded, problems: &[ItemProblem]) -> Vec<String> {
    let mut lines = diagnostics::to_annotations(&loaded.diagnostics, &|file| loaded.source(file));
    lines.extend(problems.iter().map(|ItemProblem { place, message, help }| {
        format!("::error title=items::{}", diagnostics::escaped(&format!("{place}: {message}\n{help}")))
    }));
    lines
}

/// Returns what `check --json` says of one file.
pub(super) fn report_json(file: &Path, loaded: &Loaded, survey: Option<&Result<Survey, Vec<ItemProblem>>>) -> Value {
    let (cases, problems) = match survey {
        Some(Ok(survey)) => (json!(survey.cases), Vec::new()),
        Some(Err(problems)) => (Value::Null, problems.clone()),
        None => (Value::Null, Vec::new()),
    };
    let problems: Vec<Value> = problems
        .iter()
        .map(|problem| json!({ "place": problem.place, "message": problem.message, "help": problem.help }))
        .collect();
    json!({
        "file": file.display().to_string(),
        "diagnostics": diagnostics::to_json(&loaded.diagnostics, &|file| loaded.source(file)),
        "items": problems,
        "cases": cases,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_refused_without_a_word() {
        let compiled = Compiled { plan: None, diagnostics: Vec::new() };
        let error = never_silent("a.yaml", compiled).map(drop).expect_err("nobody was told anything");
        assert_eq!(error.exit(), Exit::Bug);
        assert!(error.in_a_line().contains("a.yaml"), "{error}");
        let told = Compiled { plan: None, diagnostics: vec![Diagnostic::error(code::FILE, "there is no file")] };
        assert!(never_silent("a.yaml", told).is_ok());
    }
}
