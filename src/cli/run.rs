//! `pipe run`: check, plan, execute.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::args::{Choice, DurabilityChoice, RunArgs, Session};
use super::earlier::Earlier;
use super::engage::{self, Engagement};
use super::exit::{CommandError, Exit, with_causes};
use super::kept::Kept;
use super::output::Output;
use super::pipeline::{self, Loaded};
use super::printer::Printer;
use super::provenance::Origin;
use super::resume::Going;
use super::value::SeedChoice;
use super::{connect, metrics, place, resolved, resume, reuse, sampling, spans, stdin};
use crate::base::Digest;
use crate::engine::{Engine, Input, Options};
use crate::event::{BackendResolved, FORMAT, RunStarted};
use crate::journal::{Home, RunDir, Sqlite, Text};
use crate::plan::{Overrides, Plan};
use crate::run::{Clock, Survey};
use crate::spec::CacheUse;

/// Runs a pipeline.
///
/// # Errors
/// Whatever keeps the run from starting; how it ends is an exit code.
pub(super) async fn run(args: &RunArgs, printer: &mut Printer) -> Result<Exit, CommandError> {
    if args.session.quiet {
        printer.hush();
    }
    let mut overrides = overrides(&args.choice, &args.overrides, args.out.as_deref());
    let cache = [(args.no_cache, "false"), (args.refresh_cache, "refresh")];
    let cache = cache.iter().filter(|(is_wanted, _)| *is_wanted);
    overrides.set.extend(cache.map(|(_, word)| ("cache".to_owned(), (*word).to_owned())));
    let mut loaded = pipeline::load(&args.file, &overrides, args.overrides.allow_outside)?;
    loaded.say(printer);
    let json = args.session.json;
    let Some(mut plan) = loaded.plan.take() else {
        return pipeline::refuse(&args.file, &loaded, None, json, printer);
    };
    let home = place::home_of(&args.file);
    let spool = stdin::take(&mut plan, &home)?;
    let survey = match pipeline::surveyed(&args.file, &loaded, &plan, json, printer)? {
        Ok(survey) => survey,
        Err(exit) => return Ok(exit),
    };
    loaded.diagnostics.clear();
    loaded.add_missing_columns(&plan, &survey);
    loaded.say(printer);
    let Loaded { text, read, .. } = loaded;
    if args.dry_run {
        let earlier = earlier(args, &home, &plan, printer)?;
        return super::plan::say(&plan, earlier.as_ref(), &home, args.session.json, printer);
    }
    if !args.new && args.reuse.is_none() {
        let unfinished = place::unfinished(&home, &args.file)?;
        if let Some(found) = unfinished
            && (args.resume || resume::wanted_instead(&found, printer)?)
        {
            if found.overrides != overrides {
                let message = format!("{} began with other options than these", found.dir.id);
                let help =
                    format!("`pipe resume {}` goes on with its own; --new starts a run with these", found.dir.id);
                return Err(CommandError::new(Exit::Usage, message).help(help));
            }
            let origin = Origin::Around { require_clean: args.require_clean };
            let going = Going { sets: Vec::new(), wish: None, origin };
            return resume::take_up(&found.dir, going, &args.session, printer).await;
        }
    }
    if args.resume {
        let message = format!("no unfinished run of {} is here", args.file.display());
        return Err(
            CommandError::new(Exit::Usage, message).help("leave --resume out to start one, or see `pipe runs`")
        );
    }
    let earlier = earlier(args, &home, &plan, printer)?;
    let kept = Kept {
        overrides,
        allow_outside: args.overrides.allow_outside,
        force: args.force,
        power_safe: matches!(args.durability, DurabilityChoice::Power),
        reuse: None,
        input: None,
    };
    let beginning = Beginning {
        plan,
        text,
        read,
        file: &args.file,
        home: &home,
        survey,
        kept,
        earlier,
        origin: Origin::Around { require_clean: args.require_clean },
        models: None,
        session: &args.session,
    };
    let begun = begin(beginning, printer).await;
    drop(spool);
    begun.map(|begun| begun.exit)
}

/// Everything that a new run is made of.
pub(super) struct Beginning<'a> {
    pub(super) plan: Arc<Plan>,
    pub(super) text: String,
    pub(super) read: BTreeMap<String, Arc<str>>,
    pub(super) file: &'a Path,
    pub(super) home: &'a Home,
    pub(super) survey: Survey,
    pub(super) kept: Kept,
    /// The run whose answers count where the same is asked.
    pub(super) earlier: Option<Earlier>,
    /// What is known of the commit that its file is of.
    pub(super) origin: Origin,
    /// What each backend has to stand for; none where it may be found anew.
    pub(super) models: Option<&'a [BackendResolved]>,
    pub(super) session: &'a Session,
}

/// A run that was seen to its end, or to a stop.
pub(super) struct Begun {
    pub(super) dir: RunDir,
    pub(super) exit: Exit,
}

