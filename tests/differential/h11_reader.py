"""Reads requests with h11, as strictly as it does by itself.

On each line of standard input there are the bytes of one connection in hexadecimal, and on each line of standard
output what h11 has made of them: how the connection ended, and each request, as words with strings in hexadecimal.
"""

import sys

import h11


def read(data):
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    requests, request, ended = [], None, False
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if ended:
                    return requests, "cut off"
                ended = True
                connection.receive_data(b"")
            elif isinstance(event, h11.Request):
                request = {
                    "method": event.method.decode("latin-1"),
                    "target": event.target.decode("latin-1"),
                    "body": "",
                }
            elif isinstance(event, h11.Data):
                request["body"] += bytes(event.data).hex()
            elif isinstance(event, h11.EndOfMessage):
                connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                request["keep_alive"] = connection.our_state is not h11.MUST_CLOSE
                requests.append(request)
                if connection.our_state is h11.MUST_CLOSE:
                    return requests, "closed"
                connection.start_next_cycle()
            elif event is h11.PAUSED:
                # It would like to speak something else; our answer has said that it does not.
                connection.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return requests, "closed"
    except h11.RemoteProtocolError as error:
        return requests, f"refused: {error}"


def told(requests, end):
    words = [end.encode().hex()]
    for request in requests:
        keep_alive = "keeps" if request["keep_alive"] else "closes"
        texts = [request["method"].encode("latin-1").hex(), request["target"].encode("latin-1").hex()]
        words.append("/".join([*texts, request["body"], keep_alive]))
    return " ".join(words)


for line in sys.stdin:
    print(told(*read(bytes.fromhex(line))), flush=True)
