"""Sends what is typed, and prints the answers; an empty line ends it."""

import socket
import sys

sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
while True:
    data = input("Please input data:")
    if not data:
        break
    try:
        sock.sendall(data.encode())
    except socket.error as e:
        print("Send Failed...", e)
        sys.exit(0)
    print("Send Successfully")
    data = sock.recv(4096)
    print(data.decode())
sock.close()
