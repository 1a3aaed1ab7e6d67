"""The servers behind nginx: 19182 is busy, 19183 answers; both take their time."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        busy = self.server.server_port == 19182
        time.sleep(0.01 if busy else 0.025)
        status = 503 if busy else 404 if self.path in ("/missing", "/again") else 200
        body = "tea 茶\n".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_):
        pass


for port in (19182, 19183):
    threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever).start()
