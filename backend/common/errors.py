"""What every anticipated refusal has in common, whichever room it comes from. Only `api.problems` knows HTTP."""


class DomainError(Exception):
    """An anticipated refusal. `code` is stable public API; `data` is what the sentence was built from."""

    code = "refused"

    def __init__(self, message: str, **data: object) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class NotFound(DomainError):
    """There is no such object, or not for this caller."""

    code = "not_found"
