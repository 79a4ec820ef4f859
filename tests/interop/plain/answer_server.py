"""A server whose one answer is typed."""

import socket
import sys

sys.stdin.reconfigure(encoding="utf-8")
sys.stdout.reconfigure(encoding="utf-8")
sock = socket.socket()
sock.bind(("127.0.0.1", 0))
sock.listen()
print("server started")
print("listening tcp 127.0.0.1:%d" % sock.getsockname()[1], file=sys.stderr)
conn, addr = sock.accept()
print("client", addr[0])
print(conn.recv(1024).decode("utf-8"))
conn.sendall(input().encode("utf-8"))
conn.close()
sock.close()
