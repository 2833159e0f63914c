//! A model server that does what a script says: whole or in pieces, with pauses, and with a ledger of what came.

use std::io::{BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::web::{Request, hang};

/// The model that every script serves.
pub(crate) const MODEL: &str = "test-7b";
/// What a server that answers well answers.
pub(crate) const TEXT: &str = "Canberra.";
/// The end of every chat endpoint.
const CHAT: &str = "/chat/completions";

/// A request as a script sees it.
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) body: Value,
    /// Of the requests to a chat endpoint, counted from 1; 0 for any other.
    pub(crate) number: usize,
    /// Since the first request to a chat endpoint.
    pub(crate) since_first: Duration,
}

impl Ask {
    pub(crate) fn path(&self) -> &str {
        self.request.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn is_chat(&self) -> bool {
        self.request.method == "POST" && self.path().ends_with(CHAT)
    }

    pub(crate) fn streams(&self) -> bool {
        self.body["stream"] == true
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.body.get(field).is_some()
    }

    /// The text of the last message.
    pub(crate) fn prompt(&self) -> &str {
        let messages = self.body["messages"].as_array();
        messages.and_then(|all| all.last()).and_then(|last| last["content"].as_str()).unwrap_or_default()
    }
}

/// A part of a body, or what happens between two of them.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Bytes(Vec<u8>),
    Pause(Duration),
    /// The connection is cut.
    Drop,
    /// The connection stays open, and nothing more comes.
    Hang,
}

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    parts: Vec<Part>,
    good: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, kind: &str, body: impl AsRef<[u8]>) -> Self {
        let headers = if kind.is_empty() { vec![] } else { vec![("content-type".to_owned(), kind.to_owned())] };
        Self { status, headers, parts: vec![Part::Bytes(body.as_ref().to_vec())], good: false }
    }

    pub(crate) fn json(status: u16, body: impl AsRef<str>) -> Self {
        Self::new(status, "application/json", body.as_ref())
    }

    pub(crate) fn page(status: u16, title: &str) -> Self {
        let page =
            format!("<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>");
        Self::new(status, "text/html", page)
    }

    /// A stream of events, in parts.
    pub(crate) fn stream(parts: Vec<Part>) -> Self {
        Self { status: 200, headers: vec![("content-type".into(), "text/event-stream".into())], parts, good: false }
    }

    /// The connection is closed before a header comes.
    pub(crate) fn closes() -> Self {
        Self { status: 0, headers: vec![], parts: vec![Part::Drop], good: false }
    }

    /// No header ever comes.
    pub(crate) fn hangs() -> Self {
        Self { status: 0, headers: vec![], parts: vec![Part::Hang], good: false }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn labelled(mut self, kind: &str) -> Self {
        self.headers.retain(|(name, _)| name != "content-type");
        self.header("content-type", kind)
    }

    /// An answer that must not be asked for again.
    pub(crate) fn good(mut self) -> Self {
        self.good = true;
        self
    }

    /// A whole response that is no answer: what it was for may be asked again.
    pub(crate) fn no_answer(mut self) -> Self {
        self.good = false;
        self
    }

    /// Replaces the body by the whole of it, packed.
    pub(crate) fn packed(mut self, pack: fn(&[u8]) -> Vec<u8>) -> Self {
        let mut whole = Vec::new();
        for part in &self.parts {
            if let Part::Bytes(bytes) = part {
                whole.extend_from_slice(bytes);
            }
        }
        self.parts = vec![Part::Bytes(pack(&whole))];
        self
    }

    /// Sends the body in two pieces.
    pub(crate) fn halved(mut self) -> Self {
        if let [Part::Bytes(body)] = &self.parts[..] {
            let (one, other) = body.split_at(body.len() / 2);
            self.parts = vec![Part::Bytes(one.to_vec()), Part::Bytes(other.to_vec())];
        }
        self
    }

    /// Bytes of the body.
    pub(crate) fn length(&self) -> usize {
        let bytes = |part: &Part| if let Part::Bytes(bytes) = part { bytes.len() } else { 0 };
        self.parts.iter().map(bytes).sum()
    }

    /// Writes it; false when the connection is over.
    fn write(&self, reader: BufReader<TcpStream>, stream: &mut TcpStream) -> Option<BufReader<TcpStream>> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status == 0 {
            if matches!(self.parts[..], [Part::Hang]) {
                hang(reader);
            }
            stream.shutdown(Shutdown::Both).ok();
            return None;
        }
        if let [Part::Bytes(body)] = &self.parts[..] {
            head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
            stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
            return Some(reader);
        }
        head.push_str("transfer-encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => {
                    let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
                    stream.write_all(&chunk).ok()?;
                }
                Part::Pause(pause) => std::thread::sleep(*pause),
                Part::Drop => {
                    stream.shutdown(Shutdown::Both).ok();
                    return None;
                }
                Part::Hang => {
                    hang(reader);
                    return None;
                }
            }
        }
        stream.write_all(b"0\r\n\r\n").ok()?;
        Some(reader)
    }
}

