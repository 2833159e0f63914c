//! A directory of pipelines as what is to be: its `pipe.yaml`, or every pipeline in it once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::diagnostics;
use super::exit::{CommandError, Exit};
use super::files::ProjectFiles;
use super::pipeline::{self, Loaded};
use super::printer::Printer;
use super::stdin;
use crate::diag::{Diagnostic, Span, code, has_errors};
use crate::plan::{Overrides, Plan};
use crate::run::{ItemProblem, Survey, survey};
use crate::spec::{BaseUrl, Experiment, ParamValue, Schedule, Spanned, Table, is_yaml, parse_project};

/// The file at a project's root.
pub(super) const FILE: &str = "pipe.yaml";
/// Folders in each other that are looked into.
const DEEPEST: usize = 16;
/// Most files that are looked at: a directory of pipelines is no home folder.
const MOST_FILES: usize = 20_000;
/// Most bytes of a file that are looked at for what tells a pipeline.
const LONGEST: u64 = 1 << 20;

/// A pipeline that is to be run, and with what.
pub(super) struct Entry {
    /// The name of its runs.
    pub(super) name: String,
    /// Its file, as it is found from here.
    pub(super) file: PathBuf,
    /// Its file, as it is found from the project.
    pub(super) shown: String,
    /// What is put in the place of what stands in the file.
    pub(super) overrides: Overrides,
    /// When it is asked anew.
    pub(super) schedule: Option<Schedule>,
    /// How many complete runs are kept; none keeps all.
    pub(super) keep: Option<u64>,
    /// Where its name stands, and where its params do.
    places: Option<(Span, BTreeMap<String, Span>)>,
}

/// What a directory says is to be.
pub(super) struct Project {
    /// The directory.
    pub(super) root: PathBuf,
    /// In the file's order, or by path.
    pub(super) entries: Vec<Entry>,
    /// What is wrong with `pipe.yaml`, or with the names.
    diagnostics: Vec<Diagnostic>,
    /// The name and text of `pipe.yaml`.
    text: Option<(Arc<str>, String)>,
}

/// An entry whose pipeline was read.
pub(super) struct Checked {
    pub(super) entry: Entry,
    pub(super) loaded: Loaded,
    pub(super) survey: Option<Result<Survey, Vec<ItemProblem>>>,
}

impl Checked {
    /// Returns its plan and what its rows are, when nothing is wrong with either.
    pub(super) fn ready(&self) -> Option<(&Arc<Plan>, &Survey)> {
        let survey = self.survey.as_ref()?.as_ref().ok()?;
        self.loaded.plan.as_ref().map(|plan| (plan, survey))
    }
}

/// Tells whether a path on the command line means a project: a directory, or its `pipe.yaml`.
pub(super) fn is_meant(path: &Path) -> bool {
    path.is_dir() || path.file_name().is_some_and(|name| name == FILE)
}

impl Project {
    /// Reads what a directory says; what is wrong with it is kept for [`Self::check`].
    ///
    /// # Errors
    /// There is no such directory, or it cannot be read.
    pub(super) fn find(path: &Path) -> Result<Self, CommandError> {
        let root = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        let unreadable = |path: &Path, error: &std::io::Error| {
            CommandError::new(Exit::InvalidPipeline, format!("cannot read {}: {error}", path.display()))
        };
        let file = if root == Path::new(".") { PathBuf::from(FILE) } else { root.join(FILE) };
        if !path.is_dir() || file.exists() {
            let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
            return Self::listed(root, &file, text).map_err(|error| unreadable(root, &error));
        }
        Self::walked(root).map_err(|error| unreadable(root, &error))
    }

