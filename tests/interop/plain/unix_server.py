"""The echo server, on a path."""

import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
    s.bind(sys.argv[1])
    s.listen(1)
    print("listening unix", sys.argv[1], file=sys.stderr)
    conn, _ = s.accept()
    with conn:
        while data := conn.recv(1024):
            conn.sendall(data)
