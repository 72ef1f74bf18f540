"""What `celery -A backend flower` reads: nobody but this machine, unless the environment says otherwise."""

import os

address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")
port = int(os.environ.get("FLOWER_PORT", "5555"))
