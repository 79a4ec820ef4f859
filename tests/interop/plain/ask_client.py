"""Asks one question, and prints the answer."""

import socket
import sys

sys.stdin.reconfigure(encoding="utf-8")
sys.stdout.reconfigure(encoding="utf-8")
sock = socket.socket()
sock.connect(("127.0.0.1", int(sys.argv[1])))
sock.sendall(input().encode("utf-8"))
print(sock.recv(1024).decode("utf-8"))
sock.close()
