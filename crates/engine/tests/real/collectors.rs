//! Log drivers syslog and fluentd: containers' output arrives at a collector of the test's own, which goes away and comes back.

use std::{
    collections::HashMap,
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use minke_engine::*;

use crate::{
    exec::{exec, shell},
    harness::{Test, with_engine},
};

/// A collector on loopback: every connection is read by a thread of its own, until the collector goes.
struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    left: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Collector {
    fn listen(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, left) = (listener.local_addr().unwrap(), Arc::<AtomicBool>::default());
        let (received, connections) =
            (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let accepting = {
            let (left, received, connections) = (left.clone(), received.clone(), connections.clone());
            std::thread::spawn(move || {
                while !left.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((stream, _)) => {
                            connections.lock().unwrap().push(stream.try_clone().unwrap());
                            std::thread::spawn(receive(stream, Arc::clone(&received)));
                        }
                        Err(_) => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
            })
        };
        Self { address, received, connections, left, accepting }
    }

    /// Everything that came, connection after connection.
    fn bytes(&self) -> Vec<Vec<u8>> {
        self.received.lock().unwrap().clone()
    }

    /// Goes away with all connections; what came stays.
    fn leave(self) -> Vec<Vec<u8>> {
        self.left.store(true, Ordering::Relaxed);
        self.accepting.join().unwrap();
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        let received = self.received.lock().unwrap();
        received.clone()
    }
}

/// Reads one connection to its end.
fn receive(mut stream: TcpStream, received: Arc<Mutex<Vec<Vec<u8>>>>) -> impl FnOnce() {
    let number = {
        let mut all = received.lock().unwrap();
        all.push(Vec::new());
        all.len() - 1
    };
    move || {
        stream.set_nonblocking(false).unwrap();
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            received.lock().unwrap()[number].extend_from_slice(&buffer[..count]);
        }
    }
}

/// Waits for something that collectors have received.
async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1500 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen");
}

/// A line of syslog: priority, what comes before the text, the text.
fn syslog_lines(bytes: &[Vec<u8>]) -> Vec<(u32, String, String)> {
    let text = String::from_utf8(bytes.concat()).unwrap();
    let line = |line: &str| {
        let (priority, rest) = line.strip_prefix('<')?.split_once('>')?;
        let (head, text) = rest.split_once("]: ").or_else(|| rest.split_once(" - "))?;
        Some((priority.parse().ok()?, head.to_owned(), text.to_owned()))
    };
    text.split_inclusive('\n')
        .filter(|whole| whole.ends_with('\n'))
        .map(|whole| line(whole.trim_end()).unwrap())
        .collect()
}

fn texts(bytes: &[Vec<u8>]) -> Vec<String> {
    syslog_lines(bytes).into_iter().map(|(_, _, text)| text).collect()
}

async fn start(test: &Test, script: &str, driver: &str, options: &[(&str, String)]) -> String {
    let id = create(test, script, driver, options).await;
    test.engine.start(&id).await.unwrap();
    id
}

async fn create(test: &Test, script: &str, driver: &str, options: &[(&str, String)]) -> String {
    let options: HashMap<_, _> = options.iter().map(|(key, value)| (*key, value)).collect();
    let log = serde_json::json!({ "Type": driver, "Config": options });
    test.create("", script, |body, host| {
        host.log_config = serde_json::from_value(log).unwrap();
        body.labels = Some([("team".to_owned(), "blue".to_owned())].into());
        body.env = Some(vec!["COLOUR=red".into()]);
    })
    .await
    .unwrap()
}

