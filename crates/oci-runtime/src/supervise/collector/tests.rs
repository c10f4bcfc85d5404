//! A collector on a socket of this test's own, and a reactor that is driven by hand.

use std::{
    io::Read,
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
};

use super::*;
use crate::supervise::protocol::{CollectorAddress, FluentdFormat, Retry, SyslogForm, SyslogFormat};

fn config(address: CollectorAddress) -> CollectorConfig {
    CollectorConfig {
        addresses: vec![address],
        format: RecordFormat::Syslog(SyslogFormat {
            form: SyslogForm::Rfc3164,
            facility: 1,
            hostname: "h".to_owned(),
            tag: "t".to_owned(),
        }),
        buffer: 4096,
        overflow: Overflow::Block,
        lazy: false,
        retry: Retry { first_ms: 5, longest_ms: 20, most: None },
        write_timeout_ms: None,
        reconnect_ms: None,
    }
}

fn take(collector: &mut Collector, text: &str) {
    let origin = Origin::new("stdout", &Moment::now());
    collector.take(&Record { text: text.as_bytes(), ends_line: true, origin: &origin, part: None }, false);
}

/// Serves the collector until `done`.
fn serve(collector: &mut Collector, reactor: &Reactor, mut done: impl FnMut(&Collector) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        collector.pump(reactor);
        if done(collector) {
            return;
        }
        assert!(Instant::now() < deadline, "{collector:?}");
        for (token, flags) in reactor.wait(Some(Duration::from_millis(5))).unwrap() {
            assert_eq!(token, Token::Collector);
            collector.ready(flags, reactor);
        }
    }
}

fn texts(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines().map(|line| line.split_once("]: ").unwrap().1.to_owned()).collect()
}

fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn records_are_kept_while_the_collector_is_away_and_sent_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reactor = Reactor::new().unwrap();
    let mut collector = Collector::open(config(CollectorAddress::Tcp(address))).unwrap();
    take(&mut collector, "one");
    serve(&mut collector, &reactor, Collector::is_settled);
    let (first, _) = listener.accept().unwrap();
    drop(listener);
    first.shutdown(std::net::Shutdown::Write).unwrap();
    serve(&mut collector, &reactor, |collector| matches!(collector.link, Link::Down { .. }));
    assert_eq!(texts(&read_to_end(first)), ["one"]);
    for number in 0..200 {
        take(&mut collector, &number.to_string());
    }
    assert!(collector.holds_up(), "the container has to wait");
    serve(&mut collector, &reactor, |collector| collector.failures > 2);
    let listener = TcpListener::bind(address).unwrap();
    serve(&mut collector, &reactor, Collector::is_settled);
    let (second, _) = listener.accept().unwrap();
    drop(collector);
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(texts(&read_to_end(second)), expected);
}

#[test]
fn a_container_does_not_start_without_its_collector_unless_it_may_come_later() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = config(CollectorAddress::Tcp(address));
    let error = Collector::open(config.clone()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().starts_with(&format!("tcp://{address}: ")), "{error}");
    config.lazy = true;
    Collector::open(config).unwrap();
}

#[test]
fn without_blocking_what_has_no_room_is_dropped_and_a_note_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(CollectorAddress::Tcp(listener.local_addr().unwrap()));
    (config.overflow, config.lazy) = (Overflow::Drop, true);
    let reactor = Reactor::new().unwrap();
    let mut collector = Collector::open(config).unwrap();
    for number in 0..100 {
        take(&mut collector, &number.to_string());
    }
    assert!(!collector.holds_up());
    let kept = collector.queue.unsent().len();
    serve(&mut collector, &reactor, Collector::is_settled);
    drop(collector);
    let seen = texts(&read_to_end(listener.accept().unwrap().0));
    assert_eq!(seen.len(), kept + 1);
    let note = format!("minke: {} records were dropped, since the collector did not take them", 100 - kept);
    assert_eq!(seen.last().unwrap(), &note);
}

#[test]
fn after_so_many_attempts_what_is_kept_is_given_up() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = config(CollectorAddress::Tcp(address));
    (config.lazy, config.retry.most) = (true, Some(2));
    let reactor = Reactor::new().unwrap();
    let mut collector = Collector::open(config).unwrap();
    take(&mut collector, "lost");
    serve(&mut collector, &reactor, Collector::is_settled);
    assert_eq!(collector.queue.take_dropped(), Some(1));
}

#[test]
fn datagrams_wait_for_their_receiver_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let reactor = Reactor::new().unwrap();
    // A stream was asked for, and datagrams are what the socket wants.
    let mut collector = Collector::open(config(CollectorAddress::Unix(path.clone()))).unwrap();
    take(&mut collector, "one");
    serve(&mut collector, &reactor, Collector::is_settled);
    drop(receiver);
    std::fs::remove_file(&path).unwrap();
    take(&mut collector, "two");
    serve(&mut collector, &reactor, |collector| collector.failures > 1);
    let receiver = UnixDatagram::bind(&path).unwrap();
    serve(&mut collector, &reactor, Collector::is_settled);
    let mut buffer = [0; 100];
    let count = receiver.recv(&mut buffer).unwrap();
    assert_eq!(texts(&buffer[..count]), ["two"]);
}

#[test]
fn a_refused_datagram_is_sent_again() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let reactor = Reactor::new().unwrap();
    let mut collector = Collector::open(config(CollectorAddress::Udp(address))).unwrap();
    drop(receiver);
    take(&mut collector, "one");
    serve(&mut collector, &reactor, |collector| collector.failures > 1);
    let receiver = UdpSocket::bind(address).unwrap();
    serve(&mut collector, &reactor, Collector::is_settled);
    let mut buffer = [0; 100];
    let count = receiver.recv(&mut buffer).unwrap();
    assert_eq!(texts(&buffer[..count]), ["one"]);
}

#[test]
fn a_message_counts_as_taken_when_it_was_acknowledged() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(CollectorAddress::Tcp(listener.local_addr().unwrap()));
    config.format = RecordFormat::Fluentd(FluentdFormat {
        tag: "t".to_owned(),
        fields: Vec::new(),
        sub_second: false,
        acknowledged: true,
    });
    let reactor = Reactor::new().unwrap();
    let mut collector = Collector::open(config).unwrap();
    take(&mut collector, "one");
    serve(&mut collector, &reactor, |collector| collector.queue.owes_answers());
    // The first connection ends without an answer.
    drop(listener.accept().unwrap());
    let mut answered = false;
    listener.set_nonblocking(true).unwrap();
    let mut second = None;
    serve(&mut collector, &reactor, |collector| {
        second = second.take().or_else(|| listener.accept().ok());
        if let Some((stream, _)) = &mut second
            && !answered
            && collector.queue.owes_answers()
        {
            stream.set_nonblocking(false).unwrap();
            let mut message = [0; 512];
            let count = stream.read(&mut message).unwrap();
            let name = &message[count - 32..count];
            let answer = [&b"\x81\xa3ack\xd9\x20"[..], name].concat();
            io::Write::write_all(stream, &answer).unwrap();
            answered = true;
        }
        collector.is_settled()
    });
    assert!(answered);
}
