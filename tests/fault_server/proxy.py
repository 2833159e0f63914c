#!/usr/bin/env python3
"""A small HTTP proxy that takes every host for one server of this machine. It shares no code with `pipe`.

    python3 tests/fault_server/proxy.py PORT

Prints its own port, then a line for each request: `CONNECT` or `FORWARD`, the host that was asked for, and the
`Proxy-Authorization` that came with it (`-` for none). Ends when stdin is closed.
"""

import os
import socket
import sys
import threading


def relay(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side went away, so there is nothing left to carry


def serve(client, port):
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return
            head += data
        head, rest = head.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        verb, target, version = lines[0].split(" ")
        given = [line.split(": ", 1)[1] for line in lines if line.lower().startswith("proxy-authorization: ")]
        kind = "CONNECT" if verb == "CONNECT" else "FORWARD"
        host = target if verb == "CONNECT" else target.split("/")[2]
        # One write: lines of two clients at once must not run into each other.
        sys.stdout.write(f"{kind} {host} {given[0] if given else '-'}\n")
        sys.stdout.flush()
        if verb == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Go ahead\r\n\r\n")
        else:
            path = "/" + target.split("/", 3)[3]
            kept = [line for line in lines[1:] if not line.lower().startswith(("proxy-", "connection:"))]
            head = "\r\n".join([f"{verb} {path} {version}", *kept, "connection: close"])
            server.sendall(head.encode("latin-1") + b"\r\n\r\n" + rest)
        back = threading.Thread(target=relay, args=(server, client), daemon=True)
        back.start()
        relay(client, server)
        back.join()


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, int(sys.argv[1])), daemon=True).start()


if __name__ == "__main__":
    main()
