"""What ends a command with one line instead of a traceback."""


class LauncherError(Exception):
    """Something that a person can put right. The message says what is wrong and what to do."""


class Stopped(Exception):
    """SIGINT, SIGTERM or SIGHUP asked the command to end."""
