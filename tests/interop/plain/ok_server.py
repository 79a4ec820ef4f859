"""Answers everything with OK, one client after the other; here it ends with the first one."""

import socket
import sys

sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
print("Socket Created")
try:
    sock.bind(("127.0.0.1", int(sys.argv[1])))
except OSError as e:
    print("Bind Failed...")
    sys.exit(e)
sock.listen(5)
print("listening tcp 127.0.0.1:%d" % sock.getsockname()[1], file=sys.stderr)
conn, addr = sock.accept()
conn.settimeout(float(sys.argv[2]))
while True:
    try:
        data = conn.recv(1024)
        if not data:
            print("Exit Server")
            break
        print("Get value " + data.decode())
        conn.sendall(b"OK")
    except socket.timeout:
        print("Time out")
        break
conn.close()
sock.close()
