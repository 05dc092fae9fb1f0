//! The control plane's loop: whatever comes, from cores, signals, operators, files, is taken one by one and never waited
//! for here, so that none of them holds up another. It ends the node in order, or in time.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::Identity;
use super::command::{COMMANDS_MAX, Command, Refused, Status};
use super::desk::Desk;
use super::drain::{Drain, Patience};
use super::inquiry;
use super::reload::{Reloads, Reply};
use super::signals::Told;
use super::status::{self, Known};
use crate::gateway::Message;
use crate::net::ask::Envelope;
use crate::net::mailbox::Post;
use crate::telemetry::writer::LogGauges;

/// How long all cores together may take to say how they are.
const INQUIRY_TIMEOUT: Duration = Duration::from_secs(4);

/// See the module.
pub(super) struct Steering {
    /// A core crashed (`true`), or all have ended.
    pub(super) ended: oneshot::Receiver<bool>,
    /// Answers cores.
    pub(super) desk: Desk,
    /// The config.
    pub(super) reloads: Reloads,
    /// The cores.
    pub(super) posts: Vec<Post<Message>>,
    /// Who fetches tokens; `None`: nobody does.
    pub(super) tokens: Option<Post<Message>>,
    /// What cores ask.
    pub(super) questions: mpsc::Receiver<Envelope>,
    /// What signals ask for.
    pub(super) signals: mpsc::Receiver<Told>,
    /// What operators ask for.
    pub(super) commanded: mpsc::Receiver<Command>,
    /// How long a drain takes.
    pub(super) patience: Patience,
    /// Who the node is.
    pub(super) identity: Identity,
    /// When it began to serve.
    pub(super) began: Instant,
    /// Inquiries of operators under way, at most [`COMMANDS_MAX`].
    pub(super) inquiries: Arc<Semaphore>,
}

impl Steering {
    /// For how many inquiries there is room.
    pub(super) fn inquiries() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(COMMANDS_MAX))
    }

    /// Until the node has ended, or must.
    pub(super) async fn steer(mut self, gauges: impl Fn() -> LogGauges) -> ExitCode {
        let mut drain: Option<Drain> = None;
        loop {
            tokio::select! {
                Some(envelope) = self.questions.recv() => {
                    self.desk.take(envelope, gauges(), self.reloads.gauges());
                }
                Some(()) = self.desk.work() => {}
                () = self.reloads.work() => {}
                Some(told) = self.signals.recv() => {
                    if let Some(code) = self.heed(told, &mut drain) {
                        return code;
                    }
                }
                Some(command) = self.commanded.recv() => self.obey(command, &mut drain, gauges()),
                () = until_next(drain.as_ref()) => {
                    if drain.as_mut().is_some_and(|drain| !drain.goes_on()) {
                        return ExitCode::FAILURE;
                    }
                }
                crashed = &mut self.ended => return ending(drain.is_some(), crashed.unwrap_or(true)),
            }
        }
    }

    /// What a signal asks for; the code to end with at once, if so.
    fn heed(&mut self, told: Told, drain: &mut Option<Drain>) -> Option<ExitCode> {
        let name = match told {
            Told::Reload if drain.is_some() => {
                tracing::warn!("HUP: the node is draining; its config stays");
                return None;
            }
            Told::Reload => {
                self.reloads.reload("HUP", None);
                return None;
            }
            Told::End(name) => name,
        };
        let deadline_s = self.patience.drain.as_secs();
        self.reloads.rest();
        *drain = Some(match drain.take() {
            Some(Drain { is_signalled: true, .. }) => {
                tracing::warn!(signal = name, "second signal: ending at once");
                return Some(ExitCode::FAILURE);
            }
            // A supervisor's signal behind an operator's drain is its first.
            Some(asked) => {
                tracing::info!(signal = name, deadline_s, "draining already; the nearer deadline holds");
                asked.or_sooner(self.posts.clone(), self.patience)
            }
            None => {
                tracing::info!(signal = name, deadline_s, "draining");
                Drain::begin(self.posts.clone(), self.patience, true)
            }
        });
        None
    }

    /// What an operator asks for. Who asked may have gone.
    fn obey(&mut self, command: Command, drain: &mut Option<Drain>, log: LogGauges) {
        match command {
            Command::Reload(reply) if drain.is_some() => refuse(reply),
            Command::Key { reply, .. } if drain.is_some() => refuse(reply),
            Command::Reload(reply) => self.reloads.reload("an operator's reload", Some(reply)),
            Command::Key { name, enabled, reply } => self.reloads.key(name, enabled, reply),
            Command::Drain { deadline, reply } => {
                let has_begun = drain.is_none();
                if has_begun {
                    let patience =
                        Patience { drain: deadline.unwrap_or(self.patience.drain), ..self.patience };
                    tracing::info!(deadline_s = patience.drain.as_secs(), "an operator's drain: draining");
                    self.reloads.rest();
                    *drain = Some(Drain::begin(self.posts.clone(), patience, false));
                }
                let _ = reply.send(has_begun);
            }
            Command::Status(reply) => self.tell_status(drain.is_some(), log, reply),
            Command::Streams(reply) => {
                let posts = self.posts.clone();
                self.inquire(async move {
                    let deadline = tokio::time::Instant::now() + INQUIRY_TIMEOUT;
                    let _ = reply.send(inquiry::streams(&posts, deadline).await);
                });
            }
            Command::Config(reply) => drop(reply.send(self.reloads.serving())),
        }
    }

    fn tell_status(&self, is_draining: bool, log: LogGauges, reply: oneshot::Sender<Status>) {
        let known = Known {
            identity: self.identity.clone(),
            uptime_s: self.began.elapsed().as_secs(),
            is_draining,
            cores: self.posts.len(),
            config: self.reloads.status(),
            log,
        };
        let (posts, tokens) = (self.posts.clone(), self.tokens.clone());
        self.inquire(async move {
            let deadline = tokio::time::Instant::now() + INQUIRY_TIMEOUT;
            let mut known = known;
            if let Some(clerk) = &tokens {
                known.config.lacking_keys = inquiry::lacking(clerk, deadline).await;
            }
            let samples = inquiry::samples(&posts, deadline).await;
            let _ = reply.send(status::status(known, &samples));
        });
    }

    /// Beyond the bound it is dropped, which its asker sees.
    fn inquire(&self, inquiry: impl Future<Output = ()> + Send + 'static) {
        if let Ok(place) = Arc::clone(&self.inquiries).try_acquire_owned() {
            tokio::spawn(async move {
                inquiry.await;
                drop(place);
            });
        }
    }
}

