//! A collector that takes its time: answers every request after so many milliseconds with 200, and keeps nothing.
//! `collector MILLIS` prints its address, and at the end of its input what it has taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// An empty answer: all of it was taken.
const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let millis = std::env::args().nth(1).ok_or("collector MILLIS")?.parse()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let taken = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let counts = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Duration::from_millis(millis), Arc::clone(&counts)));
        }
    });
    // Whoever started it closes its input when nothing more is to come.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    println!("{} requests, {} bytes", taken[0].load(Ordering::Relaxed), taken[1].load(Ordering::Relaxed));
    Ok(())
}

/// Answers the requests of one connection, one after the other.
async fn serve(stream: TcpStream, wait: Duration, taken: Arc<[AtomicU64; 2]>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        body.resize(length, 0);
        stream.read_exact(&mut body).await?;
        taken[0].fetch_add(1, Ordering::Relaxed);
        taken[1].fetch_add(length as u64, Ordering::Relaxed);
        tokio::time::sleep(wait).await;
        stream.write_all(TAKEN).await?;
    }
}
