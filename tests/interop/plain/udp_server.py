"""An echo server for datagrams, with recvfrom."""

import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("127.0.0.1", 0))
    print("listening udp 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr)
    while True:
        data, addr = s.recvfrom(65536)
        s.sendto(data, addr)
