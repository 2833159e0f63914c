//! What the parts of `pipe` cost alone: `cargo bench`, or one of them: `cargo bench -- journal`.
//!
//! Times mean little on a shared machine; rows of one table, measured in one run, can be compared.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use divan::Bencher;
use divan::counter::ItemsCount;
use flate2::Compression;
use flate2::write::GzEncoder;
use pipe::base::{
    ActorName, AttemptNo, BackendName, CallPath, CaseNo, Digest, ItemId, StepName, Timestamp, TokenCount,
};
use pipe::event::{
    Answer, AttemptEnded, AttemptId, AttemptStarted, BackendResolved, CaseAdmitted, CaseSettled, CaseStatus, Event,
    FORMAT, Facts, FinishReason, Message, Outcome, Recorded, RunStarted, Sampled, TaskOutput, TaskSettled,
    TaskStatus, Timings, Usage,
};
use pipe::gpu::{Replay, Sampler, TICK_US};
use pipe::journal::{Batch, Durability, EventLog, EventSeq, Reader, Sqlite, Text};
use pipe::prompt::Templates;
use pipe::report::Tally;
use pipe::telemetry::{Settings, spans_of, wire_request, wire_span};

fn main() {
    divan::main();
}

/// Cases of a journal, each of one call: five events.
const CASES: u64 = 2_000;
const EVENTS: u64 = 5 * CASES + 1;
/// Words of a row.
const WORDS: [usize; 2] = [40, 500];

/// A text of its own for each number.
fn words(number: u64, count: usize) -> String {
    let mut draw = Digest::of(&number.to_le_bytes()).low_bits();
    let mut text = String::new();
    for _ in 0..count {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(
            ["the ", "parcel ", "was ", "late ", "again ", "who ", "answers ", "for "][(draw >> 61) as usize],
        );
    }
    text
}

fn at(number: u64, event: Event) -> Recorded {
    Recorded { at: Timestamp(1_700_000_000_000_000 + number.cast_signed()), event }
}

/// How a run begins.
fn begun() -> Batch {
    let source = Text::of("version: 1");
    let auto = BackendName::from("auto");
    let started = RunStarted {
        format: FORMAT,
        name: "parts".to_owned(),
        plan: Digest::of(b"plan"),
        source: source.digest,
        files: std::collections::BTreeMap::new(),
        file: "parts.yaml".to_owned(),
        overrides: serde_json::Value::Null,
        seed: 0,
        version: "0".to_owned(),
        backends: vec![BackendResolved {
            backend: auto,
            endpoint: "http://127.0.0.1:1/v1".to_owned(),
            server: "llama.cpp".to_owned(),
            slots: 4,
            models: vec![("auto".into(), "tiny".into())],
            memory: Vec::new(),
            version: None,
            digests: Vec::new(),
            lacks: pipe::event::Features::NONE,
            models_lack: Vec::new(),
        }],
        cases: None,
        prices: std::collections::BTreeMap::new(),
        cell_prices: Vec::new(),
        traced: None,
        provenance: None,
        gpu: None,
    };
    Batch { events: [at(0, Event::RunStarted(started))].into(), texts: vec![source], checkpoint: None }
}

