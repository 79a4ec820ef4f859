"""An echo server for one client, as introductions to sockets write it."""

import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
    s.bind(("127.0.0.1", 0))
    s.listen(1)
    print("listening tcp 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr)
    conn, addr = s.accept()
    with conn:
        print("Connected by", addr[0])
        while True:
            data = conn.recv(1024)
            if not data:
                break
            conn.sendall(data)