    /// Reads `pipe.yaml`.
    fn listed(root: &Path, file: &Path, text: String) -> std::io::Result<Self> {
        let name: Arc<str> = file.display().to_string().into();
        let (project, mut diagnostics) = parse_project(Arc::clone(&name), &text);
        let files = ProjectFiles::around(file)?;
        let table = project.and_then(|project| project.pipelines.0).unwrap_or_default();
        let entries = table.entries.iter().filter_map(|entry| {
            let experiment = entry.value.as_ref()?;
            listed(root, &files, &entry.name, experiment, &mut diagnostics)
        });
        let entries = entries.collect();
        Ok(Self { root: root.to_owned(), entries, diagnostics, text: Some((name, text)) })
    }

    /// Takes every pipeline below a directory.
    fn walked(root: &Path) -> std::io::Result<Self> {
        let mut files = Vec::new();
        walk(root, 0, &mut files)?;
        files.sort();
        let mut project = Self { root: root.to_owned(), entries: Vec::new(), diagnostics: Vec::new(), text: None };
        for file in files.into_iter().filter(|file| is_pipeline(file)) {
            let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let file = if root == Path::new(".") { PathBuf::from(&shown) } else { file };
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let overrides = Overrides::default();
            project.entries.push(Entry { name, file, shown, overrides, schedule: None, keep: None, places: None });
        }
        Ok(project)
    }

    /// Reads every pipeline and its rows.
    ///
    /// # Errors
    /// A file that cannot be read; what is wrong inside of files is among the diagnostics.
    pub(super) fn check(mut self) -> Result<Checks, CommandError> {
        let mut checked = Vec::new();
        for mut entry in std::mem::take(&mut self.entries) {
            let mut loaded = pipeline::load(&entry.file, &entry.overrides, false)?;
            if let Some(plan) = &loaded.plan {
                // Without `pipe.yaml`, runs are named as `pipe run` names them.
                entry.name.clone_from(&plan.name);
            }
            Self::point_here(&entry, &mut loaded.diagnostics);
            let is_piped = loaded.plan.as_deref().is_some_and(stdin::wants);
            if is_piped {
                let diagnostic = Diagnostic::error(code::FILE, format!("{} reads its items from stdin", entry.shown));
                self.diagnostics.push(
                    diagnostic
                        .at(&entry.place(), "")
                        .help("`pipe run FILE < rows.jsonl` does that; here name a file"),
                );
            }
            let plan = loaded.plan.clone().filter(|_| !is_piped && !has_errors(&loaded.diagnostics));
            let survey = plan.as_deref().map(survey);
            if let (Some(plan), Some(Ok(survey))) = (&plan, &survey) {
                loaded.add_missing_columns(plan, survey);
                loaded.add_missing_folder(plan);
            }
            checked.push(Checked { entry, loaded, survey });
        }
        self.refuse_doubles(&checked);
        Ok(Checks { root: self.root, text: self.text, diagnostics: self.diagnostics, pipelines: checked })
    }

    /// Refuses two pipelines whose runs or results nobody could tell apart.
    fn refuse_doubles(&mut self, checked: &[Checked]) {
        let mut names: BTreeMap<&str, &Entry> = BTreeMap::new();
        let mut places: BTreeMap<&Path, &Entry> = BTreeMap::new();
        for Checked { entry, loaded, .. } in checked {
            if let Some(other) = names.insert(&entry.name, entry) {
                let message = format!("{} and {} are both named `{}`", other.shown, entry.shown, entry.name);
                let diagnostic = Diagnostic::error(code::BAD_NAME, message).at(&entry.place(), "");
                self.diagnostics.push(diagnostic.help("give one of them another `name`"));
            }
            let results = loaded.plan.as_ref().and_then(|plan| plan.results.as_ref());
            let Some(results) = results.filter(|results| !results.path.as_os_str().is_empty()) else { continue };
            if let Some(other) = places.insert(&results.path, entry) {
                let message = format!("`{}` and `{}` write their results to one file", other.name, entry.name);
                let diagnostic = Diagnostic::error(code::FILE, message).at(&entry.place(), "");
                self.diagnostics
                    .push(diagnostic.help(format!("give one of them its own: out: results/{}.jsonl", entry.name)));
            }
        }
    }

