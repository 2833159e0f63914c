//! `pipe results`: the rows of a run, of the settled cases of a run that still goes on too.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use super::args::{ResultsArgs, RowFormat};
use super::exit::{CommandError, Exit};
use super::kept::Kept;
use super::output::{Replacement, ToStdout, format_of, layout, table};
use super::pipeline;
use super::printer::Printer;
use super::show::{find, open};
use crate::base::TableFormat;
use crate::event::RunStarted;
use crate::journal::{Home, Reader};
use crate::report::{Layout, Shape};
use crate::run::{Folder, Source, source_of};
use crate::spec::{self, Judge, Step};

/// Writes the rows of a run to stdout or a file.
///
/// # Errors
/// There is no such run, its journal cannot be read, or the output cannot be written.
pub(super) fn results(args: &ResultsArgs, home: &Home, printer: &mut Printer) -> Result<Exit, CommandError> {
    let dir = find(home, &args.run)?;
    let reader = open(&dir)?;
    let layout = layout_of(&reader, printer)?;
    let said = args.format.map(|format| match format {
        RowFormat::Jsonl => TableFormat::JsonLines,
        RowFormat::Csv => TableFormat::Csv,
        RowFormat::Parquet => TableFormat::Parquet,
    });
    match &args.out {
        None if said == Some(TableFormat::Parquet) => {
            let error = CommandError::new(Exit::Usage, "Parquet is no text for a terminal or a pipe");
            return Err(error.help("--out rows.parquet writes it to a file"));
        }
        None => {
            let out = BufWriter::new(ToStdout(printer));
            let format = said.unwrap_or(TableFormat::JsonLines);
            table(&reader, &layout, format, out, &CommandError::from)?.flush()?;
        }
        Some(path) => {
            if path.exists() && !args.force {
                let message = format!("{} exists", path.display());
                return Err(CommandError::new(Exit::Usage, message).help("--force replaces it"));
            }
            let format = said.unwrap_or_else(|| format_of(path));
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Several may write rows of one run at once.
            let beside = format!(".{name}.{}.part", std::process::id());
            let open = Folder::open_followed;
            let new = Replacement { path, format, open: &open, beside: &beside, note: &|_| Ok(()) };
            new.write(&reader, &layout)?;
            printer.say(&format!("results: {}", path.display()));
        }
    }
    Ok(Exit::Done)
}

/// Returns the columns of a run's rows, as its pipeline says.
///
/// The pipeline is compiled again from the journal's own copy. Where that is not possible here (a variable or a file
/// is missing), its text alone tells the steps: good for every column but those that the user renamed.
fn layout_of(reader: &Reader, printer: &mut Printer) -> Result<Layout, CommandError> {
    let journal = |error| CommandError::journal(&error);
    let (_, started) = reader.run_started().map_err(journal)?;
    let source = source_of(reader, &started).map_err(|error| CommandError::journal(&error))?;
    if let Some(layout) = compiled(&started, &source) {
        return Ok(layout);
    }
    let (layout, has_columns) = written(&started, &source);
    if has_columns {
        printer.say("the pipeline cannot be compiled here (`pipe check` tells why): rows have the standard columns");
    }
    Ok(layout)
}

fn compiled(started: &RunStarted, source: &Source) -> Option<Layout> {
    let kept: Kept = serde_json::from_value(started.overrides.clone()).ok()?;
    let file = Path::new(&started.file);
    let loaded = pipeline::compile_again(file, source, &kept.overrides, kept.allow_outside).ok()?;
    loaded.plan.as_deref().map(layout)
}

/// Returns the standard columns by the text alone, and whether it asks for others.
fn written(started: &RunStarted, source: &Source) -> (Layout, bool) {
    let read = |path: &str| {
        let text = source.files.get(path).map(ToString::to_string);
        text.ok_or_else(|| "the journal has no such file".to_owned())
    };
    let (spec, _) = spec::parse_beside(Arc::from(started.file.as_str()), &source.text, &read);
    let Some(spec) = spec else {
        return (Layout::default(), false);
    };
    let entries = spec.steps.iter().flat_map(|steps| &steps.entries);
    let steps = entries.filter_map(|entry| Some((entry.name.value.as_str().into(), shape(entry.value.as_ref()?)?)));
    let has_columns = spec.results.is_some_and(|results| results.columns.is_some());
    let matrix = spec.matrix.iter().flat_map(spec::Matrix::names).map(str::to_owned);
    (Layout { matrix: matrix.collect(), steps: steps.collect(), columns: None }, has_columns)
}

fn shape(step: &Step) -> Option<Shape> {
    let Step { chat, dialogue, judge, schema, .. } = step;
    match (chat, dialogue, judge) {
        (Some(_), ..) if schema.is_some() => Some(Shape::Value),
        (Some(_), ..) => Some(Shape::Chat),
        (_, Some(_), _) => Some(Shape::Dialogue),
        (_, _, Some(Judge { score: Some(_), .. })) => Some(Shape::Score),
        (_, _, Some(Judge { rank: Some(_), .. })) => Some(Shape::Ranking),
        (_, _, Some(Judge { schema: Some(_), .. })) => Some(Shape::Value),
        (_, _, Some(_)) => Some(Shape::Judge),
        (None, None, None) => None,
    }
}