#[test]
fn lines_arrive_at_syslog_in_the_asked_form_and_can_still_be_read_here() {
    with_engine(async |test| {
        let collector = Collector::listen("127.0.0.1:0");
        let options = [
            ("syslog-address", format!("tcp://localhost:{}", collector.address.port())),
            ("syslog-facility", "local1".to_owned()),
            ("syslog-format", "rfc5424".to_owned()),
            ("tag", "{{.ImageName}}/{{.ID}}".to_owned()),
        ];
        let id = start(test, "echo out; echo problem >&2", "syslog", &options).await;
        test.wait(&id).await;
        let mut lines = until("two lines", || {
            let lines = syslog_lines(&collector.bytes());
            (lines.len() == 2).then_some(lines)
        })
        .await;
        lines.sort();
        assert_eq!((lines[0].0, lines[0].2.as_str()), (17 * 8 + 3, "problem"));
        assert_eq!((lines[1].0, lines[1].2.as_str()), (17 * 8 + 6, "out"));
        let fields: Vec<_> = lines[0].1.split(' ').collect();
        let tag = format!("box:latest/{}", &id[..12]);
        assert_eq!((fields[0], fields[3], fields[5]), ("1", tag.as_str(), tag.as_str()), "{fields:?}");
        let mut read: Vec<_> = test.output(&id).await.lines().map(str::to_owned).collect();
        read.sort();
        assert_eq!(read, ["out", "problem"]);
    });
}

#[test]
fn a_collector_that_goes_and_comes_back_misses_nothing_though_the_engine_is_killed_meanwhile() {
    with_engine(async |test| {
        let collector = Collector::listen("127.0.0.1:0");
        let address = collector.address.to_string();
        let options = [("syslog-address", format!("tcp://{address}"))];
        let script =
            "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); [ -e /go ] || sleep 0.01; done";
        let id = start(test, script, "syslog", &options).await;
        until("the first lines", || (texts(&collector.bytes()).len() > 5).then_some(())).await;
        let mut seen = collector.leave();
        test.reopen().await;
        test.until_logged(&id, "line 60\n").await;
        let collector = Collector::listen(&address);
        exec(test, &id, shell("touch /go")).await;
        test.wait(&id).await;
        until("the last line", || texts(&collector.bytes()).contains(&"line 1999".to_owned()).then_some(()))
            .await;
        seen.extend(collector.bytes());
        let (all, wanted): (Vec<_>, Vec<_>) =
            (texts(&seen), (0..2000).map(|n| format!("line {n}")).collect());
        let missing: Vec<_> = wanted.iter().filter(|line| !all.contains(line)).collect();
        // What the kernel had taken for a collector that had just gone is the only thing that may be lost.
        assert!(missing.len() <= 1, "{missing:?}");
    });
}

#[test]
fn datagrams_reach_syslog_too() {
    with_engine(async |test| {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let unix = UnixDatagram::bind(test.dir.path().join("log")).unwrap();
        let receive = async |address: String| {
            let id = start(test, "echo hello", "syslog", &[("syslog-address", address)]).await;
            test.wait(&id).await;
        };
        receive(format!("udp://{}", udp.local_addr().unwrap())).await;
        receive(format!("unix://{}", test.dir.path().join("log").display())).await;
        receive(format!("unixgram://{}", test.dir.path().join("log").display())).await;
        let mut buffer = [0; 200];
        let patience = Some(Duration::from_secs(10));
        udp.set_read_timeout(patience).unwrap();
        unix.set_read_timeout(patience).unwrap();
        let mut counts = vec![udp.recv(&mut buffer).unwrap()];
        assert_eq!(texts(&[buffer[..counts[0]].to_vec()]), ["hello"]);
        for _ in 0..2 {
            counts.push(unix.recv(&mut buffer).unwrap());
            assert_eq!(texts(&[buffer[..counts[counts.len() - 1]].to_vec()]), ["hello"]);
        }
    });
}

