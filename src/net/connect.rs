//! Connections out: non-blocking sockets of our own, made writable under a deadline; several addresses are raced, as happy
//! eyeballs do (RFC 8305 §5). It resolves no names and judges no address. monoio's own connect can be neither cancelled nor
//! dropped without losing its descriptor.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use monoio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Driver, until};

/// How long an address may be silent before the next is tried beside it (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one origin that are tried; as many as have their turn within the connect deadline.
pub const ADDRESSES_MAX: usize = 16;

/// In the order in which they are tried: the one that answered last, then the families in turn, the first address's family
/// first (RFC 8305 §4). At most [`ADDRESSES_MAX`], each once.
pub fn in_order(addresses: &[SocketAddr], last_good: Option<SocketAddr>) -> Vec<SocketAddr> {
    let mut ordered: Vec<SocketAddr> =
        last_good.into_iter().filter(|good| addresses.contains(good)).collect();
    let mut left: Vec<SocketAddr> = addresses.to_vec();
    loop {
        left.retain(|address| !ordered.contains(address));
        let before = ordered.last().map(SocketAddr::is_ipv6);
        let turn = left.iter().find(|address| before != Some(address.is_ipv6())).or(left.first());
        match turn {
            Some(address) if ordered.len() < ADDRESSES_MAX => ordered.push(*address),
            _ => return ordered,
        }
    }
}

/// Connects to the first address that answers. Each is given [`ATTEMPT_DELAY`] alone, less when it fails; then the next is
/// tried beside it, in the order given. Those that lose are closed. Also gives the address.
/// Errors: the last address's, `TimedOut` when one did not answer before the deadline.
pub async fn connect(
    driver: Driver,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> io::Result<(TcpStream, SocketAddr)> {
    let mut waiting = addresses.iter();
    let mut attempts = Attempts::default();
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    loop {
        if let Some(address) = waiting.next() {
            attempts.0.push(Box::pin(connect_one(driver, *address)));
        }
        if attempts.0.is_empty() {
            return Err(last);
        }
        let is_last = waiting.as_slice().is_empty();
        let turn = if is_last { deadline } else { deadline.min(Instant::now() + ATTEMPT_DELAY) };
        match until(turn, attempts.next()).await {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(error)) => last = error,
            None if turn == deadline => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "connect deadline passed"));
            }
            None => {}
        }
    }
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<(TcpStream, SocketAddr)>>>>;

/// Attempts under way.
#[derive(Default)]
struct Attempts(Vec<Attempt>);

impl Attempts {
    /// The next that ends; there must be one.
    async fn next(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|context| {
            for (index, attempt) in self.0.iter_mut().enumerate() {
                if let Poll::Ready(ended) = attempt.as_mut().poll(context) {
                    drop(self.0.swap_remove(index));
                    return Poll::Ready(ended);
                }
            }
            Poll::Pending
        })
        .await
    }
}

