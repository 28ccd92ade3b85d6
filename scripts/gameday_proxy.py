"""A proxy between the functions and DynamoDB, which refuses what it is told to."""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOST = "127.0.0.1"
#: Headers of one connection, which the next one has of its own.
OF_THE_HOP = {"connection", "content-length", "transfer-encoding", "expect"}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A caller that was killed in the middle of its call: who kills it knows."""


class Proxy:
    """Hands on every call, unless `refuse` (operation, body) answers with an error's name."""

    def __init__(self, upstream: str):
        self.refuse = None
        self.refused = 0
        self.lock = threading.Lock()
        target = urlsplit(upstream)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                operation = self.headers.get("x-amz-target", "").rpartition(".")[2]
                rule = proxy.refuse
                error = rule(operation, body) if rule else None
                if error is not None:
                    with proxy.lock:
                        proxy.refused += 1
                    text = {"__type": f"com.amazonaws.dynamodb.v20120810#{error}", "message": "by the game day"}
                    self.answer(400, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(text).encode())
                    return
                onward = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
                try:
                    headers = {k: v for k, v in self.headers.items() if k.lower() not in OF_THE_HOP}
                    onward.request("POST", self.path, body, headers)
                    answer = onward.getresponse()
                    kept = {k: v for k, v in answer.getheaders() if k.lower() not in OF_THE_HOP}
                    self.answer(answer.status, kept, answer.read())
                except OSError:
                    # The emulator has ended, or the caller was killed: nobody waits for an answer.
                    self.close_connection = True
                finally:
                    onward.close()

            def answer(self, status: int, headers: dict, body: bytes):
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = Server((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.server.server_port}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()
