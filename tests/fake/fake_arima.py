#!/usr/bin/env python3
"""The least that looks like one node, to test the test harness: memory only, no cluster.

FAKE_FAULT chooses what goes wrong: lose (an acknowledged write is dropped now and then), leak (a
refused write is applied), crash (the process ends by itself), stubborn (SIGTERM is ignored).
"""

import http.server
import json
import os
import signal
import sys
import urllib.parse

FAULT = os.environ.get("FAKE_FAULT", "")
STORE = {}
COUNT = [0]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one segment

    def answer(self, status, body, **headers):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/livez":
            self.answer(200, {})
        elif self.path == "/raft/stats":
            self.answer(200, {"message": "Here is the raft status",
                              "data": {"state": "Leader", "term": "2", "leader_id": "n1"}})
        else:
            key = urllib.parse.unquote(self.path.removeprefix("/store/").split("?")[0])
            if key in STORE:
                self.answer(200, {"data": {"key": key, "value": STORE[key]},
                                  "message": "success fetching data"})
            else:
                self.answer(404, {"error": "no such key", "code": "not_found"})

    def do_POST(self):
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        COUNT[0] += 1
        if FAULT == "crash" and COUNT[0] == 20:
            os._exit(3)
        refused = COUNT[0] % 10 == 0
        if not (FAULT == "lose" and COUNT[0] % 7 == 0) and (not refused or FAULT == "leak"):
            STORE[data["key"]] = data["value"]
        if refused:
            self.answer(503, {"error": "no leader", "code": "unavailable"}, Retry_After="1")
        else:
            self.answer(200, {"data": data, "message": "success fetching data"})

    def log_message(self, *args):
        print("fake:", *args, flush=True)


def main():
    port = int(sys.argv[sys.argv.index("--server-port") + 1])
    signal.signal(signal.SIGTERM,
                  signal.SIG_IGN if FAULT == "stubborn" else lambda *_: os._exit(0))
    print("fake: listening", flush=True)
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
