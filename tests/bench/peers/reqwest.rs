//! The same calls as the pipeline of `commit_path`, as one would write them by hand: nothing is kept, nothing retried.
//!
//! `peer BASE_URL ITEMS IN_FLIGHT CHAIN` walks a chain of CHAIN (1 to 3) chat completions for every line of ITEMS, each
//! question holding the answer before it, with IN_FLIGHT chains at a time. Any failure ends it with exit code 1.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One client, as everyone has it who read reqwest's documentation.
struct Server {
    client: reqwest::Client,
    url: String,
    chain: usize,
}

/// Those of the pipeline, to the letter.
const PROMPTS: [&str; 3] = [
    "Summarise this note in one sentence.",
    "Name the weakest point of this summary.",
    "Rewrite the summary so that this no longer holds.",
];

impl Server {
    /// Asks one question.
    async fn ask(&self, prompt: &str) -> Outcome<String> {
        let body = json!({
            "messages": [{ "role": "user", "content": prompt }],
            "model": "bench",
            "max_tokens": 64,
            "seed": 7,
        });
        let response = self.client.post(&self.url).json(&body).send().await?.error_for_status()?;
        let answer: Value = response.json().await?;
        let text = answer["choices"][0]["message"]["content"].as_str();
        Ok(text.ok_or("the answer has no content")?.to_owned())
    }

    /// Walks one chain.
    async fn walk(&self, item: &Value) -> Outcome<()> {
        let mut text = item["text"].as_str().ok_or("an item has no text")?.to_owned();
        for prompt in &PROMPTS[..self.chain] {
            text = self.ask(&format!("{prompt}\n{text}")).await?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base_url, path, in_flight, chain] = arguments.as_slice() else {
        return Err("usage: peer BASE_URL ITEMS IN_FLIGHT CHAIN".into());
    };
    let lines = std::fs::read_to_string(path)?;
    let items = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let items = Arc::new(items);
    let next = Arc::new(AtomicUsize::new(0));
    let chain = chain.parse::<usize>()?.min(PROMPTS.len());
    let url = format!("{base_url}/chat/completions");
    let server = Arc::new(Server { client: reqwest::Client::new(), url, chain });

    let mut chains = JoinSet::new();
    for _ in 0..in_flight.parse::<usize>()? {
        let (items, next, server) = (Arc::clone(&items), Arc::clone(&next), Arc::clone(&server));
        chains.spawn(async move {
            while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                server.walk(item).await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = chains.join_next().await {
        ended??;
    }
    Ok(())
}