/// Starts a new run and sees it to its end.
///
/// # Errors
/// Whatever keeps it from starting; how it ends is an exit code.
pub(super) async fn begin(beginning: Beginning<'_>, printer: &mut Printer) -> Result<Begun, CommandError> {
    let Beginning { mut plan, text, read, file, home, survey, mut kept, earlier, origin, models, session } =
        beginning;
    let output = Output::plan(&plan, &kept, None, home, session.prints_rows(), printer)?;
    let (provenance, connected) =
        tokio::try_join!(origin.find(file), connect::backends(&plan, models, Some(home.path()), printer))?;
    let mut connected = connected;
    if let Some(models) = models {
        connect::same_models(models, &connected, printer)?;
        connect::as_before(models, &mut connected);
    }
    let outlets = metrics::outlets(session, printer).await?;
    let telling = spans::telling(session.trace_to.as_deref(), &plan)?;
    let traced = spans::traced(&plan, survey.cases);
    let resolved: Vec<BackendResolved> = connected.iter().map(|one| one.resolved.clone()).collect();
    let reuse = match &earlier {
        Some(earlier) => reuse::prepare(earlier, &plan, &resolved, printer)?,
        None => None,
    };
    kept.input = Some((survey.cases, survey.digest));
    kept.reuse = reuse.as_ref().map(|reuse| reuse.run().clone());

    let clock = Clock::start(None);
    let devices = sampling::devices(session.gpu, &resolved, clock, printer).await?;
    let dir = home.create_run(&plan.name, clock.now()).map_err(|error| CommandError::journal(&error))?;
    let lock = dir.lock().map_err(|error| CommandError::journal(&error))?;
    stdin::settle(&mut plan, &dir)?;
    let log =
        Sqlite::create(&dir.journal_path(), kept.durability()).map_err(|error| CommandError::journal(&error))?;

    let (source, files, mut first_texts) = recorded(text, &read);
    let defaults = plan.steps.iter().flat_map(|step| step.course.on_error.texts());
    first_texts.extend(defaults.map(|text| Text::of(Arc::clone(text))));
    let started = RunStarted {
        format: FORMAT,
        name: plan.name.clone(),
        plan: plan.hash,
        source,
        files,
        file: absolute(file),
        overrides: kept.to_json().map_err(|error| CommandError::new(Exit::Bug, with_causes(&error)))?,
        seed: plan.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        backends: resolved,
        cases: plan.evidence.is_some().then_some(survey.cases),
        prices: plan.prices(),
        cell_prices: plan.cell_prices(),
        traced: Some(traced),
        provenance: Some(provenance),
        gpu: devices.seen.clone(),
    };
    let lock_file = resolved::yaml(&resolved::lock(&plan, &started))
        .map_err(|error| CommandError::new(Exit::Bug, with_causes(&error)))?;
    std::fs::write(dir.path.join("pipeline.lock.yaml"), lock_file)?;
    let slots: Vec<u32> = connected.iter().map(|one| one.resolved.slots).collect();
    let engine = Engine::new(Arc::clone(&plan), Options { slots, grace: session.grace });
    let begun = dir.clone();
    let engagement = Engagement {
        plan,
        connected,
        earlier: None,
        dir,
        lock,
        log: Box::new(log),
        engine,
        first: vec![Input::Begin(Box::new(started))],
        first_texts,
        reuse,
        total: survey.cases,
        output,
        session: session.clone(),
        clock,
        devices,
        outlets,
        telling,
        traced,
    };
    let exit = Box::pin(engage::engage(engagement, printer)).await?;
    Ok(Begun { dir: begun, exit })
}

/// Returns the run whose answers may count.
fn earlier(args: &RunArgs, home: &Home, plan: &Plan, printer: &mut Printer) -> Result<Option<Earlier>, CommandError> {
    match &args.reuse {
        Some(reference) => Earlier::named(home, reference).map(Some),
        // Whoever wants new answers wants them of the model.
        None if args.new || plan.cache == CacheUse::Refresh => Ok(None),
        None => newest(home, plan, printer),
    }
}

/// Returns the newest run of this pipeline; one that nobody can read any more is told and left alone.
pub(super) fn newest(home: &Home, plan: &Plan, printer: &mut Printer) -> Result<Option<Earlier>, CommandError> {
    Earlier::newest(home, &plan.name).or_else(|error| {
        printer.say(&format!("nothing is reused: {error}"));
        Ok(None)
    })
}

/// Returns what the journal keeps of a pipeline's texts, and the texts.
pub(super) fn recorded(
    text: String,
    read: &BTreeMap<String, Arc<str>>,
) -> (Digest, BTreeMap<String, Digest>, Vec<Text>) {
    let source = Text::of(text);
    let digest = source.digest;
    let texts = read.values().map(|text| Text::of(Arc::clone(text)));
    let texts: Vec<Text> = std::iter::once(source).chain(texts).collect();
    let files = read.iter().map(|(path, text)| (path.clone(), Digest::of(text.as_bytes())));
    (digest, files.collect(), texts)
}

/// Returns what a command line changes in a file.
pub(super) fn overrides(choice: &Choice, args: &super::args::Overrides, out: Option<&Path>) -> Overrides {
    Overrides {
        seed: choice.seed.map(SeedChoice::number),
        repeat: choice.repeat.and_then(std::num::NonZeroU32::new),
        limit: choice.limit,
        backend: choice.backend.clone(),
        model: choice.model.clone(),
        concurrency: choice.concurrency.and_then(std::num::NonZeroU32::new),
        out: out.map(absolute),
        ..pipeline::overrides(args)
    }
}

/// A resume may start in another folder.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}