/// A line of an event stream.
pub(crate) fn data(value: &Value) -> Part {
    Part::Bytes(format!("data: {value}\n\n").into_bytes())
}

/// Bytes as they are.
pub(crate) fn raw(text: &str) -> Part {
    Part::Bytes(text.as_bytes().to_vec())
}

/// A chunk of a stream with one choice.
pub(crate) fn chunk(delta: &Value, finish: &Value) -> Part {
    data(&json!({ "object": "chat.completion.chunk", "model": MODEL,
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] }))
}

/// An answer in the server's usual shapes, whole or streamed as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    message: Value,
    finish: Value,
    /// More fields of the choice.
    choice: Value,
    usage: Value,
}

impl Answer {
    pub(crate) fn text(text: &str) -> Self {
        Self::message(json!({ "content": text }))
    }

    /// One of which the fields of the message are given.
    pub(crate) fn message(message: Value) -> Self {
        let usage = json!({ "prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25 });
        Self { message, finish: json!("stop"), choice: json!({}), usage }
    }

    pub(crate) fn finish(mut self, reason: impl Into<Value>) -> Self {
        self.finish = reason.into();
        self
    }

    pub(crate) fn choice(mut self, fields: Value) -> Self {
        self.choice = fields;
        self
    }

    pub(crate) fn usage(mut self, usage: Value) -> Self {
        self.usage = usage;
        self
    }

    /// The body of the whole answer.
    pub(crate) fn whole(&self) -> Value {
        let mut message = json!({ "role": "assistant" });
        merge(&mut message, &self.message);
        let mut choice = json!({ "index": 0, "message": message, "finish_reason": self.finish });
        merge(&mut choice, &self.choice);
        json!({ "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice],
            "usage": self.usage })
    }

    /// The events of the streamed answer: texts in pieces of three letters, anything else at once.
    pub(crate) fn events(&self) -> Vec<Value> {
        let event = |choices: Value| {
            json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL,
                "choices": choices })
        };
        let delta = |delta: Value| event(json!([{ "index": 0, "delta": delta, "finish_reason": null }]));
        let mut events = vec![delta(json!({ "role": "assistant" }))];
        for (field, value) in self.message.as_object().expect("a message is an object") {
            match value.as_str() {
                Some(text) if !text.is_empty() => {
                    let letters: Vec<char> = text.chars().collect();
                    let pieces = letters.chunks(3).map(|piece| piece.iter().collect::<String>());
                    events.extend(pieces.map(|piece| delta(json!({ field.as_str(): piece }))));
                }
                _ => events.push(delta(json!({ field.as_str(): value }))),
            }
        }
        let mut last = json!({ "index": 0, "delta": {}, "finish_reason": self.finish });
        merge(&mut last, &self.choice);
        events.push(event(json!([last])));
        let mut usage = event(json!([]));
        usage["usage"] = self.usage.clone();
        events.push(usage);
        events
    }

    /// Whole, as JSON.
    pub(crate) fn as_whole(&self) -> Reply {
        Reply::json(200, self.whole().to_string()).good()
    }

    /// As an event stream.
    pub(crate) fn as_stream(&self) -> Reply {
        let mut parts: Vec<Part> = self.events().iter().map(data).collect();
        parts.push(raw("data: [DONE]\n\n"));
        Reply::stream(parts).good()
    }

    /// As it was asked for.
    pub(crate) fn to(&self, ask: &Ask) -> Reply {
        if ask.streams() { self.as_stream() } else { self.as_whole() }
    }
}

fn merge(into: &mut Value, fields: &Value) {
    for (name, value) in fields.as_object().expect("fields are an object") {
        into[name] = value.clone();
    }
}

/// What a good server answers: a verdict to a judge, an object where one is wanted, else [`TEXT`].
pub(crate) fn well(ask: &Ask) -> Reply {
    Answer::text(proper(ask)).to(ask)
}

/// The text of that.
pub(crate) fn proper(ask: &Ask) -> &'static str {
    match ask.prompt() {
        prompt if prompt.contains("Is it good?") => r#"{"choice":"yes"}"#,
        prompt if prompt.contains("As an object") => r#"{"city":"Canberra"}"#,
        _ => TEXT,
    }
}

