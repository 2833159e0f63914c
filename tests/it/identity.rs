//! What was asked and paid for stays what it is: files that use none of the newer keys keep their hash, their seeds
//! and their fingerprints. The figures below were taken before `headers`, `reasoning` and `extra_body` existed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect_test::{Expect, expect};
use pipe::base::{CallPath, Digest, Hasher, ItemId};
use pipe::cli::files::ProjectFiles;
use pipe::plan::{Fingerprints, Overrides, Plan, StepIdx, Surroundings, Voice, compile, seed_of_call};

fn files_of(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("the folder is part of the repository");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    files
}

fn plan_of(path: &Path) -> Plan {
    let text = std::fs::read_to_string(path).expect("readable");
    let files = ProjectFiles::around(path).expect("its folder exists");
    let env = |_: &str| None;
    let read_text = |path: &str| files.read_text(path);
    let resolve = |path: &str| files.resolve(path);
    let list = |path: &str| files.list(path);
    let around = Surroundings { env: &env, read_text: &read_text, resolve: &resolve, list: &list };
    let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let compiled = compile(Arc::from(name.as_str()), &text, &Overrides::default(), &around);
    compiled.plan.unwrap_or_else(|| panic!("{name}: {:?}", compiled.diagnostics))
}

/// Returns the first digits of a plan's hash, and of one over all that identifies its tasks and their seeds.
fn identity(plan: &Plan) -> (String, String) {
    let voice = Voice { place: "server", model: Arc::from("m") };
    let mut tasks = Hasher::new("identity test");
    for (_, cell) in plan.all_cells() {
        let prints = Fingerprints::of(cell, &vec![voice.clone(); cell.actors.len()]);
        for (place, step) in cell.steps.iter().enumerate() {
            let item = ItemId::from("1");
            let row = serde_json::from_str(r#"{ "a": 1 }"#).expect("an object");
            let output = |_: StepIdx| Some(Digest::of(b"output"));
            let task = prints.task(cell, StepIdx(place), (&item, 1, &row), &output).expect("all outputs are known");
            let seed = seed_of_call(cell.seed, &item, 1, &step.name, "", &CallPath::from("say"));
            tasks = tasks.field(task.as_bytes()).number(u64::from(seed));
        }
    }
    let digits = |digest: Digest| digest.to_string().chars().take(16).collect();
    (digits(plan.hash), digits(tasks.finish()))
}

fn check(folder: &str, but: &[&str], expected: &Expect) {
    let mut found = String::new();
    for path in files_of(folder) {
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        if !but.contains(&name.as_str()) {
            let (plan, tasks) = identity(&plan_of(&path));
            writeln!(found, "{name} {plan} {tasks}").expect("a string takes everything");
        }
    }
    expected.assert_eq(&found);
}

#[test]
fn files_without_the_newer_keys_keep_their_hashes() {
    check(
        "pipelines",
        &[],
        &expect![[r#"
        chat cd49d2b03a1a3f24 566ae637ef81df9b
        combined_prompt fa2810361b303d5b 0a901ee4b0e74c4c
        debate 154d65f5cc4b3cad 8ecd41623a272236
        interview 440bdeda65856899 5a8461c0e9bac51e
        languages 6258c6cd53232530 3a11b37a7f4038c4
        model_sweep 72d00b923f3f99e8 f49b2e9e0a518de2
        monte_carlo 5e91b31ce9559058 bac39f244adae539
        panel ed0930b2564aa74b a05abc8ac236454d
        score_candidates 547e0dc88a9271f1 3b3442a88838d407
        three_actors c26b4b4e2c11beec b70912b1d53b8a28
    "#]],
    );
    check(
        "tests/valid",
        &["reasoning"],
        &expect![[r#"
        cached bba80598dca2b01d a670982bd89ba9bf
        defaults 0d824d75223e5a68 8dc0ca5b6bd379ae
        dialogues df8e7843cb1b567f 091c13346d13b557
        enough 73b27bad29391238 153cb94a9159f042
        everything 0fa8ce56a4f24e2b e654fec0429059ff
        flow 03fc65e11cebbf2c bbe4cd6efb72140e
        included c6489ee02115f183 fd394fd42f93df22
        items_of_csv 8bf49a1eb3ec5f54 2b67c88de05136ab
        items_of_many_files 60480225ddd5a0e5 2b67c88de05136ab
        items_of_stdin 22069ebd8b2774b2 2b67c88de05136ab
        judges a0fbf4e0d6b66052 577757068063256b
        over_all_cases 78a3bc0fcaf37198 7e2e5781c139d4d9
        repeat_until 36b8cb00a3ee0ccf 214559449456e901
        rows_in_a_file 515c9f580f7070df 343a038ded4e4537
        step_limits bd94fd87c2484990 34f2cd5c1c939a2a
        stops ac92a9b20b0b57de a670982bd89ba9bf
        talks b726fcb2ce4335bb 8369568aedb03ede
        talks_with_a_judge 1866d95a2f3f5c25 e1531641bfc18e52
        telling 37b667296bf2f573 a670982bd89ba9bf
    "#]],
    );
}
