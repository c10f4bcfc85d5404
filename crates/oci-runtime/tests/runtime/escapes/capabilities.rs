//! CVE-2022-29162: capabilities that a process could pass on to programs which only may have them.

use crate::bundle::Bundle;
use std::fs;

const SETS: &str = "grep -E 'CapInh|CapAmb' /proc/self/status | cut -f2";
const NONE: &str = "0000000000000000";

#[test]
fn a_capability_of_exec_is_neither_inheritable_nor_ambient() {
    let mut bundle = Bundle::new(SETS);
    assert_eq!(bundle.run().succeeded().lines(), [NONE, NONE]);
    bundle.start_sleeping();
    let outcome = bundle.call(&["exec", "-c", "CAP_NET_RAW", &bundle.id, "sh", "-c", SETS]).succeeded();
    assert_eq!(outcome.lines(), [NONE, NONE]);
    let effective = "grep CapEff /proc/self/status | cut -f2";
    let outcome = bundle.call(&["exec", "-c", "CAP_NET_RAW", &bundle.id, "sh", "-c", effective]).succeeded();
    assert_eq!(outcome.stdout, "00000000080020e1\n", "it has the capability");
    // The control: who asks for inheritable ones gets them, and the script shows it.
    let mut process = bundle.spec.process.clone().unwrap();
    process.args = ["sh", "-c", SETS].map(str::to_owned).to_vec();
    process.capabilities.as_mut().unwrap().inheritable = vec!["CAP_KILL".into()];
    let file = bundle.path().join("process.json");
    fs::write(&file, serde_json::to_vec(&process).unwrap()).unwrap();
    let outcome = bundle.call(&["exec", "-p", file.to_str().unwrap(), &bundle.id]).succeeded();
    assert_eq!(outcome.lines(), ["0000000000000020", NONE]);
}