    /// What the command line would have said stands in `pipe.yaml`.
    fn point_here(entry: &Entry, diagnostics: &mut [Diagnostic]) {
        let Some((at, params)) = &entry.places else { return };
        for label in diagnostics.iter_mut().flat_map(|diagnostic| &mut diagnostic.labels) {
            let Some(option) = label.span.file.strip_prefix('-') else { continue };
            let param = option.strip_prefix("p ").and_then(|pair| pair.split_once('=')).map(|(name, _)| name);
            label.span = param.and_then(|name| params.get(name)).unwrap_or(at).clone();
        }
    }
}

/// A project whose pipelines were read.
pub(super) struct Checks {
    /// The directory.
    pub(super) root: PathBuf,
    /// In the project's order.
    pub(super) pipelines: Vec<Checked>,
    text: Option<(Arc<str>, String)>,
    diagnostics: Vec<Diagnostic>,
}

impl Checks {
    /// Says what is wrong, each thing once, and returns the exit code for it.
    pub(super) fn say(&self, printer: &mut Printer) -> Exit {
        let mut all = self.diagnostics.clone();
        for diagnostic in self.pipelines.iter().flat_map(|one| &one.loaded.diagnostics) {
            // Two may be of one file.
            if !all.contains(diagnostic) {
                all.push(diagnostic.clone());
            }
        }
        if !all.is_empty() {
            printer.complain(diagnostics::render(&all, &|file| self.source(file), true).trim_end());
        }
        let mut said = Vec::new();
        for problems in self.pipelines.iter().filter_map(|one| one.survey.as_ref()?.as_ref().err()) {
            if !said.contains(&problems) {
                pipeline::say_problems(problems, printer);
                said.push(problems);
            }
        }
        self.exit()
    }

    /// Returns the exit code for what is wrong.
    pub(super) fn exit(&self) -> Exit {
        let is_wrong = |one: &Checked| has_errors(&one.loaded.diagnostics) || one.ready().is_none();
        let is_wrong = has_errors(&self.diagnostics) || self.pipelines.iter().any(is_wrong);
        if is_wrong { Exit::InvalidPipeline } else { Exit::Done }
    }