/// What one case comes to: its row of so many words, a prompt that holds it, an answer.
fn case(number: u64, count: usize) -> Batch {
    let case = CaseNo(number);
    let row = Text::of(words(number, count)).in_case(case);
    let prompt = Text::of(format!("Summarise this.\n{}", row.body)).in_case(case);
    let answer = Text::of(words(number, 20)).in_case(case);
    let step = StepName::from("say");
    let id = AttemptId { case, step: step.clone(), each: None, call: CallPath::from("say"), attempt: AttemptNo(1) };
    let usage = Usage { input: Some(TokenCount(500)), output: Some(TokenCount(30)), cached: None, reasoning: None };
    let admitted = CaseAdmitted {
        case,
        item: ItemId::from(format!("item-{number}").as_str()),
        repeat: 1,
        matrix: serde_json::Map::new(),
        row: row.digest,
    };
    let started =
        AttemptStarted { id: id.clone(), actor: ActorName::from("writer"), backend: BackendName::from("auto") };
    let ended = AttemptEnded {
        id,
        request: vec![Message("user".into(), prompt.digest)],
        outcome: Outcome::Answered(Answer {
            text: answer.digest,
            finish: FinishReason::Stop,
            model: Some("tiny".to_owned()),
            id: None,
            thought: None,
            reason: None,
            prompt_about: None,
            facts: Facts::default(),
        }),
        usage,
        estimated: Usage::default(),
        timings: Timings { queued_us: 5, first_token_us: Some(90_000), total_us: 450_000, claimed: None },
        charged: true,
        retry_at: None,
        from_cache: None,
    };
    let settled = TaskSettled {
        case,
        step,
        status: TaskStatus::Ok,
        because: None,
        output: Some(TaskOutput::Chat { text: answer.digest }),
        failure: None,
        usage,
        busy_ms: 450,
    };
    let over = CaseSettled { case, status: CaseStatus::Ok, observed: Vec::new() };
    let events = vec![
        at(number, Event::CaseAdmitted(admitted)),
        at(number, Event::AttemptStarted(started)),
        at(number + 9, Event::AttemptEnded(ended)),
        at(number + 9, Event::TaskSettled(settled)),
        at(number + 9, Event::CaseSettled(over)),
    ];
    Batch { events: events.into(), texts: vec![row, prompt, answer], checkpoint: None }
}

fn batches(count: usize) -> Vec<Batch> {
    std::iter::once(begun()).chain((0..CASES).map(|number| case(number, count))).collect()
}

fn written(folder: &Path, batches: &[Batch]) -> std::path::PathBuf {
    let path = folder.join("journal.db");
    let mut log = Sqlite::create(&path, Durability::Process).expect("a new file");
    // As the writer groups them under load.
    for group in batches.chunks(800) {
        log.append(group).expect("there is room");
    }
    log.finish().expect("it folds");
    path
}

/// Writing what happened, in groups of some 4,000 events, by words of a row; beside it, the same as lines of JSON.
#[divan::bench_group(sample_count = 10, sample_size = 1)]
mod journal {
    use super::{
        Bencher, BufWriter, EVENTS, EventSeq, File, ItemsCount, Reader, Recorded, Tally, WORDS, Write, batches,
        written,
    };

    #[divan::bench(args = WORDS)]
    fn append(bencher: Bencher, count: usize) {
        let batches = batches(count);
        bencher
            .counter(ItemsCount::new(EVENTS))
            .with_inputs(|| tempfile::tempdir().expect("a folder"))
            .bench_refs(|folder| written(folder.path(), &batches));
    }

    #[divan::bench(args = WORDS)]
    fn lines_of_json(bencher: Bencher, count: usize) {
        let batches = batches(count);
        bencher.counter(ItemsCount::new(EVENTS)).with_inputs(|| tempfile::tempdir().expect("a folder")).bench_refs(
            |folder| {
                let mut file = BufWriter::new(File::create(folder.path().join("lines")).expect("a new file"));
                for batch in &batches {
                    batch.texts.iter().for_each(|text| writeln!(file, "{}", text.body).expect("there is room"));
                    batch
                        .events
                        .iter()
                        .for_each(|one| writeln!(file, "{}", one.event.encode()).expect("there is room"));
                }
                file.flush().expect("there is room");
            },
        );
    }

    /// What a display of a resumed run does first.
    #[divan::bench]
    fn tally(bencher: Bencher) {
        let folder = tempfile::tempdir().expect("a folder");
        let reader = Reader::open(&written(folder.path(), &batches(40))).expect("a journal");
        bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
            let mut tally = Tally::default();
            let mut add = |_, recorded: Recorded| {
                tally.add(&recorded);
                Ok(())
            };
            reader.events_after(EventSeq::default(), &mut add).expect("it is whole");
            tally
        });
    }
}

