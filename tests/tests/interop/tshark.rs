//! A second opinion on every packet: Wireshark's dissector.

use std::{fs, path::Path, process::Command};

use sctp_tests::trace::Trace;

use crate::programs;

/// Panics unless tshark decodes every packet of the trace as SCTP with a right checksum and finds
/// nothing malformed.
pub(crate) fn judge(name: &str, trace: &Trace) {
    let Some(tshark) = programs::find("tshark") else {
        return;
    };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcapng"));
    let bytes = trace.to_pcapng();
    fs::write(&file, &bytes).expect("the capture can be written");
    let mut command = Command::new(tshark);
    command.arg("-r").arg(&file);
    // Both ports of a packet may be any; and its payload is nobody's protocol.
    for option in [
        "sctp.checksum:CRC 32c",
        "sctp.ulp_dissection:FALSE",
        "sctp.reassembly:FALSE",
        "sctp.tsn_analysis:FALSE",
    ] {
        command.args(["-o", option]);
    }
    command.args(["-d", "udp.port==1-65535,sctp", "-T", "fields"]);
    for field in [
        "frame.number",
        "sctp.checksum.status",
        "_ws.malformed",
        "sctp.sack_gap_block_malformed",
    ] {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark: {stderr}");
    let stdout = String::from_utf8(output.stdout).expect("tshark prints UTF-8");
    let mut packets = 0;
    for line in stdout.lines() {
        packets += 1;
        // Status 1 is a good checksum; the two other columns are empty.
        let expected = format!("{packets}\t1\t\t");
        assert_eq!(
            line,
            expected,
            "{}: tshark does not like this packet",
            file.display()
        );
    }
    assert!(packets > 0, "an empty capture");
    fs::remove_file(file).expect("the capture can be removed");
}
