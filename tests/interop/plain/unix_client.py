"""The client to that."""

import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
    s.connect(sys.argv[1])
    s.sendall(b"hello world")
    data = s.recv(1024)
print("Received", repr(data))