/// A journal → spans → protocol buffers → gzip, on one core, in requests of 512; items are spans.
#[divan::bench(args = WORDS, sample_count = 10, sample_size = 1)]
fn spans(bencher: Bencher, count: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let reader = Reader::open(&written(folder.path(), &batches(count))).expect("a journal");
    let run = pipe::base::RunId::from("parts-1");
    let send = || {
        let (mut spans, mut made, mut sent) = (Vec::new(), 0_u64, 0);
        let mut pack = |spans: &mut Vec<Vec<u8>>| {
            let request = wire_request(&[], spans.iter().map(Vec::as_slice));
            let mut encoder = GzEncoder::new(Vec::with_capacity(request.len() / 4), Compression::fast());
            encoder.write_all(&request).expect("a vector takes all");
            sent += encoder.finish().expect("a vector takes all").len();
            spans.clear();
        };
        let mut visit = |span| {
            made += 1;
            spans.push(wire_span(&span));
            if spans.len() == 512 {
                pack(&mut spans);
            }
            Ok(())
        };
        spans_of(&reader, &run, Settings::default(), None, &mut visit).expect("it is whole");
        pack(&mut spans);
        (made, sent)
    };
    let (made, _) = send();
    bencher.counter(ItemsCount::new(made)).bench_local(send);
}

/// A prompt, rendered.
#[divan::bench(args = WORDS)]
fn render(bencher: Bencher, count: usize) {
    let mut templates = Templates::default();
    let id = templates.add("Summarise this in one sentence.\n{{ item.text }}").expect("a template");
    let context = serde_json::json!({ "item": { "text": words(1, count) } });
    bencher.counter(ItemsCount::new(1_u32)).bench(|| templates.render(id, &context));
}

/// A second of sampling so many devices at the usual rates, from readings of a recording to rows of a journal: milliseconds
/// of it are thousandths of a core. What a driver takes to answer comes on top: `tests/gpu/validate.py` shows it.
#[divan::bench(args = [1, 8], sample_count = 10, sample_size = 30)]
fn a_second_of_devices(bencher: Bencher, count: usize) {
    let mut recording = vec![r#"{"replay":1,"loop_ms":1000}"#.to_owned()];
    recording.extend((0..count).map(|gpu| format!(r#"{{"gpu":{gpu},"name":"L4","memory_mib":23034}}"#)));
    for (gpu, ms) in (0..count).flat_map(|gpu| (0..=1_000).step_by(100).map(move |ms| (gpu, ms))) {
        recording.push(format!(
            r#"{{"ms":{ms},"gpu":{gpu},"energy_mj":{},"busy":90,"power_mw":60000,"memory_mib":9000,"celsius":61,"throttled":["power"],"users":[[7,9000,90]]}}"#,
            ms * 60
        ));
    }
    let elapsed = Arc::new(AtomicI64::new(0));
    let source = Replay::at_times(&recording.join("\n"), Arc::clone(&elapsed)).expect("a recording");
    let began = 1_700_000_000_000_000;
    let (mut sampler, devices) = Sampler::start(Box::new(source), Timestamp(began)).expect("devices");
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = Sqlite::create(&folder.path().join("journal.db"), Durability::Process).expect("a new journal");
    log.add_samples(devices.into_iter().map(Sampled::Device).collect());
    bencher.bench_local(|| {
        let mut done = Vec::new();
        for _ in 0..10 {
            let now = elapsed.fetch_add(TICK_US, Ordering::Relaxed) + TICK_US;
            sampler.tick(Timestamp(began + now), &mut done);
        }
        log.add_samples(done);
        log.append(&[]).expect("there is room")
    });
}
