//! What a start costs at least: a WAL database, one commit that is synced, one request.
//!
//! `first HOST:PORT DATABASE`. Any failure ends it with exit code 1.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rusqlite::Connection;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, database] = arguments.as_slice() else { return Err("usage: first HOST:PORT DATABASE".into()) };
    let mut database = Connection::open(database)?;
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "full")?;
    let transaction = database.transaction()?;
    transaction.execute_batch("create table events (seq integer primary key, body text not null)")?;
    transaction.execute("insert into events (body) values (?1)", ["started"])?;
    transaction.commit()?;

    let body = r#"{"model":"bench","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;
    let mut server = TcpStream::connect(host)?;
    write!(
        server,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(format!("the server answered {answer}").into());
    }
    Ok(())
}
