//! Proxies under a test's control: HTTP CONNECT and SOCKS 5, written from the RFCs with none of the binary's code. They note
//! what they were asked for, and connect every tunnel to one place, whatever name it was asked for.

#![allow(clippy::disallowed_types, reason = "threads of a test share what they saw")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What a proxy speaks, and how it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP; these bytes answer a CONNECT, and a tunnel follows where they are a 2xx.
    Connect(&'static str),
    /// SOCKS 5 without authentication.
    Socks,
    /// SOCKS 5 that wants `user` and `pass word`.
    SocksWithPassword,
    /// SOCKS 5 that answers a request with this code.
    SocksRefusing(u8),
}

/// A usual CONNECT proxy.
pub(crate) const CONNECT: Kind = Kind::Connect("HTTP/1.1 200 Connection established\r\n\r\n");

/// A listening proxy.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stops: Arc<AtomicBool>,
}

impl Proxy {
    /// Tunnels lead to `target`.
    pub(crate) fn start(kind: Kind, target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stops) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (Arc::clone(&asked), Arc::clone(&stops));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || serve(kind, stream, target, &noted));
            }
        });
        Self { address, asked, stops }
    }

    /// The head of each CONNECT, and `host:port` of each SOCKS request, so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// A peer that breaks off is no fault of a test's.
fn serve(kind: Kind, mut stream: TcpStream, target: SocketAddr, noted: &Mutex<Vec<String>>) {
    let opened = match kind {
        Kind::Connect(answer) => connect(&mut stream, answer, noted),
        _ => socks(&mut stream, kind, noted),
    };
    if opened.unwrap_or(false) {
        let target = TcpStream::connect(target).unwrap();
        let (mut from, mut to) = (stream.try_clone().unwrap(), target.try_clone().unwrap());
        std::thread::spawn(move || pass(&mut from, &mut to));
        pass(&mut { target }, &mut stream);
    }
}

fn pass(from: &mut TcpStream, to: &mut TcpStream) {
    let _ = io::copy(from, to);
    let _ = to.shutdown(Shutdown::Both);
}

fn connect(stream: &mut TcpStream, answer: &str, noted: &Mutex<Vec<String>>) -> io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(take::<1>(stream)?);
    }
    noted.lock().unwrap().push(String::from_utf8(head).unwrap());
    stream.write_all(answer.as_bytes())?;
    Ok(answer.starts_with("HTTP/1.1 2"))
}

fn socks(stream: &mut TcpStream, kind: Kind, noted: &Mutex<Vec<String>>) -> io::Result<bool> {
    let [version, count] = take(stream)?;
    assert_eq!(version, 5);
    let methods = take_some(stream, count)?;
    let method = if kind == Kind::SocksWithPassword { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[5, 0xff])?;
        return Ok(false);
    }
    stream.write_all(&[5, method])?;
    if method == 2 {
        let [version, length] = take(stream)?;
        let user = take_some(stream, length)?;
        let [length] = take(stream)?;
        let is_right =
            (version, user, take_some(stream, length)?) == (1, b"user".to_vec(), b"pass word".to_vec());
        stream.write_all(&[1, u8::from(!is_right)])?;
        if !is_right {
            return Ok(false);
        }
    }
    let [5, 1, 0, address_kind] = take(stream)? else { panic!("no CONNECT") };
    let host = match address_kind {
        1 => std::net::Ipv4Addr::from(take::<4>(stream)?).to_string(),
        3 => {
            let [length] = take(stream)?;
            String::from_utf8(take_some(stream, length)?).unwrap()
        }
        other => panic!("an address of kind {other}"),
    };
    noted.lock().unwrap().push(format!("{host}:{}", u16::from_be_bytes(take(stream)?)));
    let code = if let Kind::SocksRefusing(code) = kind { code } else { 0 };
    stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(code == 0)
}

fn take<const COUNT: usize>(stream: &mut TcpStream) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn take_some(stream: &mut TcpStream, count: u8) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(count)];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
