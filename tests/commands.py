"""Runs a command of the command line as a user would."""

from typer.testing import CliRunner

from afm_hf.cli.app import app


def run_command(*arguments, code=0):
    """The result of `afm-hf ARGUMENTS`; it ends with this exit code and shows no traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert code is None or result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result
