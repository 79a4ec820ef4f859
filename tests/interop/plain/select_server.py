"""An echo server for many clients, with select."""

import select
import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.setblocking(False)
server.bind(("127.0.0.1", 0))
server.listen(5)
print("listening tcp 127.0.0.1:%d" % server.getsockname()[1], file=sys.stderr)
inputs = [server]
outputs = []
messages = {}
while inputs:
    readable, writable, exceptional = select.select(inputs, outputs, inputs)
    for s in readable:
        if s is server:
            conn, _ = s.accept()
            conn.setblocking(False)
            inputs.append(conn)
            messages[conn] = b""
        elif data := s.recv(1024):
            messages[s] += data
            if s not in outputs:
                outputs.append(s)
        else:
            inputs.remove(s)
            if s not in outputs:
                outputs.append(s)
    for s in writable:
        if messages[s]:
            messages[s] = messages[s][s.send(messages[s]):]
        if not messages[s]:
            outputs.remove(s)
            if s not in inputs:
                del messages[s]
                s.close()
    for s in exceptional:
        inputs.remove(s)
        if s in outputs:
            outputs.remove(s)
        messages.pop(s)
        s.close()