async fn connect_one(driver: Driver, address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let started = socket.connect(&SockAddr::from(address));
    let second = socket.try_clone()?;
    let stream = TcpStream::from_std(socket.into())?;
    match started {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            stream.writable(false).await?;
            if let Some(error) = second.take_error()? {
                return Err(error);
            }
        }
        Err(error) => return Err(error),
    }
    // Both descriptors share the flag; see `Driver`.
    second.set_nonblocking(driver == Driver::Epoll)?;
    Ok((stream, address))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::super::fixture::on_both;
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns_and_the_last_good_address_is_first() {
        let [a, b, c] = ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1"].map(address);
        let [x, y] = ["192.0.2.1:1", "192.0.2.2:1"].map(address);
        for (given, last_good, expected) in [
            (vec![a, b, c, x, y], None, vec![a, x, b, y, c]),
            (vec![x, y, a], None, vec![x, a, y]),
            (vec![a, b, x, y], Some(y), vec![y, a, x, b]),
            (vec![a, b, x], Some(b), vec![b, x, a]),
            (vec![a, x], Some(c), vec![a, x]),
            (vec![x, x, y], None, vec![x, y]),
            (vec![], Some(a), vec![]),
        ] {
            assert_eq!(in_order(&given, last_good), expected, "{given:?} {last_good:?}");
        }
        let many: Vec<SocketAddr> = (0..40).map(|last| SocketAddr::from(([192, 0, 2, last], 1))).collect();
        assert_eq!(in_order(&many, Some(many[39])).len(), ADDRESSES_MAX);
    }

    /// A listener that answers no further connection, and what fills its queue.
    fn blackhole() -> (SocketAddr, impl Sized) {
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
        let filling: Vec<Socket> = (0..8).map(|_| fill()).collect();
        (address.as_socket().unwrap(), (listener, filling))
    }

    /// An address that refuses.
    fn closed() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_silent_address_does_not_hide_a_live_one() {
        on_both(async |driver| {
            let (dead, _filling) = blackhole();
            let live = TcpListener::bind("127.0.0.1:0").unwrap();
            let live = live.local_addr().unwrap();
            let began = Instant::now();
            let (_, address) = connect(driver, &[dead, dead, live], began + LONG).await.unwrap();
            assert_eq!(address, live);
            assert!(began.elapsed() >= ATTEMPT_DELAY * 2, "each had its time: {:?}", began.elapsed());
        });
    }

    #[test]
    fn a_refusal_lets_the_next_begin_at_once() {
        on_both(async |driver| {
            let live = TcpListener::bind("127.0.0.1:0").unwrap();
            let addresses = [closed(), closed(), live.local_addr().unwrap()];
            let began = Instant::now();
            let (_, address) = connect(driver, &addresses, began + LONG).await.unwrap();
            assert_eq!(address, addresses[2]);
            let refused = connect(driver, &addresses[..2], began + LONG).await;
            assert_eq!(refused.err().map(|error| error.kind()), Some(io::ErrorKind::ConnectionRefused));
            let none = connect(driver, &[], began + LONG).await;
            assert_eq!(none.err().map(|error| error.kind()), Some(io::ErrorKind::AddrNotAvailable));
        });
    }

    #[test]
    fn the_first_to_answer_wins_and_the_others_are_closed() {
        on_both(async |driver| {
            let (dead, _filling) = blackhole();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let live = listener.local_addr().unwrap();
            std::thread::spawn(move || listener.incoming().take(500).for_each(drop));
            let before = descriptors();
            for _ in 0..5 {
                let connect =
                    || async move { connect(driver, &[dead, live], Instant::now() + LONG).await.is_ok() };
                let attempts: Vec<_> = (0..100).map(|_| monoio::spawn(connect())).collect();
                for attempt in attempts {
                    assert!(attempt.await);
                }
            }
            descriptors_return_to(before + SLACK).await;
        });
    }

    /// Descriptors that tests beside this one may open meanwhile.
    const SLACK: usize = 300;

    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    async fn descriptors_return_to(count: usize) {
        let deadline = Instant::now() + LONG;
        while descriptors() > count {
            assert!(Instant::now() < deadline, "{} descriptors, not {count}", descriptors());
            monoio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn ten_thousand_connects_that_time_out_leave_no_descriptor() {
        on_both(async |driver| {
            let (dead, _filling) = blackhole();
            let before = descriptors();
            for _ in 0..40 {
                let connect = || async move {
                    let ended = connect(driver, &[dead], Instant::now() + Duration::from_millis(2)).await;
                    ended.err().map(|error| error.kind())
                };
                let attempts: Vec<_> = (0..250).map(|_| monoio::spawn(connect())).collect();
                for attempt in attempts {
                    assert_eq!(attempt.await, Some(io::ErrorKind::TimedOut));
                }
            }
            descriptors_return_to(before + SLACK).await;
        });
    }
}
