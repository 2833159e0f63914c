//! Large files: what a step costs does not grow with the number of steps, right or wrong.

use std::fmt::Write as _;
use std::sync::Arc;

use pipe::cli::diagnostics::{render, to_json};
use pipe::plan::{Compiled, Overrides, Surroundings, compile};

/// Steps that each read the one before, and wait for the first.
fn file(steps: usize, field: &str) -> String {
    let mut yaml =
        String::from("version: 1\nactors: { a: {} }\nsteps:\n  s0: { chat: { actor: a, prompt: Hello } }\n");
    for step in 1..steps {
        let before = step - 1;
        writeln!(
            yaml,
            "  s{step}:\n    after: [s0]\n    chat: {{ actor: a, prompt: \"{{{{ steps.s{before}.{field} | upper }}}}\" }}"
        )
        .expect("a string takes text");
    }
    yaml
}

fn compiled(yaml: &str) -> Compiled {
    let around = Surroundings {
        env: &|_| None,
        read_text: &|_| Err("there are no files".to_owned()),
        resolve: &|path| Ok(path.into()),
        list: &|path| Ok(vec![path.into()]),
    };
    compile(Arc::from("f.yaml"), yaml, &Overrides::default(), &around)
}

#[test]
fn five_thousand_steps_compile_in_their_order() {
    let Compiled { plan, diagnostics } = compiled(&file(5_000, "text"));
    assert!(diagnostics.is_empty(), "{:?}", diagnostics[0]);
    let plan = plan.expect("nothing is wrong");
    assert_eq!(plan.steps.len(), 5_000);
    assert!(plan.steps.iter().enumerate().all(|(place, step)| step.name.as_str() == format!("s{place}")));
    assert!(plan.steps[1..].iter().all(|step| step.reads.len() == 1 && step.after.len() <= 2));
}

#[test]
fn five_thousand_mistakes_are_told_with_their_places() {
    for (field, wrong) in [("txt", "steps.s0.txt"), ("text.x | upperr", "upperr"), ("text }}{{ nothing", "nothing")] {
        let yaml = file(5_000, field);
        let found = compiled(&yaml).diagnostics;
        assert_eq!(found.len(), 4_999, "{field}");
        let place = &found[0].labels[0].span;
        assert_eq!(&yaml[place.start..place.end], wrong);
        let source_of = |_: &str| Some(yaml.clone());
        assert!(render(&found, &source_of, false).contains("4999 errors, 4899 of them not shown"));
        assert_eq!(to_json(&found, &source_of)[4_998]["line"], 15_001);
    }
    let missing = compiled(&file(5_000, "text").replace("after: [s0]", "after: [t0]")).diagnostics;
    assert_eq!(missing.len(), 4_999);
}

#[test]
fn one_large_value_costs_no_more_than_many_small_ones() {
    let rest = "version: 1\nactors: { a: {} }\nsteps: { s: { chat: { actor: a, prompt: PROMPT } } }\n";
    let reads = (0..8_000).map(|n| format!("{{{{ item.c{n} or {n} }}}} ")).collect::<Vec<_>>().concat();
    assert!(compiled(&rest.replace("PROMPT", &format!("\"{reads}\""))).plan.is_some());
    assert!(compiled(&rest.replace("PROMPT", &format!("\"{}\"", "${".repeat(200_000)))).plan.is_some());
    let options = (0..40_000).map(|n| format!("o{n}, ")).collect::<Vec<_>>().concat();
    let judge = format!("judge: {{ actor: a, question: Which?, choose: [{options}] }}");
    assert!(compiled(&rest.replace("chat: { actor: a, prompt: PROMPT }", &judge)).plan.is_some());
    let keys = (0..30_000).map(|n| format!("key{n}: 1\n")).collect::<Vec<_>>().concat();
    assert_eq!(compiled(&(rest.replace("PROMPT", "Hello") + &keys)).diagnostics.len(), 30_000);
}
