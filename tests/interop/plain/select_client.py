"""Many clients in one loop, with select: each sends its messages and counts what comes back."""

import select
import socket
import sys

messages = [b"This is the message. ", b"It will be sent ", b"in parts."]
server = ("127.0.0.1", int(sys.argv[1]))
clients = [socket.create_connection(server) for _ in range(int(sys.argv[2]))]
for message in messages:
    for s in clients:
        s.sendall(message)
received = {s: b"" for s in clients}
waiting = list(clients)
while waiting:
    readable, _, _ = select.select(waiting, [], [], 10)
    if not readable:
        break
    for s in readable:
        data = s.recv(1024)
        received[s] += data
        if not data or len(received[s]) >= len(b"".join(messages)):
            waiting.remove(s)
for s in clients:
    s.close()
print(sum(data == b"".join(messages) for data in received.values()), "of", len(clients))