#[test]
fn a_flood_is_slowed_down_or_dropped_as_the_mode_says() {
    with_engine(async |test| {
        // It accepts and never reads, until it is told to.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let script = "seq 1 400000; echo 1 >/done; echo done";
        let blocking = start(test, script, "syslog", &[("syslog-address", address.clone())]).await;
        let (mut slow, _) = listener.accept().unwrap();
        let dropping = [
            ("syslog-address", address),
            ("mode", "non-blocking".to_owned()),
            ("max-buffer-size", "64k".to_owned()),
        ];
        let dropping = start(test, script, "syslog", &dropping).await;
        let (mut lossy, _) = listener.accept().unwrap();
        assert_eq!(test.wait(&dropping).await, 0);
        assert_eq!(test.state(&blocking).await, "running", "it waits for the collector");
        slow.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let all = std::thread::spawn(move || {
            let mut all = Vec::new();
            slow.read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(test.wait(&blocking).await, 0);
        let lines = tokio::task::spawn_blocking(move || texts(&[all.join().unwrap()])).await.unwrap();
        assert_eq!(lines.len(), 400_001);
        assert!(lines[..400_000].iter().enumerate().all(|(at, line)| *line == (at + 1).to_string()));
        lossy.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let lines = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            lossy.read_to_end(&mut all).unwrap();
            texts(&[all])
        });
        let lines = lines.await.unwrap();
        assert!(lines.len() < 400_000, "{}", lines.len());
        // Whenever it had taken everything, a note told what was missing.
        let note = |line: &String| line.strip_prefix("minke: ")?.split(' ').next()?.parse::<usize>().ok();
        let notes: Vec<usize> = lines.iter().filter_map(note).collect();
        assert!(!notes.is_empty());
        assert_eq!(lines.len() - notes.len() + notes.iter().sum::<usize>(), 400_001);
        // The log that is read here has everything.
        let tail = LogsOptions { stdout: true, stderr: true, tail: Some(1), ..LogsOptions::default() };
        assert_eq!(test.logs(&dropping, tail).await, "done\n");
    });
}

#[test]
fn a_driver_that_cannot_begin_fails_the_start_and_names_the_address() {
    with_engine(async |test| {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (driver, option) in [("syslog", "syslog-address"), ("fluentd", "fluentd-address")] {
            let id = create(test, "true", driver, &[(option, format!("tcp://{address}"))]).await;
            let error = test.engine.start(&id).await.unwrap_err().to_string();
            let begin = format!(
                "failed to create task for container: failed to initialize logging driver: tcp://{address}"
            );
            assert!(error.starts_with(&begin), "{error}");
        }
        let unread = [("fluentd-async", "true".to_owned()), ("cache-disabled", "true".to_owned())];
        let id = start(test, "true", "fluentd", &unread).await;
        assert_eq!(test.wait(&id).await, 0);
        let options = LogsOptions { stdout: true, ..LogsOptions::default() };
        let error = test.engine.logs(&id, options).await.err().unwrap();
        assert!(error.to_string().contains("does not support reading"), "{error}");
        let drivers = test.engine.info().await.unwrap().plugins.unwrap().log.unwrap();
        assert!(drivers.contains(&"syslog".to_owned()) && drivers.contains(&"fluentd".to_owned()));
    });
}

/// One message of the forward protocol: its tag, its seconds and nanoseconds, its fields.
#[derive(Debug)]
struct Message {
    tag: String,
    time: (u32, u32),
    fields: HashMap<String, String>,
}

/// The whole messages at the start of a stream.
fn messages(bytes: &[u8]) -> Vec<Message> {
    let mut reader = MessagePack { bytes, at: 0 };
    std::iter::from_fn(|| reader.message()).collect()
}

