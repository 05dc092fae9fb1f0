//! What has broken TLS streams and reads elsewhere: reads given up in the moment something comes, words that TLS says to
//! itself, records that carry nothing.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;
use rustls::version::{TLS12, TLS13};

use super::tests::{BOTH, PATIENCE, adopt, client, pair, pattern, read, run, server, soon};
use crate::net::{Alarm, Driver, Raced, race, until};

const LARGE: usize = 64 * 1024;
const SMALL: usize = 4 * 1024;

/// Until what was begun is with the kernel, before a thread is waited for that needs it.
async fn pause() {
    monoio::time::sleep(Duration::from_millis(20)).await;
}

#[test]
fn a_read_that_is_exchanged_for_a_smaller_one_loses_nothing() {
    const BYTES: usize = 3000;
    for driver in BOTH {
        run(driver, async || {
            let (mut far, near) = pair();
            let mut stream = adopt(near, driver);
            let peer = std::thread::spawn(move || {
                for byte in pattern(BYTES) {
                    far.write_all(&[byte]).unwrap();
                    std::thread::park_timeout(Duration::from_micros(u64::from(byte) / 2));
                }
            });
            let (mut bytes, mut exchanged) = (Vec::new(), 0);
            while bytes.len() < BYTES {
                stream.arm_to_rest(Vec::with_capacity(LARGE)).unwrap();
                if bytes.len() % 3 == 0 {
                    monoio::time::sleep(Duration::from_millis(1)).await;
                }
                stream.rest();
                // Also a wait that is dropped in its midst.
                if let Raced::First((result, buffer)) = race(stream.filled(), async {}).await {
                    result.unwrap();
                    bytes.extend(buffer);
                    continue;
                }
                let (result, buffer) = until(soon(), stream.filled()).await.expect("it hangs");
                assert_eq!(result.unwrap(), buffer.len());
                exchanged += usize::from(buffer.capacity() == SMALL);
                bytes.extend(buffer);
            }
            assert_eq!(bytes, pattern(BYTES));
            assert!(exchanged > 0, "no read was exchanged");
            peer.join().unwrap();
        });
    }
}

/// On epoll, where a turn ends. monoio's timer keeps the first waker that it was polled with: a word begun while others have
/// their turn must not leave the next write waiting for a timer that wakes nobody.
#[test]
fn a_word_said_when_the_turn_is_over_does_not_hold_the_next_write_up() {
    run(Driver::Epoll, async || {
        let (mut far, near) = pair();
        let mut stream = adopt(near, Driver::Epoll);
        for _ in 0..100 {
            stream.write_all(vec![b'.']).await.0.unwrap();
            std::thread::park_timeout(Duration::from_millis(3));
            if stream.wire().is_turn_over() {
                break;
            }
        }
        assert!(stream.wire().is_turn_over());
        stream.say(b"word");
        let before = Instant::now();
        stream.send(b"next".to_vec(), PATIENCE, &mut Alarm::default()).await.unwrap();
        assert!(before.elapsed() < PATIENCE / 2, "{:?}", before.elapsed());
        drop(stream);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).unwrap();
        assert!(bytes.ends_with(b".wordnext"), "{}", bytes.escape_ascii());
    });
}

#[test]
fn what_is_there_already_comes_in_the_large_buffer() {
    for driver in BOTH {
        run(driver, async || {
            let (mut far, near) = pair();
            let mut stream = adopt(near, driver);
            stream.arm_to_rest(Vec::with_capacity(LARGE)).unwrap();
            pause().await;
            stream.rest();
            stream.rest();
            assert!(until(Instant::now() + Duration::from_millis(20), stream.filled()).await.is_none());
            far.write_all(b"late").unwrap();
            let (result, buffer) = until(soon(), stream.filled()).await.unwrap();
            assert_eq!((result.unwrap(), &*buffer, buffer.capacity()), (4, &b"late"[..], SMALL));
            stream.arm_to_rest(Vec::with_capacity(LARGE)).unwrap();
            far.write_all(b"in time").unwrap();
            pause().await;
            let (result, buffer) = until(soon(), stream.filled()).await.unwrap();
            stream.rest();
            assert_eq!((result.unwrap(), buffer.capacity()), (7, LARGE));
            drop(far);
            stream.arm_to_rest(Vec::with_capacity(LARGE)).unwrap();
            stream.rest();
            assert_eq!(until(soon(), stream.filled()).await.unwrap().0.unwrap(), 0);
        });
    }
}

