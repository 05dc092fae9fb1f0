//! Connections out: a non-blocking socket of our own, made writable under a deadline. It resolves no names. monoio's own
//! connect can be neither cancelled nor dropped without losing its descriptor.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use monoio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Driver, until};

/// Tries the addresses in turn until one answers or the deadline passes. Also gives a second descriptor of the socket.
/// Errors: the last address's, `TimedOut` past the deadline.
pub async fn connect(
    driver: Driver,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> io::Result<(TcpStream, Socket)> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in addresses {
        match until(deadline, connect_one(driver, *address)).await {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(error)) => last = error,
            None => return Err(io::Error::new(io::ErrorKind::TimedOut, "connect deadline passed")),
        }
    }
    Err(last)
}

async fn connect_one(driver: Driver, address: SocketAddr) -> io::Result<(TcpStream, Socket)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let started = socket.connect(&SockAddr::from(address));
    let probe = socket.try_clone()?;
    let stream = TcpStream::from_std(socket.into())?;
    match started {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            stream.writable(false).await?;
            if let Some(error) = probe.take_error()? {
                return Err(error);
            }
        }
        Err(error) => return Err(error),
    }
    // Both descriptors share the flag; see `Driver`.
    probe.set_nonblocking(driver == Driver::Epoll)?;
    Ok((stream, probe))
}