    /// Returns what is wrong as GitHub's runners take it for annotations, each thing once.
    pub(super) fn annotations(&self) -> Vec<String> {
        let mut lines = diagnostics::to_annotations(&self.diagnostics, &|file| self.source(file));
        for one in &self.pipelines {
            let problems = one.survey.as_ref().and_then(|survey| survey.as_ref().err());
            for line in pipeline::annotations(&one.loaded, problems.map_or(&[][..], Vec::as_slice)) {
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        lines
    }

    /// Returns what is wrong for programs, a value for each file.
    pub(super) fn to_json(&self) -> Vec<Value> {
        let mut files: Vec<Value> = Vec::new();
        if let Some((name, _)) = &self.text {
            let told = diagnostics::to_json(&self.diagnostics, &|file| self.source(file));
            files.push(json!({ "file": **name, "diagnostics": told, "items": [], "cases": null }));
        }
        for one in &self.pipelines {
            let report = pipeline::report_json(&one.entry.file, &one.loaded, one.survey.as_ref());
            if !files.contains(&report) {
                files.push(report);
            }
        }
        files
    }

    fn source(&self, file: &str) -> Option<String> {
        let own = self.text.as_ref().filter(|(name, _)| **name == *file).map(|(_, text)| text.clone());
        own.or_else(|| self.pipelines.iter().find_map(|one| one.loaded.source(file)))
    }
}

impl Entry {
    /// Returns where it is named.
    fn place(&self) -> Span {
        let file = || Span::new(&self.file.display().to_string().into(), 0..0);
        self.places.as_ref().map_or_else(file, |(at, _)| at.clone())
    }
}

/// Reads one experiment of `pipe.yaml`; none when it was or is reported.
fn listed(
    root: &Path,
    files: &ProjectFiles,
    name: &Spanned<String>,
    experiment: &Experiment,
    report: &mut Vec<Diagnostic>,
) -> Option<Entry> {
    let file = experiment.file.as_ref()?;
    let wrong = |why: String| Diagnostic::error(code::FILE, format!("{}: {why}", file.value.0)).at(&file.span, "");
    match files.resolve(&file.value.0) {
        Err(why) => report.push(wrong(why)),
        Ok(path) if !path.is_file() => {
            report.push(wrong("there is no such file".to_owned()).help("the path is relative to pipe.yaml"));
        }
        Ok(_) => {}
    }
    if !root.join(&file.value.0).is_file() || files.resolve(&file.value.0).is_err() {
        return None;
    }
    let out = experiment.out.as_ref().map(|out| (files.resolve(&out.value.0), out));
    let out = match out {
        None => None,
        Some((Ok(path), _)) => Some(path.display().to_string()),
        Some((Err(why), out)) => {
            report.push(Diagnostic::error(code::FILE, format!("{}: {why}", out.value.0)).at(&out.span, ""));
            None
        }
    };
    let params: Vec<(&Spanned<String>, &ParamValue)> = experiment
        .params
        .as_ref()
        .map(|Table { entries, .. }| {
            entries.iter().filter_map(|entry| Some((&entry.name, entry.value.as_ref()?))).collect()
        })
        .unwrap_or_default();
    let overrides = Overrides {
        name: Some(name.value.clone()),
        params: params.iter().map(|(name, ParamValue(value))| (name.value.clone(), value.value.clone())).collect(),
        seed: experiment.seed.as_ref().map(|seed| seed.value.0),
        repeat: experiment.repeat.as_ref().map(|repeat| repeat.value.0),
        limit: experiment.limit.as_ref().map(|limit| u64::from(limit.value.0.get())),
        backend: experiment.backend.as_ref().map(|backend| written(&backend.value)),
        model: experiment.model.as_ref().map(|model| model.value.0.clone()),
        out,
        ..Overrides::default()
    };
    let spans = params.iter().map(|(name, _)| (name.value.clone(), name.span.clone())).collect();
    let joined = if root == Path::new(".") { PathBuf::from(&file.value.0) } else { root.join(&file.value.0) };
    Some(Entry {
        name: name.value.clone(),
        file: joined,
        shown: file.value.0.clone(),
        overrides,
        schedule: experiment.schedule.as_ref().map(|schedule| schedule.value.clone()),
        keep: experiment.keep.as_ref().map(|keep| u64::from(keep.value.0.get())),
        places: Some((name.span.clone(), spans)),
    })
}

/// Writes a place of models as `--backend` takes it.
fn written(place: &BaseUrl) -> String {
    match place {
        BaseUrl::Auto => "auto".to_owned(),
        BaseUrl::Embedded => "embedded".to_owned(),
        BaseUrl::Sim(0) => "sim".to_owned(),
        BaseUrl::Sim(speed) => format!("sim:{speed}"),
        BaseUrl::Url(url) => url.clone(),
    }
}

/// Finds files of YAML below a folder; hidden folders and links are passed over.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        if kind.is_dir() && depth < DEEPEST {
            walk(&entry.path(), depth + 1, found)?;
        } else if kind.is_file() && is_yaml(name) {
            found.push(entry.path());
        }
        if found.len() > MOST_FILES {
            return Err(std::io::Error::other(format!("more than {MOST_FILES} files of YAML are in it")));
        }
    }
    Ok(())
}

/// Tells a pipeline from other YAML by the keys at its left margin: so a file with a mistake in it is one, too.
fn is_pipeline(file: &Path) -> bool {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    // A pipeline that is no text is told as one that cannot be read.
    let has = |key: &str| text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
    read.is_ok() && has("version") && (has("steps") || has("include")) && !has("services")
}