#[test]
fn what_tls_says_to_itself_leaves_a_connection_quiet() {
    for driver in BOTH {
        run(driver, async || {
            let (said, heard) = mpsc::channel();
            let (mut stream, peer) = client(driver, &TLS13, move |mut far| {
                // The tickets go out with the first write.
                far.write_all(b"a").unwrap();
                far.flush().unwrap();
                for _ in 0..30 {
                    far.conn.refresh_traffic_keys().unwrap();
                    far.conn.write_tls(&mut far.sock).unwrap();
                }
                said.send(()).unwrap();
                let mut word = [0; 4];
                far.read_exact(&mut word).unwrap();
                assert_eq!(&word, b"back");
                far.write_all(b"b").unwrap();
                far.flush().unwrap();
                said.send(()).unwrap();
                far.read_exact(&mut word).unwrap();
            })
            .await;
            assert_eq!(read(&mut stream, 1, 10).await, b"a");
            heard.recv_timeout(PATIENCE).unwrap();
            stream.arm(Vec::with_capacity(10)).unwrap();
            assert!(until(Instant::now() + Duration::from_millis(30), stream.filled()).await.is_none());
            assert!(stream.is_quiet() && stream.is_quiet());
            // The answers that it owes go out before what it writes: else the peer could not read that.
            stream.write_all(b"back".to_vec()).await.0.unwrap();
            heard.recv_timeout(PATIENCE).unwrap();
            let noisy = async {
                while stream.is_quiet() {
                    monoio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            until(soon(), noisy).await.expect("a stray byte is heard");
            stream.write_all(b"done".to_vec()).await.0.unwrap();
            peer.join().unwrap();
        });
    }
}

#[test]
fn keys_that_change_for_ever_end_the_session() {
    for driver in BOTH {
        run(driver, async || {
            let (mut stream, peer) = client(driver, &TLS13, |mut far| {
                far.flush().unwrap();
                for _ in 0..100 {
                    let _ = far.conn.refresh_traffic_keys();
                    let _ = far.conn.write_tls(&mut far.sock);
                }
                assert!(far.read(&mut [0]).is_err());
            })
            .await;
            stream.arm(Vec::with_capacity(10)).unwrap();
            let (result, _) = until(soon(), stream.filled()).await.unwrap();
            assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
            drop(stream);
            pause().await;
            peer.join().unwrap();
        });
    }
}

/// Records of TLS 1.3 (RFC 8446 §5.2) that carry no byte, `count` of them from sequence number `first` on.
fn empty_records(secrets: &ConnectionTrafficSecrets, first: u64, count: u64) -> Vec<u8> {
    let (algorithm, key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
        _ => unreachable!(),
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).unwrap());
    let mut records = Vec::new();
    for sequence in first..first + count {
        let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
        nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()).for_each(|(to, from)| *to ^= from);
        let head = [0x17, 3, 3, 0, 17];
        // Nothing, and the type of application data behind it.
        let mut sealed = vec![0x17];
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(head), &mut sealed).unwrap();
        records.extend(head);
        records.extend(sealed);
    }
    records
}

#[test]
fn records_that_carry_nothing_are_bounded() {
    for driver in BOTH {
        for (count, is_borne) in [(30, true), (100_000, false)] {
            run(driver, async || {
                let (mut stream, peer) = server(driver, &TLS13, move |mut far| {
                    far.flush().unwrap();
                    let secrets = far.conn.dangerous_extract_secrets().unwrap();
                    let (first, secrets) = secrets.tx;
                    let _ = far.sock.write_all(&empty_records(&secrets, first, count));
                    let _ = far.sock.read_to_end(&mut Vec::new());
                })
                .await;
                stream.arm(Vec::with_capacity(10)).unwrap();
                let waited = Instant::now() + if is_borne { Duration::from_millis(50) } else { PATIENCE };
                match until(waited, stream.filled()).await {
                    None => assert!(is_borne, "it reads on for ever"),
                    Some((result, _)) => {
                        let error = result.unwrap_err().to_string();
                        assert!(!is_borne && error.contains("TooManyEmptyFragments"), "{error}");
                    }
                }
                drop(stream);
                pause().await;
                peer.join().unwrap();
            });
        }
    }
}

#[test]
fn a_peer_that_speaks_garbage_is_told_so() {
    for driver in BOTH {
        run(driver, async || {
            let (mut stream, peer) = server(driver, &TLS12, |mut far| {
                far.write_all(b"fine").unwrap();
                far.sock.write_all(&[0x17, 3, 3, 0, 40]).unwrap();
                far.sock.write_all(&[9; 40]).unwrap();
                far.read(&mut [0]).unwrap_err().to_string()
            })
            .await;
            assert_eq!(read(&mut stream, 4, 100).await, b"fine");
            stream.arm(Vec::with_capacity(10)).unwrap();
            let (result, _) = until(soon(), stream.filled()).await.unwrap();
            assert!(result.unwrap_err().to_string().contains("decrypt"));
            assert!(stream.write_all(b"more".to_vec()).await.0.is_err());
            pause().await;
            let told = peer.join().unwrap();
            assert!(told.contains("BadRecordMac"), "{told}");
        });
    }
}
