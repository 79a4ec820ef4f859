"""A client for datagrams, with recvfrom and recv_into."""

import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(10)
    server = ("127.0.0.1", int(sys.argv[1]))
    s.sendto(b"hello world", server)
    data, addr = s.recvfrom(1024)
    print("Received", repr(data), addr == server)
    s.connect(server)
    s.send(b"hello again")
    buffer = bytearray(1024)
    read = s.recv_into(buffer)
    print("Received", repr(bytes(buffer[:read])))
