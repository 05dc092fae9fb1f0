//! Connections out: a non-blocking socket of our own, made writable under a deadline. It resolves no names. monoio's own
//! connect can be neither cancelled nor dropped without losing its descriptor.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use monoio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Driver, until};

/// Tries the addresses in turn until one answers or the deadline passes; each has its share of the time that is left, so
/// that one which swallows packets does not hide the others. Also gives a second descriptor of the socket.
/// Errors: the last address's, `TimedOut` when that did not answer in its time.
pub async fn connect(
    driver: Driver,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> io::Result<(TcpStream, Socket)> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for (left, address) in (1..=addresses.len()).rev().zip(addresses) {
        match until(share(Instant::now(), deadline, left), connect_one(driver, *address)).await {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(error)) => last = error,
            None => last = io::Error::new(io::ErrorKind::TimedOut, "connect deadline passed"),
        }
    }
    Err(last)
}

/// Until when the next of `left` addresses may take.
fn share(now: Instant, deadline: Instant, left: usize) -> Instant {
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
    now + deadline.saturating_duration_since(now) / left
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_address_has_its_share_of_what_is_left() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(6);
        assert_eq!(share(now, deadline, 3), now + Duration::from_secs(2));
        assert_eq!(share(now + Duration::from_secs(2), deadline, 2), now + Duration::from_secs(4));
        assert_eq!(share(now + Duration::from_secs(1), deadline, 1), deadline);
        assert_eq!(share(deadline + Duration::from_secs(1), deadline, 2), deadline + Duration::from_secs(1));
    }

    /// A listener that answers no further connection, and what fills its queue.
    fn blackhole() -> (Socket, Vec<Socket>) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let fill = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            socket
        };
        let filling = (0..8).map(|_| fill()).collect();
        (listener, filling)
    }

    #[test]
    fn a_dead_address_does_not_hide_a_live_one() {
        let (dead, _filling) = blackhole();
        let dead = dead.local_addr().unwrap().as_socket().unwrap();
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = live.local_addr().unwrap();
        let mut runtime =
            monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build().unwrap();
        runtime.block_on(async {
            let began = Instant::now();
            let (_, socket) =
                connect(Driver::Epoll, &[dead, live], began + Duration::from_secs(2)).await.unwrap();
            assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(live));
            assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
            let failed = connect(Driver::Epoll, &[dead], Instant::now() + Duration::from_millis(50)).await;
            assert_eq!(failed.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
        });
    }
}
