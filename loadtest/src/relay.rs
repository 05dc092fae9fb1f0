//! A bare TCP relay: the bytes of one connection to one connection of an upstream, both ways, unread. It is the floor
//! that a gateway on monoio can at best stand on; it parses nothing, pools nothing and has no deadlines.

use std::io;
use std::net::SocketAddr;

use monoio::io::{
    AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable,
};
use monoio::net::{TcpListener, TcpStream};

/// Bytes of one direction's buffer: a 16 KiB body and its head move in one read.
const BUFFER_BYTES: usize = 32 * 1024;

/// Accepts for ever and joins each connection to a fresh one of the upstream.
pub async fn serve(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    eprintln!("relay on {} to {upstream}", listener.local_addr()?);
    loop {
        let (downstream, _) = listener.accept().await?;
        monoio::spawn(async move {
            if let Err(error) = join(downstream, upstream).await {
                eprintln!("relay: {error}");
            }
        });
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an address, not a name, and the future is never dropped midway"
)]
async fn join(downstream: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let upstream = TcpStream::connect_addr(upstream).await?;
    downstream.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (down_read, down_write) = downstream.into_split();
    let (up_read, up_write) = upstream.into_split();
    monoio::join!(copy(down_read, up_write), copy(up_read, down_write));
    Ok(())
}

/// Moves bytes until the source ends or either side fails, then ends the sink.
async fn copy(mut source: OwnedReadHalf<TcpStream>, mut sink: OwnedWriteHalf<TcpStream>) {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let (outcome, filled) = source.read(buffer).await;
        if !matches!(outcome, Ok(bytes) if bytes > 0) {
            break;
        }
        let (outcome, mut written) = sink.write_all(filled).await;
        if outcome.is_err() {
            break;
        }
        written.clear();
        buffer = written;
    }
    let _ = sink.shutdown().await;
}
