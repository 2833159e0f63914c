//! The questions, and what stands in files; that the pipelines run is shown in `tests/it/init.rs`.

use std::fs;

use super::ask::{Found, Question};
use super::files::{Written, files, write};
use super::{Template, check_backend};
use crate::cli::exit::Exit;
use crate::cli::testing::Project;

fn asked<T>(answers: &str, ask: impl FnOnce(&mut Question<'_>) -> T) -> (T, String) {
    let project = Project::new();
    let (mut input, mut printer) = (answers.as_bytes(), project.printer());
    let answer = ask(&mut Question { asks: true, input: &mut input, printer: &mut printer });
    (answer, project.err.take())
}

#[test]
fn a_question_takes_numbers_names_urls_and_enter() {
    let found =
        Found { server: Some("qwen by llama.cpp at http://127.0.0.1:8080/v1".to_owned()), has_embedded: false };
    for (answer, expected) in [
        ("\n", "auto"),
        ("2\n", "sim"),
        ("sim\n", "sim"),
        ("nonsense\n7\n0\n1\n", "auto"),
        (" http://h:1/v1 \n", "http://h:1/v1"),
    ] {
        let (chosen, shown) = asked(answer, |question| question.backend(&found).unwrap());
        assert_eq!(chosen, expected, "{answer:?}");
        assert!(shown.contains("qwen by llama.cpp") && shown.contains("[auto]"), "{shown}");
        assert_eq!(shown.contains("\"nonsense\" is none of them"), answer.starts_with("nonsense"), "{shown}");
    }
    let (chosen, shown) = asked("\n", |question| question.backend(&Found::default()).unwrap());
    assert_eq!(chosen, "sim", "nothing else works here");
    assert!(shown.contains("none is now"), "{shown}");
    let (chosen, _) = asked("3\n", |question| question.template().unwrap());
    assert_eq!(chosen, Template::Chat);
}

#[test]
fn nobody_who_answers_is_an_error_that_names_the_options() {
    for answers in ["", "a\nb\nc\nd\ne\nf\n"] {
        let (refused, _) = asked(answers, |question| question.template().unwrap_err());
        assert_eq!(refused.exit(), Exit::Usage);
    }
}

#[test]
fn backends_stand_in_the_file_and_keys_do_not() {
    let pipeline = |template, backend: &str| files(template, backend).swap_remove(0).text;
    for template in Template::ALL {
        assert!(pipeline(template, "auto").contains("No `backends`"), "{template:?}");
        assert!(pipeline(template, "sim").contains("base_url: sim"));
        assert!(!pipeline(template, "http://127.0.0.1:8080/v1").contains("api_key"));
        let far = pipeline(template, "https://api.example.org/v1");
        assert!(far.contains("https://api.example.org/v1") && far.contains("${OPENAI_API_KEY:-}"), "{far}");
    }
    assert!(check_backend("sim:20").is_ok() && check_backend("https://h/v1").is_ok());
    assert_eq!(check_backend("ollama").unwrap_err().exit(), Exit::Usage);
}

#[test]
fn nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let new = files(Template::Debate, "sim");
    fs::write(folder.path().join("motions.jsonl"), "mine").unwrap();
    let refused = write(folder.path(), &new, false).unwrap_err();
    assert!(refused.to_string().contains("motions.jsonl is there already"), "{refused}");
    assert!(!folder.path().join("debate.yaml").exists(), "all or nothing");
    assert_eq!(write(folder.path(), &new, true).unwrap(), [Written::New; 5]);
    assert_eq!(write(folder.path(), &new, false).unwrap(), [Written::Same; 5]);

    // A .gitignore is somebody's own: it gets the one line that is missing.
    fs::write(folder.path().join(".gitignore"), "target").unwrap();
    assert_eq!(write(folder.path(), &new, false).unwrap()[4], Written::Added);
    assert_eq!(fs::read_to_string(folder.path().join(".gitignore")).unwrap(), "target\n.pipe/\n");
    assert_eq!(write(folder.path(), &new, false).unwrap()[4], Written::Same);
}