/// So much of MessagePack as a collector needs.
struct MessagePack<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl MessagePack<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let taken = self.bytes.get(self.at..self.at + count)?;
        self.at += count;
        Some(taken)
    }

    fn number(&mut self, count: usize) -> Option<usize> {
        Some(self.take(count)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn string(&mut self) -> Option<String> {
        let length = match self.number(1)? {
            short @ 0xa0..=0xbf => short & 0x1f,
            0xd9 => self.number(1)?,
            0xda => self.number(2)?,
            0xdb => self.number(4)?,
            other => panic!("{other:#x} begins no string"),
        };
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn message(&mut self) -> Option<Message> {
        assert_eq!(self.number(1)?, 0x93, "an array of three");
        let tag = self.string()?;
        let time = match self.number(1)? {
            0xce => (self.number(4)?, 0),
            0xd7 => {
                assert_eq!(self.number(1)?, 0, "EventTime");
                (self.number(4)?, self.number(4)?)
            }
            other => panic!("{other:#x} begins no time"),
        };
        assert_eq!(self.number(1)?, 0xde, "a map");
        let mut fields = HashMap::new();
        for _ in 0..self.number(2)? {
            fields.insert(self.string()?, self.string()?);
        }
        Some(Message { tag, time: (time.0.try_into().unwrap(), time.1.try_into().unwrap()), fields })
    }
}

#[test]
fn messages_arrive_at_fluentd_with_dockers_fields_and_long_lines_in_parts() {
    with_engine(async |test| {
        let collector = Collector::listen("127.0.0.1:0");
        let options = [
            ("fluentd-address", collector.address.to_string()),
            ("fluentd-sub-second-precision", "true".to_owned()),
            ("tag", "docker.{{.ID}}".to_owned()),
            ("labels", "team".to_owned()),
            ("env-regex", "^COL".to_owned()),
        ];
        let script = "echo hello; head -c 40000 /dev/zero | tr '\\0' x; echo; echo end";
        let id = start(test, script, "fluentd", &options).await;
        test.wait(&id).await;
        let all = until("five messages", || {
            let all = messages(&collector.bytes().concat());
            (all.len() == 5).then_some(all)
        })
        .await;
        let first = &all[0];
        assert_eq!(
            (first.tag.as_str(), first.fields["log"].as_str()),
            (format!("docker.{}", &id[..12]).as_str(), "hello")
        );
        assert_eq!((first.fields["source"].as_str(), &first.fields["container_id"]), ("stdout", &id));
        assert_eq!((first.fields["team"].as_str(), first.fields["COLOUR"].as_str()), ("blue", "red"));
        assert!(first.fields["container_name"].starts_with('/') && !first.fields.contains_key("partial_id"));
        assert!(first.time.0 > 1_700_000_000 && all.iter().any(|message| message.time.1 != 0));
        let part = |at: usize| {
            ["partial_message", "partial_ordinal", "partial_last"].map(|key| all[at].fields[key].as_str())
        };
        assert_eq!(
            [part(1), part(2), part(3)],
            [["true", "1", "false"], ["true", "2", "false"], ["true", "3", "true"]]
        );
        let long: String = all[1..4].iter().map(|message| message.fields["log"].as_str()).collect();
        assert_eq!((long.len(), &all[1].fields["partial_id"]), (40_000, &all[3].fields["partial_id"]));
        assert_eq!(all[4].fields["log"], "end");
    });
}

#[test]
fn fluentd_may_come_after_the_container_and_even_after_its_end() {
    with_engine(async |test| {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = [
            ("fluentd-address", address.to_string()),
            ("fluentd-async", "true".to_owned()),
            ("fluentd-retry-wait", "50ms".to_owned()),
        ];
        let id = start(test, "seq 1 100", "fluentd", &options).await;
        assert_eq!(test.wait(&id).await, 0);
        let collector = Collector::listen(&address.to_string());
        let all = until("all messages", || {
            let all = messages(&collector.bytes().concat());
            (all.len() == 100).then_some(all)
        })
        .await;
        assert!(all.iter().enumerate().all(|(at, message)| message.fields["log"] == (at + 1).to_string()));
        // It can run again while the former run's records are still on their way.
        test.engine.start(&id).await.unwrap();
        test.wait(&id).await;
        until("the second run's", || (messages(&collector.bytes().concat()).len() >= 200).then_some(()))
            .await;
    });
}