fn refuse(reply: Reply) {
    let faults = vec!["the node is draining; its config stays".to_owned()];
    let _ = reply.send(Err(Refused { faults, is_handed_over: false }));
}

async fn until_next(drain: Option<&Drain>) {
    match drain {
        Some(drain) => tokio::time::sleep_until(drain.next().into()).await,
        None => std::future::pending().await,
    }
}

fn ending(draining: bool, crashed: bool) -> ExitCode {
    if draining && !crashed {
        return ExitCode::SUCCESS;
    }
    // Half a node must not look alive.
    tracing::error!("a core ended unasked; ending the node");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::control::source::{Seen, Source};
    use crate::control::{Config, join_all};
    use crate::net::mailbox::mailbox;
    use crate::net::tls::Roots;
    use crate::telemetry::metrics::BuildInfo;

    const CONFIG: &[u8] =
        br#"{"providers":{"openai":{"keys":[{"name":"only","value":"k","models":["*"],"weight":1}]}}}"#;

    fn reloads(posts: Vec<Post<Message>>) -> Reloads {
        let config = Config {
            source: Source { config: "/nonexistent/config.json".into(), env_file: None, process: |_| None },
            loaded: config::load(CONFIG, "config.json", &|_: &str| None).unwrap(),
            seen: Seen::default(),
            loaded_at: jiff::Timestamp::UNIX_EPOCH,
            roots: Roots::bundled(),
            is_strict: false,
            is_watched: false,
        };
        config.reloads(posts, None, false)
    }

    /// The steering of a core whose thread and mailbox hang, and what keeps them so.
    fn wedged() -> (Steering, mpsc::Sender<Told>, mpsc::Sender<Command>, impl Sized) {
        let (post, mailbox) = mailbox().unwrap();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            held.iter().for_each(drop);
            Ok(())
        });
        let ((signals, heard), (commands, commanded)) = (mpsc::channel(4), mpsc::channel(4));
        let posts = vec![post];
        let steering = Steering {
            ended: join_all(vec![thread]),
            desk: Desk::new(posts.clone(), None, BuildInfo::default()),
            reloads: reloads(posts.clone()),
            posts,
            tokens: None,
            questions: mpsc::channel(1).1,
            signals: heard,
            commanded,
            patience: Patience { drain: Duration::from_millis(100), end: Duration::from_millis(100) },
            identity: Identity::default(),
            began: Instant::now(),
            inquiries: Steering::inquiries(),
        };
        (steering, signals, commands, (hold, mailbox))
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn a_wedged_core_does_not_keep_the_node() {
        for is_full in [false, true] {
            let (steering, signals, _commands, _kept) = wedged();
            if is_full {
                while steering.posts[0].send(Message::Sample(oneshot::channel().0)).is_ok() {}
            }
            let began = Instant::now();
            let code = run(async {
                signals.send(Told::End("TERM")).await.unwrap();
                tokio::time::timeout(Duration::from_secs(9), steering.steer(LogGauges::default)).await
            });
            assert_eq!(code.ok(), Some(ExitCode::FAILURE));
            assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
        }
    }

    #[test]
    fn an_operators_drain_begins_once_and_keeps_the_config() {
        let (steering, _signals, commands, _kept) = wedged();
        run(async {
            let steered = tokio::spawn(steering.steer(LogGauges::default));
            let drain = || async {
                let (reply, begun) = oneshot::channel();
                let deadline = Some(Duration::from_millis(300));
                commands.send(Command::Drain { deadline, reply }).await.unwrap();
                begun.await.unwrap()
            };
            assert_eq!((drain().await, drain().await), (true, false));
            let (reply, refused) = oneshot::channel();
            commands.send(Command::Reload(reply)).await.unwrap();
            assert!(refused.await.unwrap().unwrap_err().faults[0].contains("draining"));
            let (reply, config) = oneshot::channel();
            commands.send(Command::Config(reply)).await.unwrap();
            assert_eq!(config.await.unwrap().snapshot.generation, 1);
            assert_eq!(steered.await.unwrap(), ExitCode::FAILURE, "its core is wedged");
        });
    }

    #[test]
    fn a_config_that_a_core_is_late_to_run_is_not_called_refused() {
        let (steering, _signals, commands, _kept) = wedged();
        run(async {
            let steered = tokio::spawn(steering.steer(LogGauges::default));
            let (reply, switched) = oneshot::channel();
            commands.send(Command::Key { name: "only".to_owned(), enabled: false, reply }).await.unwrap();
            let late = switched.await.unwrap().unwrap_err();
            assert!(
                late.is_handed_over && late.faults[0].contains("do not run it after 10 s: 0"),
                "{late:?}"
            );
            let (reply, config) = oneshot::channel();
            commands.send(Command::Config(reply)).await.unwrap();
            assert_eq!(config.await.unwrap().snapshot.generation, 2);
            steered.abort();
        });
    }

    #[test]
    fn a_reload_of_a_file_that_is_gone_is_refused_and_an_unknown_key_is_said() {
        let (steering, _signals, commands, _kept) = wedged();
        run(async {
            let steered = tokio::spawn(steering.steer(LogGauges::default));
            let (reply, refused) = oneshot::channel();
            commands.send(Command::Reload(reply)).await.unwrap();
            let fault = refused.await.unwrap().unwrap_err().faults.join("");
            assert!(fault.contains("/nonexistent/config.json: No such file"), "{fault}");
            let (reply, refused) = oneshot::channel();
            commands.send(Command::Key { name: "first".to_owned(), enabled: false, reply }).await.unwrap();
            let fault = refused.await.unwrap().unwrap_err().faults.join("");
            assert!(fault.contains("no key \"first\". It has: only"), "{fault}");
            // The wedged core does not report; what is known without it is said.
            let (reply, status) = oneshot::channel();
            commands.send(Command::Status(reply)).await.unwrap();
            let status = status.await.unwrap();
            assert_eq!((status.config.reload_failures, status.cores.len()), (1, 0));
            assert_eq!(status.silent_cores, [0]);
            assert!(status.config.last_failure.unwrap().faults[0].contains("No such file"));
            steered.abort();
        });
    }
}
