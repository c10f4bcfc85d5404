"""A web application of one page: it counts its visits in redis and shows the count.

Listens on port 8000; REDIS_HOST names the database. Runs on Debian's python3 and python3-redis.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis

database = redis.Redis(host=os.environ["REDIS_HOST"], socket_connect_timeout=5)


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        count = database.incr("visits")
        body = f"<!doctype html><title>minke</title><p>Visit number {count}, served by {os.uname().nodename}.\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    print(f"counting visits in redis at {os.environ['REDIS_HOST']}", flush=True)
    ThreadingHTTPServer(("", 8000), Page).serve_forever()
