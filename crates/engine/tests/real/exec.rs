//! Further processes, and looking at processes.

use bollard_stubs::models::ExecConfig;
use minke_engine::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Test, unframed, with_engine};

pub(crate) async fn exec(test: &Test, id: &str, config: ExecConfig) -> (String, i64) {
    let exec = test.engine.exec_create(id, config).await.unwrap();
    let session = test.engine.exec_start(&exec, ExecStart::default()).await.unwrap().unwrap();
    let (mut client, side) = tokio::io::duplex(1 << 20);
    let tty = session.tty();
    let serving = tokio::spawn(session.run(side));
    client.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.unwrap();
    serving.await.unwrap().unwrap();
    for _ in 0..200 {
        if let Some(code) = test.engine.exec_inspect(&exec).await.unwrap().exit_code {
            return (if tty { String::from_utf8(bytes).unwrap() } else { unframed(&bytes) }, code);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{exec} does not end");
}

pub(crate) fn shell(script: &str) -> ExecConfig {
    ExecConfig {
        cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    }
}

#[test]
fn a_further_process_has_its_own_user_directory_variables_and_exit_code() {
    with_engine(async |test| {
        let id = test.start("", "exec sleep 1000", |_, _| {}).await;
        let config = ExecConfig {
            user: Some("alice".into()),
            working_dir: Some("/etc".into()),
            env: Some(vec!["A=b".into()]),
            ..shell("id -u; id -G; pwd; echo $A $HOME; exit 9")
        };
        assert_eq!(exec(test, &id, config).await, ("1000\n1000 29\n/etc\nb /home\n".into(), 9));
        let config =
            ExecConfig { tty: Some(true), attach_stdin: Some(true), ..shell("tty; test -t 0 && echo tty") };
        let (output, code) = exec(test, &id, config).await;
        assert!(output.contains("/dev/pts/") && output.ends_with("tty\r\n") && code == 0, "{output:?}");
    });
}

#[test]
fn what_cannot_be_run_says_so_in_dockers_words() {
    with_engine(async |test| {
        let id = test.start("", "exec sleep 1000", |_, _| {}).await;
        let config = ExecConfig { cmd: Some(vec!["no-such-program".into()]), ..ExecConfig::default() };
        let exec = test.engine.exec_create(&id, config).await.unwrap();
        let error = test.engine.exec_start(&exec, ExecStart::default()).await.err().unwrap();
        assert!(error.to_string().contains("executable file not found in $PATH"), "{error}");
        assert_eq!(test.engine.exec_inspect(&exec).await.unwrap().exit_code, Some(127));
        assert_eq!(test.engine.exec_inspect("nope").await.unwrap_err().kind(), ErrorKind::NotFound);
        test.engine.stop(&id, Some("KILL"), None).await.unwrap();
        assert_eq!(
            test.engine.exec_create(&id, shell("true")).await.unwrap_err().kind(),
            ErrorKind::Conflict
        );
    });
}

#[test]
fn processes_and_usage_can_be_looked_at() {
    with_engine(async |test| {
        let id = test.start("", "sleep 1000 & exec sleep 2000", |_, host| host.memory = Some(64 << 20)).await;
        let commands = async || {
            let top = test.engine.top(&id, "-o pid,args").await.unwrap();
            top.processes.unwrap().into_iter().map(|row| row[1].clone()).collect::<Vec<_>>()
        };
        // The shell is about to become it.
        let seen = async {
            while !commands().await.contains(&"sleep 2000".to_owned()) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(5), seen).await.expect("it is listed");
        let stats = test.engine.stats(&id).await.unwrap();
        assert_eq!(stats.memory_stats.unwrap().limit, Some(64 << 20));
        assert!(stats.cpu_stats.unwrap().cpu_usage.unwrap().total_usage.unwrap() > 0);
        assert!(stats.pids_stats.unwrap().current.unwrap() >= 1);
    });
}
