"""How a managed service is doing, for the log and for whoever shows it: one line for each change,
and what is wrong as long as it is.
"""

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from apptuner_relay.managed.service.service_problem import ServiceProblem
from apptuner_relay.operator.managed_view import ServiceRefusal


class ServiceStatus:
    """The status of one service.

    :param name: of the service, for people.
    """

    log = Logger()

    def __init__(self, name: str, clock: IReactorTime) -> None:
        self._name = name
        self._clock = clock
        self.down_since_s: float | None = clock.seconds()
        """Since when there has been no connection; None while there is one."""
        self._was_up = False
        self._away: ServiceProblem | None = None
        """Why a connection is down, as it was logged last."""
        self._away_since_s = 0.0
        """Since when, of that."""
        self._connection: ServiceProblem | None = None
        """Why a connection is down, be there others or not."""
        self._found: Sequence[ServiceProblem] = ()
        """What the last check has found."""
        self._publishing: ServiceProblem | None = None
        """Why events are not published over HTTP."""

    @property
    def problems(self) -> Sequence[ServiceProblem]:
        """What is wrong. What an operator has to change is in front."""
        found = [one for one in (self._connection, *self._found, self._publishing) if one]
        return sorted(found, key=lambda one: one.code is None)

    @property
    def problem(self) -> str | None:
        """What is wrong first of all, in one line; None where nothing is."""
        problems = self.problems
        return f"{self._name}: {problems[0]}" if problems else None

    @property
    def refusal(self) -> ServiceRefusal | None:
        """What the service refuses until somebody changes something; None where it refuses
        nothing."""
        for code, text, _ in self.problems:
            if code is not None:
                return ServiceRefusal(code, text)
        return None

    def start(self) -> None:
        """The attempts to connect begin."""
        self.down_since_s = self._clock.seconds()

    def up(self, has_down: bool) -> None:
        """A connection was made.

        :param has_down: whether another one is down.
        """
        if self._connection is not None and (not has_down or self._connection.code is None):
            self._connection = None
        self.down_since_s = None
        if not self._was_up:
            self.log.info("managed service {name}: connected", name=self._name)
        elif self._away is not None:
            self.log.info(
                "managed service {name}: connected again after {for_s:.1f} s",
                name=self._name,
                for_s=self._clock.seconds() - self._away_since_s,
            )
        self._was_up, self._away = True, None

    def down(self, problem: ServiceProblem, has_others: bool) -> None:
        """A connection was lost, or could not be made.

        :param has_others: whether there are others, which go on.
        """
        is_permanent = problem.code is not None
        if has_others and not is_permanent:
            return
        self._connection = problem
        if not has_others and self.down_since_s is None:
            self.down_since_s = self._clock.seconds()
        if self._away is not None and (not is_permanent or problem == self._away):
            return
        if self._away is None:
            self._away_since_s = self._clock.seconds()
        self._away = problem
        self.log.warn(
            "managed service {name}: away, trying again {when}: {why}",
            name=self._name,
            when="in minutes" if is_permanent else "soon",
            why=str(problem),
        )

    def checked(self, found: Sequence[ServiceProblem]) -> None:
        """The service was checked.

        :param found: what is wrong.
        """
        for problem in found:
            if problem not in self._found:
                self.log.warn(
                    "managed service {name}: {problem}", name=self._name, problem=str(problem)
                )
        if self._found and not found:
            self.log.info("managed service {name}: nothing is wrong any more", name=self._name)
        self._found = found

    def publishing_failed(self, problem: ServiceProblem) -> None:
        """Events could not be published over HTTP."""
        if self._publishing is None:
            self.log.warn(
                "managed service {name}: events are not published: {why}",
                name=self._name,
                why=str(problem),
            )
        self._publishing = problem

    def publishing_works(self) -> None:
        """Events were published over HTTP."""
        if self._publishing is not None:
            self._publishing = None
            self.log.info("managed service {name}: events are published again", name=self._name)
