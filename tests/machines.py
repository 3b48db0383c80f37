"""Runs a state machine of hypothesis under trial.

The same examples each time that the same modules are imported; others, and more of them: ``RANDOM=1
EXAMPLES=3000 STEPS=80``. ``NOSHRINK=1`` shows the first that fails as it is.
"""

import os
import traceback

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase


def run_machine(
    case: SynchronousTestCase, machine: type[RuleBasedStateMachine], examples: int, steps: int
) -> None:
    """Run so many examples of so many steps each, unless the environment says otherwise.

    :raises FailTest: one has failed.
    """
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=int(os.environ.get("EXAMPLES", str(examples))),
                stateful_step_count=int(os.environ.get("STEPS", str(steps))),
                deadline=None,
                report_multiple_bugs=False,
                phases=[Phase.generate] if "NOSHRINK" in os.environ else list(Phase),
                database=None,
                derandomize="RANDOM" not in os.environ,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Exception as error:
        # Trial prints neither where it was nor what led to it.
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise case.failureException(
            f"{type(error).__name__}: {error} (line {where.lineno}: {where.line})\n"
            + "\n".join(getattr(error, "__notes__", ()))
        ) from error