/// The list of models.
pub(crate) fn listed(ids: &[&str]) -> Reply {
    let models: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "object": "model" })).collect();
    Reply::json(200, json!({ "object": "list", "data": models }).to_string())
}

/// What answers a request; none leaves it to what servers usually do.
pub(crate) type Script = Arc<dyn Fn(&Ask) -> Option<Reply> + Send + Sync>;

/// One line of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) target: String,
    pub(crate) method: String,
    pub(crate) body: Value,
    pub(crate) prompt: String,
    pub(crate) is_chat: bool,
    pub(crate) status: u16,
    /// Whether an answer was on its way that counts.
    pub(crate) good: bool,
    /// Since the server started.
    pub(crate) at: Duration,
}

/// A running server; it leaves with this value.
pub(crate) struct Server {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Script,
    ledger: Mutex<Vec<Entry>>,
    chats: AtomicUsize,
    first: Mutex<Option<Instant>>,
    begun: Instant,
    healed: AtomicBool,
    /// Nobody listens.
    away: AtomicBool,
    over: AtomicBool,
}

impl Server {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            script,
            ledger: Mutex::default(),
            chats: AtomicUsize::new(0),
            first: Mutex::default(),
            begun: Instant::now(),
            healed: AtomicBool::new(false),
            away: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut listener = Some(listener);
            while !serving.over.load(Ordering::SeqCst) {
                if serving.away.load(Ordering::SeqCst) {
                    listener = None;
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
                if listener.is_none() {
                    listener = TcpListener::bind(address).ok();
                }
                let Some((stream, _)) = listener.as_ref().and_then(|listener| listener.accept().ok()) else {
                    continue;
                };
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.converse(stream));
            }
        });
        Self { address: format!("http://{address}"), shared }
    }

    /// From now on every request is answered well.
    pub(crate) fn heal(&self) {
        self.shared.healed.store(true, Ordering::SeqCst);
    }

    /// Refuses every connection, and cuts those that there are with their next request.
    pub(crate) fn leave(&self) {
        self.shared.away.store(true, Ordering::SeqCst);
        self.knock();
    }

    pub(crate) fn come_back(&self) {
        self.shared.away.store(false, Ordering::SeqCst);
    }

    /// All requests so far, in the order of their arrival.
    pub(crate) fn ledger(&self) -> Vec<Entry> {
        self.shared.ledger.lock().expect("nothing panics while it holds this").clone()
    }

    /// Ends a wait for the next connection.
    fn knock(&self) {
        TcpStream::connect(self.address.trim_start_matches("http://")).ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.knock();
    }
}

impl Shared {
    fn converse(&self, mut stream: TcpStream) {
        let Ok(copy) = stream.try_clone() else { return };
        let mut reader = BufReader::new(copy);
        while let Some(request) = Request::read(&mut reader) {
            if self.away.load(Ordering::SeqCst) || self.over.load(Ordering::SeqCst) {
                stream.shutdown(Shutdown::Both).ok();
                return;
            }
            let reply = self.reply(request);
            let Some(back) = reply.write(reader, &mut stream) else { return };
            reader = back;
        }
    }

    fn reply(&self, request: Request) -> Reply {
        let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let healed = self.healed.load(Ordering::SeqCst);
        let at = self.begun.elapsed();
        let mut ask = Ask { request, body, number: 0, since_first: Duration::ZERO };
        if ask.is_chat() {
            ask.number = self.chats.fetch_add(1, Ordering::SeqCst) + 1;
            let mut first = self.first.lock().expect("nothing panics while it holds this");
            ask.since_first = first.get_or_insert_with(Instant::now).elapsed();
        }
        let position = {
            let mut ledger = self.ledger.lock().expect("nothing panics while it holds this");
            ledger.push(Entry {
                target: ask.request.target.clone(),
                method: ask.request.method.clone(),
                body: ask.body.clone(),
                prompt: ask.prompt().to_owned(),
                is_chat: ask.is_chat(),
                status: 0,
                good: false,
                at,
            });
            ledger.len() - 1
        };
        let scripted = if healed && ask.is_chat() { None } else { (self.script)(&ask) };
        let reply = scripted.unwrap_or_else(|| usual(&ask));
        let mut ledger = self.ledger.lock().expect("nothing panics while it holds this");
        ledger[position].status = reply.status;
        ledger[position].good = reply.good;
        reply
    }
}

/// What servers do that have `/v1` and nothing else.
fn usual(ask: &Ask) -> Reply {
    match (ask.request.method.as_str(), ask.path()) {
        ("GET", "/v1/models") => listed(&[MODEL]),
        ("POST", "/v1/chat/completions") => well(ask),
        _ => Reply::json(404, r#"{"error":{"code":"404","message":"Resource not found"}}"#),
    }
}
