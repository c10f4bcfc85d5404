"""A web application of one page: it counts its visits in PostgreSQL and shows the count.

Listens on port 8000. DATABASE says where the database is, DATABASE_PASSWORD_FILE names the file with the password. Runs on
Debian's python3 and python3-psycopg2.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import psycopg2

with open(os.environ["DATABASE_PASSWORD_FILE"]) as file:
    database = psycopg2.connect(os.environ["DATABASE"], password=file.read().strip())
database.autocommit = True
one_at_a_time = Lock()


def execute(statement):
    with one_at_a_time, database.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthy":
            execute("SELECT 1")
            return self.answer("healthy\n")
        (count,) = execute("UPDATE visits SET count = count + 1 RETURNING count")
        return self.answer(f"<!doctype html><title>minke</title><p>Visit number {count}, served by {os.uname().nodename}.\n")

    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *values):
        if self.path != "/healthy":
            super().log_message(form, *values)


if __name__ == "__main__":
    execute("CREATE TABLE IF NOT EXISTS visits (count integer NOT NULL)")
    execute("INSERT INTO visits SELECT 0 WHERE NOT EXISTS (SELECT FROM visits)")
    print("counting visits in PostgreSQL", flush=True)
    ThreadingHTTPServer(("", 8000), Page).serve_forever()
