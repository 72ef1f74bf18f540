"""Saying that a server is away: one line when it begins, one when it is over, nothing in between."""

import logging


class Outages:
    """Remembers which servers are away, so that each outage is said once."""

    def __init__(self, logger: logging.Logger, consequence: str) -> None:
        self._logger = logger
        self._consequence = consequence
        self._away: set[str] = set()

    def gone(self, what: str, error: BaseException, where: str = "") -> None:
        """`what` cannot be reached."""
        if what not in self._away:
            self._away.add(what)
            reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
            self._logger.warning(
                "%s is away (%s); %s, trying every second", f"{what} {where}".strip(), reason, self._consequence
            )

    def back(self, what: str) -> None:
        """`what` answers."""
        if what in self._away:
            self._away.discard(what)
            self._logger.warning("%s is back", what)
