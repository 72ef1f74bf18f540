"""What a person can put right; the text is the one line that is shown."""


class EmbeddedError(Exception):
    """An embedded server cannot be had. The message says what is wrong and what to do about it."""
