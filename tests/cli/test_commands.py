"""How the commands start, and how they refuse."""

import pytest
from hydra.errors import HydraException

from tests.conftest import SMALL, Command
from tvl_lightning.cli.commands import one_line_refusals
from tvl_lightning.limits import InputError

TRAIN = "tvl_lightning.train"


def caused_by(cause: Exception) -> Exception:
    error = HydraException("Error in call to target")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("model.width=0:\n  must be 1"), "error: model.width=0: must be 1"),
        (HydraException("none.\nConfig search path:\n\tfile:///x"), "error: none."),
        (caused_by(InputError("in the cause")), "error: in the cause"),
    ],
)
def test_what_the_user_has_to_mend_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    with pytest.raises(SystemExit) as end, one_line_refusals():
        raise error
    assert end.value.code == 2
    assert capsys.readouterr().err == f"{line}\n"


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), one_line_refusals():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nonsense=1", "nonsense: there is no such setting"),
        ("model=cnn", "model=cnn: must be one of conv, fractional"),
    ],
)
def test_what_hydra_refuses_is_one_line(call: Command, arguments: str, message: str) -> None:
    done = call(TRAIN, arguments)
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert message in line


def test_the_terminal_shows_no_warning_that_the_user_can_do_nothing_about(
    call: Command, recwarn: pytest.WarningsRecorder
) -> None:
    start = [*SMALL, "trainer=cpu", "trainer.max_epochs=1", "hydra.run.dir=run"]
    resumed = ["trainer.max_epochs=2", "resume=run/checkpoints/last.ckpt"]
    for arguments in (start, [*start, *resumed]):
        done = call(TRAIN, *arguments)
        assert done.returncode == 0, done.stderr
        assert "arning" not in done.stderr
    assert [str(warning.message) for warning in recwarn] == []
