//! Two hosts on one network, for as long as standard input stays open.
//!
//! It prints one line for each host, with the process id that `nsenter --all --target ID` takes, and then
//! "ready". The lab's own tests kill it to see what stays behind.
#![forbid(unsafe_code)]

use std::{io, process::ExitCode};

use tidegate_tests::{Lab, LabError};

fn main() -> ExitCode {
    match hold() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("two-hosts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hold() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let network = lab.network("lan")?;
    let mut links = Vec::new();
    let mut sleepers = Vec::new();
    for (name, address) in [("a", "10.0.0.1/24"), ("b", "10.0.0.2/24")] {
        let host = lab.host(name)?;
        links.push(network.attach(&host, &[address])?);
        sleepers.push(host.spawn("sleep", ["infinity"])?);
        println!("{name} {}", host.id());
    }
    links[0].delay(std::time::Duration::from_millis(1))?;
    println!("ready");
    // Whatever is typed does not matter, only that the input ends.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    Ok(())
}
