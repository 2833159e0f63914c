//! Files that use none of the keys of issue 08 keep the hash of their plan: nothing that was paid is asked again.

use std::fs;

use crate::project::Project;

/// Shipped pipelines and the hash of their plan, as `pipe` 0.1.0 wrote it before there was `reasoning` or `headers`.
///
/// To measure again: `git checkout d5f3e5b`, `pipe run FILE --backend sim --limit 1`, and `plan:` of `pipeline.lock.yaml`
/// in the run's folder. A hash may change with the file that it is of, never with the program.
const PLANS: &[(&str, &str)] = &[
    ("chat.yaml", "225dda7882df003b568e8775ef69870a"),
    ("combined_prompt.yaml", "2afcb68f3bfc0f318ab777a10fe1218d"),
    ("debate.yaml", "1e0e7550dd15f0c9b8ab2a06a884d456"),
    ("interview.yaml", "594cb7faa05e08289a199a27da164541"),
    ("languages.yaml", "8fbded46adc212fd322f54ac09a39ff2"),
    ("model_sweep.yaml", "b758ed071293ad88af6298a1923414bb"),
    ("monte_carlo.yaml", "4383ed7496d3065bf54cc9df99f2e58b"),
    ("panel.yaml", "8e626a219b3e38c17a21608307b9acb6"),
    ("score_candidates.yaml", "affd4589d332e4fe379f79245a8f10dd"),
    ("three_actors.yaml", "f9ef7b86aa61f94fe57a23142d818084"),
];

/// One with the older keys that the shipped ones lack: several backends, prices, stops, sampling, a schema, parts.
const OLDER_KEYS: &str = "\
version: 1
name: older
seed: 7
backends: { one: { base_url: sim }, two: { base_url: sim, api_key: '${SOME_KEY:-}' } }
models:
  small: { backend: one, model: a-1b, price: { input: 1 USD/M, output: 2 USD/M } }
  large: { backend: two, model: b-9b }
actors:
  a: { model: small, system: You are brief., temperature: 0.4, top_p: 0.9, max_tokens: 30, stop: [END] }
  b: { model: large, max_tokens: 40 }
items: { id: id, values: [ { id: x }, { id: y } ] }
stop: { any: [ { budget: { tokens: 5M, cost: 3 USD } }, { errors: { count: 9 } } ] }
limits: { concurrency: 2, retries: { attempts: 4, within: 5m, backoff: 1s..9s }, timeouts: { first_token: 1m } }
steps:
  s: { chat: { actor: a, prompt: 'Say {{ item.id }}.' } }
  t:
    chat: { actor: b, prompt: 'As JSON: {{ steps.s.text }}' }
    schema: { type: object, properties: { n: { type: integer } }, required: [n] }
    on_error: skip
  j: { judge: { actor: b, question: 'Which? {{ steps.s.text }}', choose: [one, two], votes: 3 } }
";
const OLDER_PLAN: &str = "5a8f624200936e17eb21543f823ec66a";

/// The hash of the plan of the only run, which is then forgotten.
fn hash_of(project: &Project, file: &str) -> String {
    project.run(&["run", file, "--backend", "sim", "--limit", "1", "--new", "--quiet"]);
    let folder = project.run_folder();
    let lock = fs::read_to_string(folder.join("pipeline.lock.yaml")).expect("a run keeps its lock file");
    fs::remove_dir_all(folder).expect("the folder goes");
    let line = lock.lines().find_map(|line| line.strip_prefix("plan: "));
    line.expect("the lock file names the plan").to_owned()
}

#[test]
fn plans_of_files_without_the_new_keys_keep_their_hash() {
    let project = Project::with_pipelines();
    for (name, hash) in PLANS {
        assert_eq!(hash_of(&project, &format!("pipelines/{name}")), *hash, "{name}");
    }
    let shipped = fs::read_dir(project.path("pipelines")).expect("they are there");
    let paths = shipped.map(|entry| entry.expect("readable").path());
    let pipelines = paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).count();
    assert_eq!(pipelines, PLANS.len(), "every shipped pipeline is here");
    project.write("older.yaml", OLDER_KEYS);
    assert_eq!(hash_of(&project, "older.yaml"), OLDER_PLAN);
}
