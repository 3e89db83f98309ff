"""What is tried before the first step, and undone with it if it fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from lrsuggest.errors import UserError
from lrsuggest.training.inspection import misfits
from lrsuggest.training.learner import Learner
from lrsuggest.training.snapshot import Snapshot


def evaluated(learner: Learner) -> Snapshot:
    """Evaluate one batch of `valid`, if there is one, put everything back; return what did so.

    Raises:
        UserError: `valid` is empty, or its batch does not fit; an error of the same kind as it was.
    """
    snapshot = Snapshot(learner)
    if learner.valid is not None:
        with snapshot:
            try:
                learner.evaluate(1)
            except UserError:
                raise
            except Exception as error:
                if not misfits.is_misfit(error):
                    raise
                raise misfits.both(type(error))(misfits.of_validation(error)) from error
    return snapshot


@contextmanager
def undone_on_error(snapshot: Snapshot) -> Iterator[None]:
    """Put everything back if what is done within ends in an error."""
    try:
        yield
    except BaseException:
        snapshot.restore()
        raise
