//! Frames of WebSocket: a head that is read is written alike, a cut one is missing something, and whatever a close says is
//! bounded.

use corelane::http::websocket::{
    CONTROL_BYTES_MAX, HEAD_BYTES_MAX, Order, Sender, close, head, write_close, write_head,
};

/// As sent by either side, frame behind frame.
pub fn websocket(bytes: &[u8]) {
    for sender in [Sender::Client, Sender::Server] {
        let (mut rest, mut order) = (bytes, Order::new(1 << 20));
        while let Ok(Some((read, head_bytes))) = head(rest, sender) {
            assert!(
                (2..=HEAD_BYTES_MAX).contains(&head_bytes)
                    && read.mask.is_some() == (sender == Sender::Client)
            );
            let mut written = Vec::new();
            write_head(&mut written, read);
            assert_eq!(rest.get(..head_bytes), Some(written.as_slice()));
            (0..head_bytes).for_each(|end| assert_eq!(head(&rest[..end], sender), Ok(None)));
            if order.take(&read).is_err() {
                break;
            }
            let Some(behind) =
                usize::try_from(read.payload_bytes).ok().and_then(|length| rest.get(head_bytes + length..))
            else {
                break;
            };
            rest = behind;
        }
    }
    if let Ok((Some(code), reason)) = close(bytes) {
        let mut written = Vec::new();
        write_close(&mut written, code, reason);
        assert!(written.len() <= CONTROL_BYTES_MAX && bytes.starts_with(&written));
    }
}
