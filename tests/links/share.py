#!/usr/bin/env python3
"""What sctp-http leaves to a flow of kernel TCP with CUBIC on the same bottleneck.

usage: share.py LINKEMU SCTP_HTTP [CONTROLLER] [LOSS] [SEED...]      (root)

LINKEMU is the folder of the link emulator, built, as for scripts/failover; SCTP_HTTP the program.
Both download for 45 seconds through one emulated link of 10 Mbit/s and 50 ms with a queue of 50
packets; prints what each got from the 10th second on, and the share of SCTP.
"""
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

ADDR, TCP, UDP = "10.77.0.2", 8080, 9899
BEGIN, END = 10, 40


def serve(sctp_http, controller, root):
    """In the server's namespace: TCP with CUBIC that sends without end, and sctp-http."""
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    listener.bind((ADDR, TCP))
    listener.listen()
    subprocess.Popen([sctp_http, "serve", root, "--access-log", "none", "--mtu", "1500",
                      "--congestion", controller, "--listen", f"{ADDR}:{UDP}/sctp"])
    peer, _ = listener.accept()
    try:
        while True:
            peer.sendall(bytes(65536))
    except OSError:
        pass
    time.sleep(60)


def count(read, totals, index):
    while block := read(65536):
        totals[index] += len(block)


def fetch(sctp_http):
    """In the client's namespace."""
    time.sleep(0.5)
    get = subprocess.Popen([sctp_http, "get", "-q", "--mtu", "1500", f"http+sctp://{ADDR}:{UDP}/big"],
                           stdout=subprocess.PIPE)
    tcp = socket.create_connection((ADDR, TCP))
    totals = [0, 0]
    for index, read in enumerate([get.stdout.read1, tcp.recv]):
        threading.Thread(target=count, args=(read, totals, index), daemon=True).start()
    time.sleep(BEGIN)
    before = list(totals)
    time.sleep(END - BEGIN)
    got = [(after - start) * 8e-6 / (END - BEGIN) for after, start in zip(totals, before)]
    get.kill()
    print(f"sctp {got[0]:.2f} Mbit/s, tcp {got[1]:.2f} Mbit/s, share {got[0] / max(sum(got), 1e-9):.2f}", flush=True)
    os._exit(0)


def main():
    if sys.argv[1] == "--serve":
        return serve(*sys.argv[2:5])
    if sys.argv[1] == "--fetch":
        return fetch(sys.argv[2])
    linkemu, sctp_http = (os.path.abspath(path) for path in sys.argv[1:3])
    controller, loss = (sys.argv[3:5] + ["bbr", "0"][len(sys.argv[3:5]):])
    with tempfile.TemporaryDirectory() as root:
        with open(f"{root}/big", "wb") as big:
            big.truncate(200_000_000)
        config = f"{root}/link.toml"
        with open(config, "w") as file:
            file.write("[[path]]\nname = 'A'\nboth = { delay_ms = 25, rate_kbit = 10000, queue_packets = 50, "
                       f"loss = {loss} }}\n")
        for seed in sys.argv[5:] or ["1"]:
            subprocess.run([f"{linkemu}/target/release/linkemu", "run", "--config", config, "--seed", seed,
                            "--", sys.executable, __file__, "--serve", sctp_http, controller, root,
                            "--", sys.executable, __file__, "--fetch", sctp_http], check=True)


main()
