//! What the hosts see of each other, and what ordinary programs do with it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidegate_tests::iperf::{Load, serve};
use tidegate_tests::overlay::Node;

use crate::stage::{PATIENCE, Stage};
use crate::voice::Voice;

/// What is downloaded.
const SIZE: usize = 64 * 1024 * 1024;

/// The commands that a person would try first.
pub(crate) fn look(voice: &Voice, stage: &Stage) -> Result<()> {
    voice.act("2. What a host sees")?;
    for line in ["status", "ping laptop -c 2"] {
        let printed = stage.server.cli(line.split(' '))?;
        voice.command("server", &format!("tidegate {line}"), &printed)?;
    }
    Ok(())
}

/// Ordinary programs, which know nothing of Tidegate.
pub(crate) fn show(voice: &Voice, stage: &Stage) -> Result<Value> {
    voice.act("3. Ordinary programs use it: an interface and addresses, nothing else")?;
    let fetched = download(voice, stage)?;
    let arrived = voice.step("laptop and server: iperf3, both ways at once", || {
        let _server = serve(stage.server.host())?;
        let load = Load {
            both_ways: true,
            ..Load::default()
        };
        Ok(load.send(stage.laptop.host(), stage.server.address(0)?.parse()?)?)
    })?;
    voice.note(&format!("    {} through the tunnel", rate(arrived.rate)))?;
    Ok(json!({
        "download_bytes": SIZE,
        "download_bits_per_second": fetched,
        "iperf3_bits_per_second": arrived.rate,
    }))
}

fn download(voice: &Voice, stage: &Stage) -> Result<f64> {
    let (shared, copy) = (
        stage.overlay.folder().join("shared"),
        stage.overlay.folder().join("copy"),
    );
    let speed = voice.step(
        "laptop downloads 64 MiB from server, by HTTP with curl",
        || {
            fs::create_dir(&shared)?;
            let mut content = vec![0; SIZE];
            getrandom::fill(&mut content).map_err(|error| anyhow::anyhow!("{error}"))?;
            fs::write(shared.join("file"), &content)?;
            let speed = fetch(&stage.laptop, &stage.server, &shared, &copy)?;
            ensure!(
                fs::read(&copy)? == content,
                "what arrived is not what was sent"
            );
            Ok(speed)
        },
    )?;
    voice.note(&format!("    {}, and every byte is right", rate(speed)))?;
    Ok(speed)
}

/// Bits per second.
fn fetch(client: &Node, server: &Node, shared: &Path, copy: &Path) -> Result<f64> {
    let address = server.address(0)?;
    let arguments = ["-u", "-m", "http.server", "8080", "--bind", &address];
    let serving = server
        .host()
        .command("python3")
        .args(arguments)
        .arg("--directory")
        .arg(shared)
        .spawn()?;
    serving.wait_for_output(PATIENCE, "Serving HTTP")?;
    let said = client
        .host()
        .command("curl")
        .args(["-sSf", "--noproxy", "*", "-w", "%{speed_download}", "-o"])
        .arg(copy)
        .arg(format!("http://{address}:8080/file"))
        .timeout(Duration::from_secs(60))
        .run()?;
    let bytes: f64 = said.trim().parse().context("curl gave no speed")?;
    Ok(bytes * 8.0)
}

fn rate(bits: f64) -> String {
    if bits >= 1e9 {
        format!("{:.1} Gbit/s", bits / 1e9)
    } else {
        format!("{:.0} Mbit/s", bits / 1e6)
    }
}
