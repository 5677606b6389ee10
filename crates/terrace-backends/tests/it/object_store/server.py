"""S3 as moto plays it, on a port of the loopback: server.py PORT [FILE [careless]]

moto looks whether a condition holds and then writes, in two steps, so here one request is done at a time: then it keeps
what S3 promises. With a FILE, requests have to be signed with the access key and secret that are written there. If it is
careless it removes objects whatever that depends on.
"""

import json
import sys
import threading

from moto import settings
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

CARELESS = sys.argv[3:] == ["careless"]
USER = "tester"
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, *_):
        pass


class OneAtATime:
    def __init__(self, application):
        self.application = application
        self.turn = threading.Lock()

    def __call__(self, environment, start):
        if CARELESS and environment["REQUEST_METHOD"] == "DELETE":
            environment.pop("HTTP_IF_MATCH", None)
        with self.turn:
            return [b"".join(self.application(environment, start))]


def let_in(file):
    from moto.iam import iam_backends

    iam = iam_backends["123456789012"]["aws"]
    iam.create_user("us-east-1", USER)
    iam.put_user_policy(USER, "all", json.dumps(ALL))
    key = iam.create_access_key(USER)
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    with open(file, "w") as out:
        out.write(f"{key.access_key_id} {key.secret_access_key}")


port = int(sys.argv[1])
if sys.argv[2:] and sys.argv[2]:
    let_in(sys.argv[2])
run_simple(
    "127.0.0.1",
    port,
    OneAtATime(DomainDispatcherApplication(create_backend_app)),
    threaded=True,
    request_handler=Quiet,
)
