"""What `celery -A backend flower` reads: nobody but this machine, unless the environment says otherwise."""

import os
import socket
import sys

address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")
port = int(os.environ.get("FLOWER_PORT", "5555"))

if not any(argument.startswith(("--port", "--unix")) for argument in sys.argv):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            sys.exit(f"Flower cannot listen on {address}:{port} ({error.strerror}): set FLOWER_PORT or pass --port")
