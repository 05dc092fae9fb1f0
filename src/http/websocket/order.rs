//! In which order frames may follow each other (RFC 6455 §5.4), and how long a message gets. It sees heads alone.

use super::{Broken, Head, Opcode};

/// What a frame is to the message that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It stands between messages, or between a message's frames.
    Control,
    /// A message begins.
    Begins {
        /// Whether it is a text.
        is_text: bool,
        /// Whether it ends with this frame, too.
        ends: bool,
    },
    /// More of a message.
    Goes {
        /// Whether it is a text.
        is_text: bool,
        /// Whether it ends with this frame.
        ends: bool,
    },
}

/// One sender's frames so far.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    message_bytes_max: u64,
    /// Of the message under way: whether it is a text, and its bytes.
    message: Option<(bool, u64)>,
    is_closed: bool,
}

impl Order {
    /// Of messages of at most so many bytes.
    pub fn new(message_bytes_max: u64) -> Self {
        Self { message_bytes_max, message: None, is_closed: false }
    }

    /// Takes the next frame. Errors: it may not stand here (1002), or makes its message too long (1009).
    pub fn take(&mut self, head: &Head) -> Result<Step, Broken> {
        if self.is_closed {
            return Err(Broken::protocol("a close is a sender's last frame"));
        }
        if head.opcode.is_control() {
            self.is_closed = head.opcode == Opcode::Close;
            return Ok(Step::Control);
        }
        let (is_text, before) = match (head.opcode, self.message) {
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Continuation, None) => {
                return Err(Broken::protocol("a continuation, and no message has begun"));
            }
            (_, Some(_)) => return Err(Broken::protocol("a message begins inside of another")),
            (opcode, None) => (opcode == Opcode::Text, 0),
        };
        let bytes = before.saturating_add(head.payload_bytes);
        if bytes > self.message_bytes_max {
            return Err(Broken { code: 1009, reason: "a message is too long" });
        }
        let ends = head.is_final;
        self.message = (!ends).then_some((is_text, bytes));
        Ok(match head.opcode {
            Opcode::Continuation => Step::Goes { is_text, ends },
            _ => Step::Begins { is_text, ends },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(frames: &[(Opcode, bool, u64)]) -> Vec<Result<Step, u16>> {
        let mut order = Order::new(10);
        let mut take = |(opcode, is_final, payload_bytes)| {
            let head = Head { opcode, is_final, mask: None, payload_bytes };
            order.take(&head).map_err(|broken| broken.code)
        };
        frames.iter().map(|frame| take(*frame)).collect()
    }

    #[test]
    fn control_frames_stand_between_those_of_a_message() {
        use Opcode::{Binary, Close, Continuation, Ping, Text};
        let begins = |is_text, ends| Ok(Step::Begins { is_text, ends });
        let goes = |is_text, ends| Ok(Step::Goes { is_text, ends });
        let frames = [
            (Text, false, 5),
            (Ping, true, 3),
            (Continuation, false, 0),
            (Continuation, true, 5),
            (Binary, true, 10),
            (Close, true, 2),
            (Ping, true, 0),
        ];
        let expected = [
            begins(true, false),
            Ok(Step::Control),
            goes(true, false),
            goes(true, true),
            begins(false, true),
            Ok(Step::Control),
            Err(1002),
        ];
        assert_eq!(steps(&frames), expected);
    }

    #[test]
    fn what_is_out_of_order_or_too_long_is_told() {
        use Opcode::{Binary, Continuation, Text};
        assert_eq!(steps(&[(Continuation, true, 0)]), [Err(1002)]);
        assert_eq!(steps(&[(Text, false, 0), (Binary, true, 0)])[1], Err(1002));
        assert_eq!(steps(&[(Text, true, 11)]), [Err(1009)]);
        assert_eq!(steps(&[(Text, false, 6), (Continuation, true, u64::MAX)])[1], Err(1009));
    }
}
